"""`python -m ftlab.train.probe`: a few real steps of a job, measured, with nothing kept.

The request comes as JSON on the standard input: the job, the tokens of the largest piece that is
expected, and how long to go on. Lines of JSON go out: {"progress": share,
"what": text}, and at the end {"made": …} or {"failed": text}.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.devices import detect, lease
from ftlab.errands import answering, described
from ftlab.job import Job, LocalOptions
from ftlab.pieces import PIECE_TOKENS
from ftlab.processes import loading
from ftlab.train.device import OUT_OF_MEMORY, chosen_device, is_out_of_memory, usable

if TYPE_CHECKING:
    from ftlab.train.batches import Examples, Row
    from ftlab.train.loop import Prepared
    from ftlab.train.trainer import Trainer

HOLDER = "a probe"
LOOKED_AT, STEPS_LOOKED_AT = 3_000, 5_000
"""Rows, and steps, of a run that is gone through for its largest pieces."""
EVALUATED = 32  # rows of the first evaluation; then twice as many
ENOUGH_SECONDS = 3.0  # fast steps go on so long, so that one slow moment does not count


def main() -> int:
    return answering(_probe, lambda exc: OUT_OF_MEMORY if is_out_of_memory(exc) else described(exc))


def _probe(request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> Iterator[Any]:
    job = Job.model_validate(request["job"])
    device, asked_at = chosen_device(LocalOptions(**job.options)), time.time()

    def waiting(holder: str) -> None:
        say({"progress": 0.0, "what": f"waiting for {device}, used by {holder}"})

    with lease(device, HOLDER, waiting):
        began = _born() + time.time() - asked_at
        yield {"progress": 0.05, "what": "loading the model"}
        with loading():
            import peft  # noqa: F401
            from transformers import AutoModelForCausalLM  # noqa: F401

            from ftlab.train import loop  # noqa: F401
        device, _ = usable([device])
        yield from _steps(job, device, began, request)


def _born() -> float:
    """When this process was started, by time.time()."""
    import psutil

    return psutil.Process().create_time()


def _steps(
    job: Job, device: str, began: float, request: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    from ftlab.train.loop import prepared

    ready = prepared(job, device)
    start_seconds = time.time() - began
    yield {"progress": 0.2, "what": "the largest piece"}
    largest = _largest(ready, request)
    ready.trainer.step(largest, 0.0)  # first, so that the steps after it find all as they will
    pace = yield from _own_steps(ready, request)
    yield {"progress": 0.8, "what": "the largest piece, and an evaluation"}
    ready.trainer.step(largest, 0.0)  # again, where memory has fallen to pieces
    rate = _evaluated(ready, request)
    end_seconds = _saved(ready)
    measured = {"start_seconds": start_seconds, "end_seconds": end_seconds}
    measured |= {"peak_bytes": _peak(device), "eval_tokens_per_second": rate}
    yield {"made": {**pace, **measured}}


def _own_steps(ready: Prepared, request: dict[str, Any]) -> Iterator[Any]:
    """The first steps of the run; returns how many there were and what one takes."""
    from ftlab.train.reading import all_steps, steps_of

    trainer, training, spec = ready.trainer, ready.training, ready.trainer.spec
    n_steps = steps_of(spec, training)
    steps, seconds, n_tokens = all_steps(spec, training, n_steps), list[float](), 0
    reference_seconds, cpu_seconds = 0.0, 0.0
    while not _is_enough(seconds, request):
        yield {"progress": 0.4 + 0.4 * _part_done(seconds, request), "what": "steps of the job"}
        cpu_began, began = time.process_time(), time.perf_counter()
        rows = next(steps, None)  # rows are tokenised when they are first used
        if rows is None:
            break
        rows = _share(rows, trainer)
        read = time.perf_counter()
        _forget(rows)
        trainer.refer(rows)  # once per row, however many epochs there are
        referred = time.perf_counter() - read
        trainer.step(rows, 0.0)
        seconds.append(time.perf_counter() - began - referred)
        reference_seconds += referred
        cpu_seconds += time.process_time() - cpu_began
        n_tokens += sum(row.n_tokens for row in rows)
    n, cores = len(seconds), max(device.n_cores for device in detect())
    refers = trainer.method.needs_reference
    return {
        "n_steps": n,
        "step_seconds": sum(seconds) / n,
        "step_tokens": n_tokens / n,
        "cpu_share": None
        if trainer.device != "cpu"
        else cpu_seconds / ((sum(seconds) + reference_seconds) * cores),
        "reference_tokens_per_second": n_tokens / reference_seconds if refers else None,
    }


def _forget(rows: Sequence[Row]) -> None:
    """What the model said of them, so that saying it is measured anew."""
    from ftlab.train.batches import Pair

    for row in rows:
        if isinstance(row, Pair):
            row.reference = None


def _is_enough(seconds: Sequence[float], request: dict[str, Any]) -> bool:
    """After the steps asked for, if they took a while, or when the time is over."""
    done = len(seconds) >= request["steps"] and sum(seconds) >= ENOUGH_SECONDS
    return done or (len(seconds) >= 2 and sum(seconds) >= request["seconds"])


def _part_done(seconds: Sequence[float], request: dict[str, Any]) -> float:
    needed = min(len(seconds) / request["steps"], sum(seconds) / ENOUGH_SECONDS)
    return min(max(needed, sum(seconds) / request["seconds"]), 1.0)


def _largest(ready: Prepared, request: dict[str, Any]) -> list[Row]:
    """The piece of the run that takes most memory.

    Which rows meet is known beforehand. Where there are too many rows to look at each, some are
    drawn out to as many tokens as may meet.
    """
    rows, trainer = ready.training, ready.trainer
    if len(rows) > LOOKED_AT:
        return _drawn_out(rows, request["largest"], trainer.options.micro_batch_size)
    from ftlab.train.reading import all_steps, steps_of

    spec = trainer.spec
    n_steps = steps_of(spec, rows)
    steps = all_steps(spec, rows, min(n_steps, STEPS_LOOKED_AT))
    shares = (_share(step, trainer) for step in steps)
    return _largest_of(trainer, (piece for share in shares for piece in trainer.pieces(share)))


def _share(rows: list[Row], trainer: Trainer) -> list[Row]:
    """What one of the run's processes takes of a step."""
    from ftlab.train.sent import dealt

    return dealt(rows, trainer.options.n_gpus)[0]


def _largest_of(trainer: Trainer, pieces: Iterable[list[Row]]) -> list[Row]:
    """The piece with most places, padding among them where there is any."""
    if trainer.scorer.layout == "padded":
        return max(pieces, key=lambda piece: len(piece) * piece[0].length)
    return max(pieces, key=lambda piece: sum(row.n_tokens for row in piece))


def _drawn_out(rows: Examples, n_tokens: int, max_rows: int | None) -> list[Row]:
    """The first rows, drawn out or cut to equal lengths so that together they are one piece of so
    many tokens."""
    from ftlab.train.batches import Pair

    some = [rows[i] for i in range(min(len(rows), EVALUATED))]
    mean = sum(row.n_tokens for row in some) / len(some)
    alone = n_tokens > PIECE_TOKENS  # a longer row goes alone
    n_rows = 1 if alone else min(max(round(n_tokens / max(mean, 1)), 1), max_rows or n_tokens)
    length = n_tokens // n_rows // (2 if isinstance(some[0], Pair) else 1)
    return [some[i % len(some)].stretched(max(length, 1)) for i in range(n_rows)]


def _evaluated(ready: Prepared, request: dict[str, Any]) -> float | None:
    """Tokens per second of an evaluation, by as many rows as fit in a little time."""
    rows = ready.validation
    if rows is None or not len(rows):
        return None
    if len(rows) <= LOOKED_AT:
        everything = [rows[i] for i in range(len(rows))]
        _evaluate(ready.trainer, _largest_of(ready.trainer, ready.trainer.pieces(everything)))
    elif request["evaluated"]:
        most = ready.trainer.options.micro_batch_size
        _evaluate(ready.trainer, _drawn_out(rows, request["evaluated"], most))
    n_tokens, seconds, n_rows = 0, 0.0, 0
    while n_rows < len(rows) and seconds < request["seconds"] / 10:
        some = [rows[i] for i in range(n_rows, min(max(2 * n_rows, EVALUATED), len(rows)))]
        n_rows += len(some)
        ready.trainer.refer(some)
        seconds += _evaluate(ready.trainer, some)
        n_tokens += sum(row.n_tokens for row in some)
    return n_tokens / seconds


def _evaluate(trainer: Trainer, rows: Sequence[Row]) -> float:
    """Seconds that an evaluation takes."""
    from ftlab.train.evaluating import evaluated

    began = time.perf_counter()
    for _ in evaluated(trainer, 0, rows, lambda: False):
        pass
    return time.perf_counter() - began


def _saved(ready: Prepared) -> float:
    """Seconds to save what was tuned, which is thrown away."""
    from ftlab.train.checkpoints import save_tuned

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        save_tuned(ready.trainer.model, Path(folder) / "tuned", ready.base)
        return time.perf_counter() - began


def _peak(device: str) -> int:
    """Most bytes of this process up to now; on a GPU what torch has taken of it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return _peak_elsewhere()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else _peak_elsewhere()


def _peak_elsewhere() -> int:
    """Where there is no /proc; macOS counts in bytes."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


if __name__ == "__main__":
    sys.exit(main())
