"""Starting the mirrors of a run, each as a process of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ftlab.errors import RunError
from ftlab.processes import spawn, try_lock
from ftlab.run_folder import RunFolder
from ftlab.trackers import TRACKERS
from ftlab.trackers.needs import problem_with
from ftlab.trackers.states import Mirrored, MirrorFolder

if TYPE_CHECKING:
    from ftlab.run import Run

PATIENCE = 15 * 60.0
"""Seconds after a run's end in which a tracker may take the rest."""


def track(
    run: RunFolder,
    trackers: Iterable[str],
    project: str | None = None,
    patience: float = PATIENCE,
) -> None:
    """Mirror a run in these trackers from its beginning: what they have already is not sent again.
    Where one is being mirrored, it goes on. Raises RunError for what is missing here."""
    names = list(dict.fromkeys(trackers))
    for name in names:
        if problem := _unknown(name) or problem_with(name):
            raise RunError(problem)
    for name in names:
        _start(MirrorFolder(run, name), project, patience)


def track_again(run: Run) -> None:
    """The mirrors that a run's job asks for, and those that it had, for an attempt that has begun.
    What goes wrong is said where mirrors are shown: no run waits for one, or fails with one."""
    asked = run.job.options.get("track", ()) if run.job.provider == "local" else ()
    for name in dict.fromkeys([*asked, *run.tracked]):
        folder = MirrorFolder(run, name)
        project = folder.state.project or run.job.options.get("track_project")
        try:
            _start(folder, project, PATIENCE)
        except OSError as exc:
            text = f"Its process could not be started ({exc}). Make room for it, and try again."
            folder.say(folder.state._replace(problem=text))


def _start(folder: MirrorFolder, project: str | None, patience: float) -> None:
    """Start the process, which holds the mirror's lock from birth, unless one does already."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, lock)
        if not try_lock(lock):
            return
        known = folder.state
        project = project or known.project
        folder.say(Mirrored(project, known.step, known.link))
        where = ["--project", project] if project else []
        arguments = [str(folder.run.path), "--to", folder.tracker, *where]
        spawn("ftlab.trackers", [*arguments, "--patience", str(patience)], folder.log_file, lock)


def _unknown(name: str) -> str:
    if name in TRACKERS:
        return ""
    return f"There is no tracker {name!r}; ftlab knows {', '.join(TRACKERS)}. Use one of those."
