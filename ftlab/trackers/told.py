"""What a tracker is told of a run: at its start, along its steps, and at its end."""

from __future__ import annotations

from ftlab.eventlog import History
from ftlab.events import Checkpoint, Event, Metrics, Sample, Status
from ftlab.run import Run
from ftlab.trackers import Told

OWN = ("track", "track_project")
ARMS = "arms"


def told_of(run: Run, tracker: str, project: str | None) -> Told:
    """Its name, settings and digests; never a secret, for a job holds none."""
    job, about = run.job, run.about
    of_sweep = run.path.parent.name == ARMS
    group = run.path.parents[1].name if of_sweep else None
    settings = {
        "provider": job.provider,
        **job.spec.model_dump(mode="json"),
        **{name: value for name, value in job.options.items() if name not in OWN},
        "data_sha256": job.data_sha256,
        "validation_sha256": job.validation_sha256,
        "data_format": job.data_format,
        "ftlab_version": job.ftlab_version,
    }
    return Told(
        id=f"{group}-{run.id}" if of_sweep else run.id,
        folder=run.mirror(tracker),
        runs=run.path.parents[2] if of_sweep else run.path.parent,
        name=about.name or (f"{group} arm {run.id}" if of_sweep else run.id),
        notes=about.notes,
        tags=about.tags,
        group=group,
        project=project,
        settings=settings,
    )


def ending_of(run: Run, history: History) -> dict[str, str]:
    """How it stands at its end, for people."""
    state = run.state
    found = {"status": state.status, "detail": state.detail}
    if history.checkpoints:
        places = (f"step {c.step}: {c.ref}" for c in history.checkpoints)
        found["checkpoints"] = "\n".join(places)
    if run.adapter.exists():
        found["tuned"] = str(run.adapter)
    if history.series.get("train_loss"):
        found["doctor"] = run.diagnosis().headline
    return {name: text for name, text in found.items() if text}


class Axes:
    """Trained tokens and seconds of training along the steps."""

    def __init__(self) -> None:
        self._tokens: dict[int, float] = {}
        self.history = History()

    def add(self, event: Event) -> dict[str, float]:
        """Take in the next event that counts; what is known at its step if it is of metrics."""
        self.history.add(event)
        if isinstance(event, Status) and event.from_step is not None:
            until = event.from_step
            self._tokens = {step: n for step, n in self._tokens.items() if step <= until}
        if not isinstance(event, Metrics):
            return {}
        known = {"training_seconds": self.history.seconds[event.step]}
        until_now = next(reversed(self._tokens.values()), 0.0)
        if (new := event.values.get("loss_tokens")) is not None:
            self._tokens[event.step] = until_now = until_now + new
        return {"trained_tokens": until_now, **known} if self._tokens else known


def step_of(event: Event) -> int | None:
    """The step that an event is about; None for what is about none."""
    return event.step if isinstance(event, (Metrics, Checkpoint, Sample)) else None
