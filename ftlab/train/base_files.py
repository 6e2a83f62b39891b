"""The files of the base model, fetched before a run asks for its device."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ftlab.downloads import Progress, Stopped
from ftlab.events import Event, Log, Status
from ftlab.job import Job
from ftlab.models import fetch
from ftlab.run import Run
from ftlab.spec import filled

PACE = 1.0  # seconds between two events at first
SLOWER = 0.01  # share of the time so far: hours of downloading make hundreds of events
SNAPSHOTS = "snapshots"  # the folder of the hub's cache that has a folder for each commit

Tell = Callable[[Event], None]


def with_base(run: Run, tell: Tell, asked: Callable[[], object]) -> Job | None:
    """The job at the very commit of its model that its first process found, after telling how the
    download went; None when the run was asked to end meanwhile.

    The commit is kept with the run: a branch of the hub moves on, and a run that goes on does not.

    Raises UnreadableData when the model can't be had.
    """
    job, spec = run.job, run.job.spec
    model = filled(spec.model, "model")
    paced = _Paced(tell)
    try:
        folder = fetch(
            model,
            run.commit or spec.hf_model_revision,
            told=paced.told,
            stopped=lambda: asked() is not None,
        )
    except Stopped:
        return None
    if paced.has_told:
        tell(Status(status="queued", detail="the model is here; starting"))
    if folder.parent.name != SNAPSHOTS:
        return job
    if run.commit is None:
        _write(run.commit_file, folder.name)
    tell(Log(text=f"{model} is used as it was at commit {folder.name}."))
    return job.model_copy(update={"spec": spec.changed(hf_model_revision=folder.name)})


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    staged = file.with_name(f"{file.name}.new")
    staged.write_text(text, encoding="utf-8")
    staged.replace(file)


class _Paced:
    """Turns progress into events, not more than a reader can follow."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._began = self._last = time.monotonic()
        self.has_told = False

    def told(self, progress: Progress) -> None:
        now = time.monotonic()
        if self.has_told and now - self._last < max(PACE, SLOWER * (now - self._began)):
            return
        self._last, self.has_told = now, True
        self._tell(Status(status="queued", detail=str(progress)))
