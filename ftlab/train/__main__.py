"""`python -m ftlab.train RUN`: one run, from its job.json to its last event.

Holds the run's lock for its whole life and the device's lease while it trains. Every end, also
a bad one, is written into the log as long as this process can still write.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from ftlab.devices import lease
from ftlab.errors import FtlabError
from ftlab.eventlog import EventWriter
from ftlab.events import Log, Status
from ftlab.job import LocalOptions
from ftlab.processes import loading
from ftlab.runs import Run
from ftlab.train.base_files import with_base
from ftlab.train.device import OUT_OF_MEMORY, chosen_device, is_out_of_memory, usable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ftlab.train")
    parser.add_argument("run", type=Path)
    parser.add_argument("--lock", type=int, help="handle of the run's lock, held already")
    arguments = parser.parse_args()
    run = Run(arguments.run)
    if arguments.lock is None:
        run.lock()
    if run.state.ended and run.history.status is not None:
        print(f"{run.id} is {run.status} already; a run runs once. Submit the job again.")
        return 1
    asked = _listen(run)
    writer = run.writer()
    try:
        return _train(run, writer, asked)
    except FtlabError as exc:
        writer.append(Status(status="failed", detail=str(exc)))
    except Exception as exc:
        traceback.print_exc()
        detail = OUT_OF_MEMORY if is_out_of_memory(exc) else _unexpected(exc)
        writer.append(Status(status="failed", detail=detail))
    finally:
        writer.close()
    return 1


def _train(run: Run, writer: EventWriter, asked: Callable[[], str | None]) -> int:
    job = with_base(run.job, writer.append, asked)
    if job is None:
        writer.append(Status(status="cancelled", detail="cancelled before it began"))
        return 0
    device = chosen_device(LocalOptions(**job.options))

    def waiting(holder: str) -> None:
        writer.append(Status(status="queued", detail=f"waiting for {device}, used by {holder}"))

    with lease(device, run.id, waiting, lambda: asked() is not None) as granted:
        if not granted:
            writer.append(Status(status="cancelled", detail="cancelled before it began"))
            return 0
        with loading():
            import peft  # noqa: F401
            from transformers import AutoModelForCausalLM  # noqa: F401

            from ftlab.train.loop import train
        device, problem = usable(device)
        if problem:
            writer.append(Log(level="warning", text=problem))
        for event in train(job, run.adapter, device, asked):
            writer.append(event)
    return 0


def _listen(run: Run) -> Callable[[], str | None]:
    """What was asked of the run, by its request file or by a signal.

    SIGTERM and Ctrl-C ask it to stop: what was learned until then is kept.
    """
    signalled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: signalled.set())
    return lambda: run.asked() or ("stop" if signalled.is_set() else None)


def _unexpected(exc: Exception) -> str:
    return (
        f"The trainer failed unexpectedly ({type(exc).__name__}: {exc}). The whole trace is in the "
        "run's log.txt; nothing else was changed."
    )


if __name__ == "__main__":
    sys.exit(main())
