"""`python -m ftlab.train.sweep SWEEP`: all arms of a sweep on one device, in one process.

Holds the sweep's lock for its whole life, those of its arms until each ends, and the device's
lease while it trains. Base weights, rows and imports are those of all arms.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from ftlab.devices import lease
from ftlab.eventlog import EventWriter
from ftlab.events import Event, Log, Status
from ftlab.files import replace_file
from ftlab.job import Job, LocalOptions
from ftlab.processes import loading
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.train.__main__ import begin, with_origin, write
from ftlab.train.base_files import with_base
from ftlab.train.device import chosen_device, usable
from ftlab.train.saving import Pace
from ftlab.train.sweeping import Sweeping


def main() -> int:
    return begin("ftlab.train.sweep", Sweep, carry_out)


def carry_out(sweep: Sweep, pace: Pace | None = None) -> int:
    """Run a sweep whose lock is held, to its end or its pause; the exit status of the process."""
    return write(sweep, partial(_events, sweep, pace=pace))


def _events(
    sweep: Sweep, writer: EventWriter, asked: Callable[[], str | None], pace: Pace | None
) -> Iterator[Event]:
    """All that happens in this process; what it waits for is written at once."""
    with closing(Sweeping(sweep, asked, pace)) as sweeping:
        job = with_base(sweep, writer.append, asked) if asked() is None else None
        if job is None:  # to stop a paused sweep takes neither its model nor the network
            yield sweeping.ended()
            return
        options = LocalOptions(**job.options)
        device = chosen_device(options)

        def waiting(holder: str) -> None:
            writer.append(Status(status="queued", detail=f"waiting for {device}, used by {holder}"))

        with lease(device, sweep.id, waiting, lambda: asked() is not None) as granted:
            if not granted:
                yield sweeping.ended()
                return
            yield from _on(device, options, sweep, sweeping, asked)


def _on(
    device: str,
    options: LocalOptions,
    sweep: Sweep,
    sweeping: Sweeping,
    asked: Callable[[], str | None],
) -> Iterator[Event]:
    """All that happens on a device."""
    with loading():
        import peft  # noqa: F401
        from transformers import AutoModelForCausalLM  # noqa: F401

        from ftlab.train.shared import Shared
        from ftlab.train.turns import Turns
    device, problem = usable([device])
    if problem:
        yield Log(level="warning", text=problem)
    if options.n_gpus > 1:
        yield Log(level="warning", text=ONE_DEVICE.format(options.n_gpus, device))
    crowd = sweep.path / CROWD
    try:
        yield from sweeping.events(Turns(Shared(device), partial(_job_of, sweep), asked, crowd))
    finally:  # whoever is killed leaves it
        crowd.unlink(missing_ok=True)


CROWD = "in_memory.txt"
"""How many arms are in memory at once, in the folder of the sweep while its process lives."""


ONE_DEVICE = (
    "n_gpus is {}; the arms of a sweep take turns on one device, which is {} here. Train the "
    "winner on several."
)


def _job_of(sweep: Sweep, run: Run) -> Job:
    """The job of an arm, at the commit of its model that the sweep found; an adapter that all go on
    from is read where the first one has it."""
    job = with_origin(run.job, sweep.arms[0][1])
    if sweep.commit is None:
        return job
    replace_file(run.commit_file, sweep.commit.encode())
    spec = job.spec.changed(hf_model_revision=sweep.commit)
    return job.model_copy(update={"spec": spec})


if __name__ == "__main__":
    sys.exit(main())
