"""Time and memory of whole runs on this machine, against what was estimated before them.

    python tests/benchmarks/estimates.py fit                  six runs, and the constants they give
    python tests/benchmarks/estimates.py judge --seed 2       six others, drawn by the seed
    python tests/benchmarks/estimates.py published FOLDER     runs that others published

`judge` compares the formula with a run, and a probe with the run after it, in as many pairs as
asked for; it fails when a peak is off by more than 15 % before the probe or 7 % after it, or a
time by more than 15 % after it (medians of the pairs). Memory is the highest resident size of the
training process (VmHWM), time is from `submit()` to the end. Random Llamas of three sizes; SFT and
DPO; LoRA, DoRA and all weights; with and without checkpointing; short and long rows.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ftlab.cost import estimate
from ftlab.data.report import DataReport, scan
from ftlab.devices import detect
from ftlab.estimated import Estimate
from ftlab.job import LocalOptions
from ftlab.local_plan import LocalPlan, local_plan
from ftlab.measured import Measurement
from ftlab.memory import GIB
from ftlab.models import read_info
from ftlab.probing import probe
from ftlab.providers import submit
from ftlab.rules import resolve
from ftlab.runs import Run
from ftlab.timing import training_work
from tests.benchmarks.published import compare
from tests.small import save_model, write_rows

MEMORY_BEFORE, MEMORY_AFTER, TIME_AFTER = 0.15, 0.07, 0.15
FIT_SEED = 1
RUN_SECONDS = 30.0  # what a run's steps should take by the formula
TRAININGS: tuple[dict[str, Any], ...] = (
    {"lora_r": 8},
    {"lora_r": 16, "use_dora": True},
    {"lora_r": 16, "gradient_checkpointing": True},
    {"lora": False},
    {"training_method": "dpo", "lora_r": 16, "lora_dropout": 0.05},
    {"training_method": "dpo", "lora": False, "gradient_checkpointing": True},
)
ROWS = {"short": (20, 120), "middle": (150, 500), "long": (700, 1800)}  # characters, and tokens
OPTIONS = LocalOptions.model_fields.keys()


@dataclass(frozen=True)
class Case:
    """One job: what it is, and its parts."""

    title: str
    values: dict[str, Any]
    options: dict[str, Any]
    report: DataReport
    validation: DataReport | None

    @property
    def plan(self) -> LocalPlan:
        info = read_info(self.values["model"])
        spec = resolve(self.values, self.report, info).spec
        options = LocalOptions(**self.options)
        found = local_plan(spec, info, detect()[-1], options, self.report, self.validation)
        assert found is not None
        return found

    def estimate(self) -> Estimate:
        return estimate(self.values, self.report, validation=self.validation, options=self.options)

    def probe(self) -> Measurement:
        return probe(self.values, report=self.report, validation=self.validation, **self.options)


def cases(folder: Path, seed: int) -> list[Case]:
    """Six jobs, drawn by the seed: each kind of training once, on three models."""
    rng = random.Random(seed)
    models = [_model(folder / f"model-{i}", rng) for i in range(3)]
    lengths = [*ROWS, *rng.sample(list(ROWS), 3)]
    rng.shuffle(lengths)
    return [
        _case(folder / f"case-{i}", models[i % 3], training, lengths[i], rng, held_out=i % 2 == 1)
        for i, training in enumerate(TRAININGS)
    ]


def _model(folder: Path, rng: random.Random) -> str:
    heads = rng.choice((4, 6, 8))
    width = 64 * heads
    save_model(
        folder,
        hidden_size=width,
        intermediate_size=round(width * rng.choice((2, 8 / 3, 4)) / 64) * 64,
        num_hidden_layers=rng.randint(4, 12),
        num_attention_heads=heads,
        num_key_value_heads=heads // rng.choice((1, 2)),
        vocab_size=rng.choice((8000, 16000, 32000)),
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    return str(folder)


def _case(
    folder: Path,
    model: str,
    training: dict[str, Any],
    kind: str,
    rng: random.Random,
    *,
    held_out: bool,
) -> Case:
    folder.mkdir()
    share = rng.choice((0.2, 0.5, 0.8))
    made = _pairs if training.get("training_method") == "dpo" else _rows
    rows = write_rows(folder / "train.jsonl", made(96, kind, share, rng))
    values = {
        "model": model,
        "training_file": str(rows),
        "batch_size": rng.choice({"short": (16, 32), "middle": (4, 8, 16), "long": (2, 4)}[kind]),
        "n_epochs": 50,
        "learning_rate": 1e-4,
    }
    if held_out:
        values["validation_file"] = str(
            write_rows(folder / "held-out.jsonl", made(24, kind, share, rng))
        )
        values["n_evals"] = 2
    values |= {name: value for name, value in training.items() if name not in OPTIONS}
    options = {name: value for name, value in training.items() if name in OPTIONS}
    report = scan(rows, model)
    validation = scan(values["validation_file"], model) if held_out else None
    title = ", ".join([kind, *(f"{name} {value}" for name, value in training.items())])
    case = Case(f"{Path(model).name}: {title}", values, options, report, validation)
    steps = max(8, min(80, round(RUN_SECONDS / _seconds_per_step(case))))
    return replace(case, values={**values, "max_steps": steps})


def _rows(n: int, kind: str, share: float, rng: random.Random) -> list[dict[str, Any]]:
    """Chats of random letters; `share` of a row is answer."""
    sizes = [rng.randint(*ROWS[kind]) for _ in range(n)]
    return [{"messages": [_asked(size, share, rng), _said(size, share, rng)]} for size in sizes]


def _pairs(n: int, kind: str, share: float, rng: random.Random) -> list[dict[str, Any]]:
    """The same with two answers, of which the second is half to one and a half times as long."""
    sizes = [rng.randint(*ROWS[kind]) for _ in range(n)]
    return [
        {
            "input": {"messages": [_asked(size, share, rng)]},
            "preferred_output": [_said(size, share, rng)],
            "non_preferred_output": [_said(size, share * rng.uniform(0.5, 1.5), rng)],
        }
        for size in sizes
    ]


def _asked(size: int, share: float, rng: random.Random) -> dict[str, str]:
    return {"role": "user", "content": _text(round(size * (1 - share)), rng)}


def _said(size: int, share: float, rng: random.Random) -> dict[str, str]:
    return {"role": "assistant", "content": _text(round(size * share), rng)}


def _text(length: int, rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz    ", k=max(length, 1)))


def _seconds_per_step(case: Case) -> float:
    found = estimate({**case.values, "max_steps": 10}, case.report, options=case.options)
    assert found.duration is not None
    return statistics.mean(found.duration) / 10 / 2


def run_of(case: Case, folder: Path) -> tuple[float, float]:
    """Seconds and peak bytes of a run."""
    began = time.time()
    run = submit(
        case.values,
        report=case.report,
        validation=case.validation,
        folder=folder,
        **case.options,
    )
    peak = _peak_of(run)
    assert run.state.status == "completed", run.state
    return run.history.statuses[-1].time - began, peak


def _peak_of(run: Run) -> float:
    """Highest resident size of the run's process, read until it ends."""
    process, peak = None, 0
    while not run.state.ended:
        if process is None:
            process = next(filter(None, map(_if_of(run), psutil.Process().children())), None)
        else:
            peak = max(peak, _high_water(process.pid))
        time.sleep(0.02)
    return peak


def _if_of(run: Run):
    def found(process: psutil.Process) -> psutil.Process | None:
        try:
            return process if str(run.path) in process.cmdline() else None
        except psutil.Error:  # it ended between the two lines
            return None

    return found


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


# --- fit -------------------------------------------------------------------------------------


def fit(folder: Path, _: argparse.Namespace) -> int:
    """Print the constants that six runs give."""
    jobs, peaks, probes = cases(folder, FIT_SEED), [], []
    for case in jobs:
        probes.append(case.probe())
        peaks.append(run_of(case, folder / "runs")[1])
        grown = peaks[-1] / probes[-1].peak_bytes
        print(
            f"{case.title}: {case.plan.parts.total / GIB:.3f} GiB by the formula, run "
            f"{peaks[-1] / GIB:.3f}, {grown:.3f} times the probe's; "
            f"{probes[-1].step_seconds:.3f} s per step, expected {probes[-1].expected:.3f}, "
            f"{probes[-1].cpu_share:.0%} of the cores",
            flush=True,
        )
    _fit_memory(jobs, np.array(peaks))
    _fit_time(jobs, probes)
    return 0


def _fit_memory(jobs: list[Case], peaks: np.ndarray) -> None:
    """The process, as what the peaks leave over; each run counts by its size."""
    known = np.array([case.plan.parts.total - case.plan.parts.process for case in jobs])
    process = np.average(peaks - known, weights=1 / peaks**2)
    print(f"PROCESS_BYTES {process / GIB:.3f} GiB")
    for case, off in zip(jobs, (known + process) / peaks - 1, strict=True):
        print(f"  {case.title}: {off:+.1%}")


def _fit_time(jobs: list[Case], probes: list[Measurement]) -> None:
    """Speeds per core, on what the steps would take with all cores to themselves."""
    cores, rows, seconds = detect()[-1].n_cores, [], []
    for case, measured in zip(jobs, probes, strict=True):
        plan = case.plan
        work = training_work(plan.decoder, plan.setup, plan.rows) * measured.step_tokens
        rows.append((work.operations / 1e9 / cores, work.traffic / 1e9 / cores))
        seconds.append(measured.step_seconds * min((measured.cpu_share or 1) / 0.9, 1))
    taken = np.array(seconds)
    found, *_ = np.linalg.lstsq(np.array(rows) / taken[:, None], np.ones(len(jobs)), rcond=None)
    print(f"per core: {1 / found[0]:.3g}e9 operations and {1 / found[1]:.3g} GB per second")
    for case, row, second in zip(jobs, rows, taken, strict=True):
        print(f"  {case.title}: {row @ found / second - 1:+.0%}")


# --- judge -----------------------------------------------------------------------------------


def judge(folder: Path, asked: argparse.Namespace) -> int:
    """Compare estimates, probes and runs; the exit status says whether the targets are met."""
    missed = 0
    print("                                             memory GiB                     seconds")
    print(
        "                                             run   formula   probe   |   run   after probe"
    )
    for case in cases(folder, asked.seed):
        before = case.plan.parts.total
        pairs = []
        for _ in range(asked.pairs):
            measured = case.probe()
            after = case.estimate()
            seconds, peak = run_of(case, folder / "runs")
            pairs.append((seconds, peak, after, measured))
        missed += _report(case, before, pairs)
    print(f"{missed} figures beyond their target")
    return int(missed > 0)


def _report(case: Case, before: float, pairs: list[Any]) -> int:
    peaks = [peak for _, peak, _, _ in pairs]
    memory = statistics.median(before / peak - 1 for peak in peaks)
    probed = statistics.median(
        statistics.mean(after.memory) / peak - 1 for _, peak, after, _ in pairs
    )
    timed = [statistics.mean(after.duration) / seconds - 1 for seconds, _, after, _ in pairs]
    wrong = (
        abs(memory) > MEMORY_BEFORE,
        abs(probed) > MEMORY_AFTER,
        abs(statistics.median(timed)) > TIME_AFTER,
    )
    shares = ", ".join(f"{measured.cpu_share:.0%}" for *_, measured in pairs)
    print(
        f"{case.title}\n    run {statistics.median(peaks) / GIB:.2f} GiB: formula {memory:+.1%}, "
        f"after the probe {probed:+.1%}; run {statistics.median(s for s, *_ in pairs):.0f} s: "
        f"after the probe {statistics.median(timed):+.1%} "
        f"({', '.join(f'{t:+.0%}' for t in timed)}; cores {shares}){' ✗' * any(wrong)}",
        flush=True,
    )
    return sum(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("fit").set_defaults(do=fit)
    judged = verbs.add_parser("judge")
    judged.add_argument("--seed", type=int, default=2)
    judged.add_argument("--pairs", type=int, default=5)
    judged.set_defaults(do=judge)
    published = verbs.add_parser("published")
    published.add_argument("folder", type=Path)
    published.set_defaults(do=lambda _, asked: compare(asked.folder))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FTLAB_LEASES"] = str(folder / "leases")
        os.environ["FTLAB_CACHE"] = str(folder / "cache")
        sys.exit(asked.do(folder, asked))


if __name__ == "__main__":
    main()
