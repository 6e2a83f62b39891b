"""Track: what a run has told of its course, whichever tool trained it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ftlab.run import Run

Axis = Literal["step", "tokens", "time"]
AXES: dict[Axis, str] = {"step": "step", "tokens": "trained tokens", "time": "seconds of training"}
NOT_SETTINGS = ("usd_per_hour", "track", "track_project")
"""Options that say neither what is learned nor how fast."""
Steps = Mapping[int, float]
"""Step → value, the steps rising."""


class DataFile(NamedTuple):
    """A file of rows, as it was."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Track:
    """The curves of one run, with what it was set to."""

    name: str
    source: str
    """Who trained it, or told of it: local, together, Hugging Face, W&B, TensorBoard, a table."""
    series: Mapping[str, Steps]
    """Metric by ftlab's name → step → value."""
    tokens: Steps = field(default_factory=dict[int, float])
    """Trained tokens until then; empty where nobody counted."""
    seconds: Steps = field(default_factory=dict[int, float])
    """Seconds of training until then; empty where nobody took the time."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it was set to, as far as that is known; a None is a setting too."""
    data: DataFile | None = None
    """What it trained on, where that is known."""
    run: Run | None = None
    """Where it is one of ours."""
    place: int | None = None
    """Which colour it has; otherwise that of its place among those that are drawn."""

    def along(self, metric: str, axis: Axis = "step") -> tuple[list[float], list[float]]:
        """Places on the axis, and values; nothing where the axis is not known. What is no number is
        NaN at its place."""
        points = self.series.get(metric, {})
        places = self._places(axis)
        if places is None:
            return [], []
        known = {step: at for step in points if (at := places(step)) is not None}
        values = [points[step] for step in known]
        return list(known.values()), [v if math.isfinite(v) else math.nan for v in values]

    def has(self, axis: Axis) -> bool:
        """Whether it can be drawn along that."""
        return self._places(axis) is not None

    def _places(self, axis: Axis) -> Any:
        if axis == "step":
            return float
        told = self.tokens if axis == "tokens" else self.seconds
        if not told:
            return None
        steps = list(told)

        def place(step: int) -> float | None:
            """What was told of the step, or of the last one before it."""
            if step in told:
                return told[step]
            before = bisect_right(steps, step)
            return told[steps[before - 1]] if before else (0.0 if step <= 0 else None)

        return place

    def broken(self, metric: str = "train_loss") -> list[int]:
        """The steps at which a metric was no number."""
        return [s for s, value in self.series.get(metric, {}).items() if not math.isfinite(value)]


def track_of(run: Run, name: str = "") -> Track:
    """What a run of ours has told until now."""
    history, job = run.history, run.job
    series = {name: dict(values) for name, values in history.series.items()}
    options = job.options if job.provider == "local" else {}
    settings = {
        "where": job.provider,
        **job.spec.model_dump(),
        "rows of training_file": job.data_sha256[:12] or None,
        "rows of validation": _validation(run),
        **{name: value for name, value in options.items() if name not in NOT_SETTINGS},
    }
    seconds = dict(sorted(history.seconds.items()))
    counted = summed(series.get("loss_tokens", {}))
    shown = name or run.name or run.id
    file, digest = job.spec.training_file, job.data_sha256
    data = DataFile(file, digest) if file and digest else None
    return Track(shown, job.provider, series, counted, seconds, settings, data, run)


def summed(per_step: Steps) -> dict[int, float]:
    """Step → the sum until then."""
    return dict(zip(per_step, accumulate(per_step.values()), strict=True))


def _validation(run: Run) -> str | None:
    """Which rows are measured, in a few characters: losses on other rows can't be compared."""
    job, spec = run.job, run.job.spec
    if spec.validation_file:
        return job.validation_sha256[:12] or Path(spec.validation_file).name
    if spec.validation_split:
        return f"{spec.validation_split:g} of {job.data_sha256[:12] or spec.training_file}"
    return None
