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
from typing import TypeVar

from ftlab.devices import leases
from ftlab.endings import note_birth, note_words
from ftlab.errors import FtlabError
from ftlab.eventlog import EventWriter
from ftlab.events import Event, Log, RowLosses, Status
from ftlab.job import Job, LocalOptions
from ftlab.processes import loading
from ftlab.run import Run
from ftlab.train.base_files import with_base
from ftlab.train.device import OUT_OF_MEMORY, chosen_devices, is_out_of_memory, usable
from ftlab.train.launched import around, own_rank, there_for_others
from ftlab.train.others import gathered
from ftlab.train.resting import ended_resting
from ftlab.train.saving import NO_ROOM, Pace, Saving

Kind = TypeVar("Kind", bound=Run)
Happening = Callable[[EventWriter, Callable[[], str | None]], Iterator[Event | RowLosses]]
"""What happens to a run; it may write at once, and is told how to look for requests."""


def main() -> int:
    if own_rank() > 0:
        from ftlab.train.follower import follow

        return follow()
    with there_for_others():
        return begin("ftlab.train", Run, carry_out)


def begin(module: str, kind: type[Kind], carry_out: Callable[[Kind], int]) -> int:
    """Carry out what the command line names, after taking its lock where nobody holds it for this
    process; the exit status of the process."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, help="handle of its lock, held already")
    arguments = parser.parse_args()
    try:
        found = kind(arguments.folder)
        if arguments.lock is None:
            found.begin()
    except FtlabError as exc:
        print(exc)
        return 1
    return carry_out(found)


def carry_out(run: Run, pace: Pace | None = None) -> int:
    """Run a run whose lock is held, to its end or its pause; the exit status of the process."""
    return write(run, partial(_events, run, pace=pace))


def write(run: Run, events: Happening) -> int:
    """Write all that happens in this process into the run's log; the exit status of the process."""
    note_birth(run.lock_file, os.getpid())
    asked = _listen(run)
    writer, rows = run.writer(), run.row_writer()
    try:
        for event in events(writer, asked):
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
        yield from ended_resting(run, asked())
        return
    job = with_base(run, writer.append, asked)
    if job is None:
        yield from ended_resting(run, asked())
        return
    devices = chosen_devices(LocalOptions(**job.options), around())

    def waiting(device: str, holder: str) -> None:
        writer.append(Status(status="queued", detail=f"waiting for {device}, used by {holder}"))

    with leases(devices, run.id, waiting, lambda: asked() is not None) as granted:
        if not granted:
            yield from ended_resting(run, asked())
            return
        with gathered(devices, partial(_end_at_once, run), partial(_note, run)) as room:
            with loading():
                import peft  # noqa: F401
                from transformers import AutoModelForCausalLM  # noqa: F401

                from ftlab.train.loop import train
            device, problem = usable(devices)
            if problem:
                yield Log(level="warning", text=problem)
            job, saving = with_origin(job, run), _saving(run, pace)
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


def with_origin(job: Job, run: Run) -> Job:
    """The job, which goes on from the run's own copy of an adapter."""
    if not run.origin.is_dir():
        return job
    spec = job.spec.changed(from_checkpoint=str(run.origin))
    return job.model_copy(update={"spec": spec})


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
