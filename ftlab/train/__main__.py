"""`python -m ftlab.train RUN`: one run, from its job.json to its last event.

Holds the run's lock for its whole life and the device's lease while it trains. Every end, also
a bad one, is written into the log as long as this process can still write.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftlab.devices import leases
from ftlab.endings import note_birth, note_words
from ftlab.errors import FtlabError
from ftlab.eventlog import EventWriter
from ftlab.events import Checkpoint, Event, Log, RowLosses, Status
from ftlab.job import Job, LocalOptions
from ftlab.processes import loading
from ftlab.run import Run
from ftlab.train.base_files import with_base
from ftlab.train.checkpoints import copy_tuned, keep_only
from ftlab.train.device import OUT_OF_MEMORY, chosen_devices, is_out_of_memory, usable
from ftlab.train.launched import around, own_rank, there_for_others
from ftlab.train.others import gathered
from ftlab.train.position import Position
from ftlab.train.saving import NO_ROOM, Pace, Saving, rows_cut, warnings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ftlab.train")
    parser.add_argument("run", type=Path)
    parser.add_argument("--lock", type=int, help="handle of the run's lock, held already")
    arguments = parser.parse_args()
    if own_rank() > 0:
        from ftlab.train.follower import follow

        return follow()
    with there_for_others():
        return _first(arguments)


def _first(arguments: argparse.Namespace) -> int:
    """The run's own process."""
    run = Run(arguments.run)
    if arguments.lock is None:
        try:
            run.begin()
        except FtlabError as exc:
            print(exc)
            return 1
    return carry_out(run)


def carry_out(run: Run, pace: Pace | None = None) -> int:
    """Run a run whose lock is held, to its end or its pause; the exit status of the process."""
    note_birth(run.lock_file, os.getpid())
    asked = _listen(run)
    writer, rows = run.writer(), run.row_writer()
    try:
        for event in _events(run, writer, asked, pace):
            (rows if isinstance(event, RowLosses) else writer).append(event)
        return 0
    except FtlabError as exc:
        _say_failed(run, writer, str(exc))
    except Exception as exc:
        _say_failed(run, writer, in_words(exc))
        with contextlib.suppress(OSError):  # the log may be on a full disk
            traceback.print_exc()
    finally:
        rows.close()
        writer.close()
    return 1


def _events(
    run: Run, writer: EventWriter, asked: Callable[[], str | None], pace: Pace | None
) -> Iterator[Event | RowLosses]:
    """All that happens in this process; what it waits for is written at once."""
    if asked() is not None:  # to stop a paused run takes neither its model nor the network
        yield from _ended_waiting(run, asked())
        return
    job = with_base(run, writer.append, asked)
    if job is None:
        yield from _ended_waiting(run, asked())
        return
    devices = chosen_devices(LocalOptions(**job.options), around())

    def waiting(device: str, holder: str) -> None:
        writer.append(Status(status="queued", detail=f"waiting for {device}, used by {holder}"))

    with leases(devices, run.id, waiting, lambda: asked() is not None) as granted:
        if not granted:
            yield from _ended_waiting(run, asked())
            return
        with gathered(devices, partial(_end_at_once, run), partial(_note, run)) as room:
            with loading():
                import peft  # noqa: F401
                from transformers import AutoModelForCausalLM  # noqa: F401

                from ftlab.train.loop import train
            device, problem = usable(devices)
            if problem:
                yield Log(level="warning", text=problem)
            job, saving = _with_origin(job, run), _saving(run, pace)
            yield from train(job, run.adapter, device, asked, saving, run.history.attempt, room())


def _saving(run: Run, pace: Pace | None) -> Saving:
    return Saving(run.checkpoints, pace, {saved.ref for saved in run.history.checkpoints})


def _end_at_once(run: Run, text: str) -> None:
    """End this process, which may wait for a GPU that never answers, with these last words."""
    _note(run, text)
    os._exit(1)


def _note(run: Run, text: str) -> None:
    with contextlib.suppress(OSError):  # the folder may be gone
        note_words(run.lock_file, text)


def _with_origin(job: Job, run: Run) -> Job:
    """The job, which goes on from the run's own copy of an adapter."""
    if not run.origin.is_dir():
        return job
    spec = job.spec.changed(from_checkpoint=str(run.origin))
    return job.model_copy(update={"spec": spec})


def _ended_waiting(run: Run, request: str | None) -> Iterator[Event]:
    """What becomes of a run that was asked to end before it had its device: nothing is loaded."""
    saving = Saving(run.checkpoints)
    position, newest, problems = saving.newest()
    yield from warnings(problems)
    if request == "pause":
        yield Status(status="paused", detail=f"paused at step {position.step:,}")
    elif request == "cancel" or newest is None:
        keep_only(saving.folder, ())
        yield Status(status="cancelled", detail="cancelled before it began")
    else:
        yield from _kept(run, saving, position, newest)


def _kept(run: Run, saving: Saving, position: Position, newest: Path) -> Iterator[Event]:
    """The result of a run that is stopped where it had paused."""
    best, detail = saving.best(run.job.spec, position), f"stopped at step {position.step:,}"
    copy_tuned(best.folder or newest, run.adapter)
    yield Checkpoint(step=best.step, ref=run.adapter.name)
    said = (best.problem, rows_cut(position.n_cut, run.job.spec))
    yield from warnings(text for text in said if text)
    detail = f"{detail}{best.in_words}"
    yield Status(status="completed", detail=detail, from_step=position.step)


def _say_failed(run: Run, writer: EventWriter, text: str) -> None:
    """Write it into the log; where that can't be written, beside it."""
    try:
        writer.append(Status(status="failed", detail=text))
    except OSError:
        _note(run, text)


def _listen(run: Run) -> Callable[[], str | None]:
    """What was asked of the run, by its request file or by a signal.

    SIGTERM and Ctrl-C ask it to pause: its state is saved, and it can go on later.
    """
    signalled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: signalled.set())
    return lambda: run.asked() or ("pause" if signalled.is_set() else None)


def in_words(exc: Exception) -> str:
    """Why the trainer ends."""
    if is_out_of_memory(exc):
        return OUT_OF_MEMORY
    if isinstance(exc, OSError) and exc.errno in NO_ROOM:
        return (
            f"There is no room in the run's folder ({exc.strerror}); a run needs some for its "
            "events and its weights. Make room, and resume it."
        )
    return (
        f"The trainer failed unexpectedly ({type(exc).__name__}: {exc}). The whole trace is in the "
        "run's log.txt; nothing else was changed."
    )


if __name__ == "__main__":
    sys.exit(main())
