"""A parabola through three losses over the logarithm of the learning rate, and how sure it is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import quantiles
from typing import NamedTuple

TOLERANCE = 0.005
"""A rate whose loss is at most this share above the lowest is as good."""
RESAMPLINGS = 400
SEED = 0  # so that the same losses always have the same interval

Point = tuple[float, float]
"""The decimal logarithm of a rate, and its loss."""


class Parabola(NamedTuple):
    """loss = lowest + curvature × (log10 rate − middle)²."""

    middle: float
    lowest: float
    curvature: float

    @property
    def rate(self) -> float:
        """Where it is lowest."""
        return 10**self.middle

    def at(self, rate: float) -> float:
        """The loss that it predicts for a rate."""
        return self.lowest + self.curvature * (math.log10(rate) - self.middle) ** 2

    @property
    def reach(self) -> float:
        """How far from the middle the loss is within the tolerance, in decades."""
        return math.sqrt(TOLERANCE * abs(self.lowest) / self.curvature)


def parabola(points: Sequence[Point]) -> Parabola | None:
    """Through three points in the order of their rates; None where it does not open upwards, or is
    lowest outside of them."""
    (x0, y0), (x1, y1), (x2, y2) = points
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    curvature = (right - left) / (x2 - x0)
    if not curvature > 0:
        return None
    middle = (x0 + x1) / 2 - left / (2 * curvature)
    if not x0 < middle < x2:
        return None
    lowest = y0 + left * (middle - x0) + curvature * (middle - x0) * (middle - x1)
    return Parabola(middle, lowest, curvature)


def interval(points: Sequence[Point], noises: Sequence[float]) -> tuple[float, float]:
    """Between which rates (as logarithms) the loss may be as low as anywhere: 90 % of what is said
    by parabolas through losses that are off by their noise (a standard deviation each). Where noise
    leaves no parabola, that is anywhere between the outer two."""
    draw = random.Random(SEED)
    lows: list[float] = []
    highs: list[float] = []
    pairs = [*zip(points, noises, strict=True)]
    for _ in range(RESAMPLINGS):
        moved = [(x, draw.gauss(y, noise)) for (x, y), noise in pairs]
        found = parabola(moved)
        low, high = points[0][0], points[-1][0]
        if found is not None:
            low, high = max(low, found.middle - found.reach), min(high, found.middle + found.reach)
        lows.append(low)
        highs.append(high)
    return quantiles(lows, n=20)[0], quantiles(highs, n=20)[-1]
