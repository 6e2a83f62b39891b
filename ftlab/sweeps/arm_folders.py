"""The folders of a sweep's arms: runs of its own, or links to those at a service."""

from __future__ import annotations

import shutil
from pathlib import Path

from ftlab.errors import RunError
from ftlab.job import Job
from ftlab.run import Run
from ftlab.run_folder import new_folder


def leads_nowhere(folder: Path) -> bool:
    """Whether it is a link to a run that was deleted."""
    return folder.is_symlink() and not folder.exists()


def make(folder: Path, job: Job, among: Path | None = None) -> None:
    """The run of an arm. One at a service is a run like the others there, `among` the runs, which
    the ledger knows by its name: the sweep has a link to it, and has it first, so that no run is
    made that it does not know. Raises RunError where that run was deleted."""
    if leads_nowhere(folder):
        raise RunError(
            f"{folder} leads to a run that was deleted; an arm at a service runs once. Start "
            "another sweep for it."
        )
    if among is None:
        shutil.rmtree(folder, ignore_errors=True)  # a process was killed here
        folder.mkdir(mode=0o700, parents=True)
    elif not folder.is_symlink():
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        path = new_folder(among, job.spec.suffix or "run", job.created_at)
        folder.symlink_to(Path("..", "..", path.name))
    Run.at(folder.resolve(), job)
