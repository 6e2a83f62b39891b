"""Figures of a run's evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from ftlab.diagnosis.medians import median


class Evaluations:
    """Of (step, eval_loss) after the first step, rising."""

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        self.points = [point for point in points if math.isfinite(point[1])]
        self.losses = [loss for _, loss in self.points]

    @cached_property
    def best(self) -> tuple[int, float] | None:
        """(step, loss) of the lowest; None before the first."""
        return min(self.points, key=lambda point: point[1], default=None)

    @cached_property
    def after_best(self) -> list[float]:
        """The losses since then."""
        return [loss for step, loss in self.points if self.best and step > self.best[0]]

    @cached_property
    def rise(self) -> float:
        """How far the last two lie above the lowest, as a share of it."""
        if self.best is None or self.best[1] <= 0:
            return 0.0
        tail = self.losses[-2:]
        return sum(tail) / len(tail) / self.best[1] - 1

    @cached_property
    def last_fall(self) -> float:
        """Share of the last but one that is gone at the last."""
        if len(self.losses) < 2 or self.losses[-2] <= 0:
            return 0.0
        return 1 - self.losses[-1] / self.losses[-2]

    @cached_property
    def jitter(self) -> float:
        """How far they go to and fro, as a share of the lowest; 0 where few do."""
        losses = self.losses
        turns = [
            min(abs(b - a), abs(c - b))
            for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)
            if (b - a) * (c - b) < 0
        ]
        if len(turns) < max(2, len(losses) / 3) or min(losses) <= 0:
            return 0.0
        return median(turns) / min(losses)
