"""The files of the base model, fetched before a run asks for its device."""

from __future__ import annotations

import time
from collections.abc import Callable

from ftlab.downloads import Progress, Stopped
from ftlab.events import Event, Log, Status
from ftlab.job import Job
from ftlab.models import fetch
from ftlab.spec import filled

PACE = 1.0  # seconds between two events at first
SLOWER = 0.01  # share of the time so far: hours of downloading make hundreds of events
SNAPSHOTS = "snapshots"  # the folder of the hub's cache that has a folder for each commit

Tell = Callable[[Event], None]


def with_base(job: Job, tell: Tell, asked: Callable[[], object]) -> Job | None:
    """The job at the very commit of its model that is on this machine now, after telling how its
    download went; None when the run was asked to end meanwhile.

    Raises UnreadableData when the model can't be had.
    """
    spec = job.spec
    model = filled(spec.model, "model")
    paced = _Paced(tell)
    try:
        folder = fetch(
            model,
            spec.hf_model_revision,
            told=paced.told,
            stopped=lambda: asked() is not None,
        )
    except Stopped:
        return None
    if paced.has_told:
        tell(Status(status="queued", detail="the model is here; starting"))
    if folder.parent.name != SNAPSHOTS:
        return job
    tell(Log(text=f"{model} is used as it was at commit {folder.name}."))
    return job.model_copy(update={"spec": spec.changed(hf_model_revision=folder.name)})


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
