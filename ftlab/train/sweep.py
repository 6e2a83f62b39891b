"""`python -m ftlab.train.sweep SWEEP`: a sweep, from its plan to its last event.

Holds the sweep's lock for its whole life. On one device it trains all arms itself: it holds their
locks until each ends, and base weights, rows and imports are those of all arms. On several, or in
a cluster, workers train them side by side. It has the leases of this machine's devices meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from ftlab.devices import leases
from ftlab.eventlog import EventWriter
from ftlab.events import Event, Log, Status
from ftlab.files import replace_file
from ftlab.job import Job, LocalOptions
from ftlab.processes import loading
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.train.__main__ import begin, with_origin, write
from ftlab.train.base_files import with_base
from ftlab.train.crew import Crew, Workers
from ftlab.train.device import chosen_devices, usable
from ftlab.train.saving import Pace
from ftlab.train.sweeping import Sweeping
from ftlab.train.workers import WorkersHere


def main() -> int:
    return begin("ftlab.train.sweep", Sweep, carry_out)


def carry_out(sweep: Sweep, pace: Pace | None = None) -> int:
    """Run a sweep whose lock is held, to its end or its pause; the exit status of the process."""
    return write(sweep, partial(_events, sweep, pace=pace))


def _events(
    sweep: Sweep, writer: EventWriter, asked: Callable[[], str | None], pace: Pace | None
) -> Iterator[Event]:
    """All that happens in this process; what it waits for is written at once."""
    options, address = LocalOptions(**sweep.job.options), sweep.plan.ray
    devices = [] if address else chosen_devices(options)[: len(sweep.plan.arms)]
    with closing(Sweeping(sweep, asked, pace, apart=len(devices) != 1)) as sweeping:
        job = with_base(sweep, writer.append, asked) if asked() is None else None
        if job is None:  # to stop a paused sweep takes neither its model nor the network
            yield sweeping.ended()
            return

        def waiting(device: str, holder: str) -> None:
            writer.append(Status(status="queued", detail=f"waiting for {device}, used by {holder}"))

        with leases(devices, sweep.id, waiting, lambda: asked() is not None) as granted:
            if not granted:
                yield sweeping.ended()
            elif len(devices) == 1:
                yield from _on(devices[0], sweep, sweeping, asked)
            else:
                with closing(_workers(devices, address, options.device)) as workers:
                    yield from sweeping.events(Crew(sweep, workers, asked, writer.append))


def _workers(devices: list[str], address: str | None, device: str) -> Workers:
    """Those of this machine, one for each device, or those of the cluster at an address."""
    if address is None:
        return WorkersHere(devices)
    from ftlab.train.cluster import Cluster

    return Cluster(address, device)


def _on(
    device: str, sweep: Sweep, sweeping: Sweeping, asked: Callable[[], str | None]
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
    crowd = sweep.path / CROWD
    try:
        yield from sweeping.events(Turns(Shared(device), partial(job_of, sweep), asked, crowd))
    finally:  # whoever is killed leaves it
        crowd.unlink(missing_ok=True)


CROWD = "in_memory.txt"
"""How many arms are in memory at once, in the folder of the sweep while its process lives."""


def job_of(sweep: Sweep, run: Run) -> Job:
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
