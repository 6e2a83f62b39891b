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
MOST_SHARE = 0.01
"""More is no noise, but a loss that falls fast; a tie of that size would be dear."""
LAST, FEWEST = 7, 5  # evaluations that are looked at, and that it takes


class Noise(NamedTuple):
    """A standard deviation of validation losses, and where it is from."""

    value: float
    basis: str


def noise_of(curves: Sequence[Losses], repeats: Sequence[Sequence[float]] = ()) -> Noise:
    """From losses that differ by their seed alone, where there are any, of the better half of the
    settings: above the best rate seeds differ ten times as much. Otherwise from how far the last
    evaluations lie from a smooth curve, in the middle of all arms."""
    lowest = min((loss for curve in curves if (loss := best_loss(curve)) is not None), default=0.0)
    if pairs := sorted((losses for losses in repeats if len(losses) > 1), key=fmean):
        pairs = pairs[: math.ceil(len(pairs) / 2)]
        basis = f"repeats with other seeds ({sum(map(len, pairs))} arms)"
        return Noise(max(_pooled(pairs), LEAST_SHARE * lowest), basis)
    found = [scatter for curve in curves if (scatter := scatter_of(curve)) is not None]
    if not found:
        return Noise(USUAL_SHARE * lowest, f"{USUAL_SHARE:.1%} of the loss, as usual for seeds")
    basis = "how far the last evaluations lie from a smooth curve"
    return Noise(min(max(median(found), LEAST_SHARE * lowest), MOST_SHARE * lowest), basis)


def best_loss(losses: Losses, up_to: float = math.inf) -> float | None:
    """The lowest loss after a step, which is that of the checkpoint one would keep; None where
    none is known. The losses of a training that broke off count as long as they were numbers."""
    after = (loss for step, loss in losses.items() if 0 < step <= up_to and math.isfinite(loss))
    return min(after, default=None)


def scatter_of(losses: Losses) -> float | None:
    """The standard deviation of the last evaluations around a smooth curve; None where they are too
    few. By their third differences, which are 0 on a parabola and have 20 times the variance of
    what is independent."""
    found = [loss for step, loss in sorted(losses.items()) if step > 0 and math.isfinite(loss)]
    last = found[-LAST:]
    if len(last) < FEWEST:
        return None
    differences = [d - 3 * c + 3 * b - a for a, b, c, d in zip(*_shifted(last, 4), strict=False)]
    return math.sqrt(fmean(difference**2 for difference in differences) / 20)


def _shifted(values: Sequence[float], times: int) -> list[Sequence[float]]:
    return [values[start:] for start in range(times)]


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation within groups, each around its own mean."""
    left = sum((loss - fmean(losses)) ** 2 for losses in groups for loss in losses)
    return math.sqrt(left / sum(len(losses) - 1 for losses in groups))
