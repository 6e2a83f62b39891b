"""How far apart two losses must be before the difference means anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

Losses = Mapping[int, float]
"""Validation loss by step, that before the first step (0) with it."""

LEAST_SHARE = 0.001
"""Of the loss: no less is believed. Losses of equal jobs with other seeds were 0.1 to 0.7 % apart
at or below the best rate, in four sweeps of a tiny model."""
USUAL_SHARE = 0.003  # where nothing was measured yet
LAST, FEWEST = 5, 4  # evaluations that a line is drawn through, and that it takes


class Noise(NamedTuple):
    """A standard deviation of validation losses, and where it is from."""

    value: float
    basis: str


def noise_of(curves: Sequence[Losses], repeats: Sequence[Sequence[float]] = ()) -> Noise:
    """From losses that differ by their seed alone, where there are any; otherwise from how far the
    last evaluations lie from a line through them, in the middle of all curves."""
    lowest = min((loss for curve in curves if (loss := best_loss(curve)) is not None), default=0.0)
    if pairs := [losses for losses in repeats if len(losses) > 1]:
        basis = f"repeats with other seeds ({sum(map(len, pairs))} arms)"
        return Noise(max(_pooled(pairs), LEAST_SHARE * lowest), basis)
    found = [scatter for curve in curves if (scatter := scatter_of(curve)) is not None]
    if not found:
        return Noise(USUAL_SHARE * lowest, f"{USUAL_SHARE:.1%} of the loss, as usual for seeds")
    basis = "how far the last evaluations lie from a line"
    return Noise(max(median(found), LEAST_SHARE * lowest), basis)


def best_loss(losses: Losses, up_to: float = math.inf) -> float | None:
    """The lowest loss after a step, which is that of the checkpoint one would keep; None where
    none is known. The losses of a training that broke off count as long as they were numbers."""
    after = (loss for step, loss in losses.items() if 0 < step <= up_to and math.isfinite(loss))
    return min(after, default=None)


def scatter_of(losses: Losses) -> float | None:
    """The standard deviation of the last evaluations around a line through them, by least squares;
    None where they are too few."""
    points = [(s, loss) for s, loss in sorted(losses.items()) if s > 0 and math.isfinite(loss)]
    points = points[-LAST:]
    if len(points) < FEWEST:
        return None
    middle, level = fmean(s for s, _ in points), fmean(loss for _, loss in points)
    spread = sum((s - middle) ** 2 for s, _ in points)
    slope = sum((s - middle) * (loss - level) for s, loss in points) / spread
    left = sum((loss - level - slope * (s - middle)) ** 2 for s, loss in points)
    return math.sqrt(left / (len(points) - 2))


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation within groups, each around its own mean."""
    left = sum((loss - fmean(losses)) ** 2 for losses in groups for loss in losses)
    return math.sqrt(left / sum(len(losses) - 1 for losses in groups))
