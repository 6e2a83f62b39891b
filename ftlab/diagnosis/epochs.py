"""What happens to the loss where an epoch ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.medians import median

if TYPE_CHECKING:
    import numpy as np

SHORT_EPOCH = 16  # steps; in shorter ones a step down is hard to tell from scatter


class Boundaries(NamedTuple):
    """The ends of epochs that have steps enough on both sides."""

    number: int
    fall: float
    """Median share of the loss that is gone from just before to just after."""
    within: float
    """The same in the middle of epochs."""
    reach: int = 1
    """Steps that were looked at on either side."""


def boundaries(curve: Curve, losses: np.ndarray[Any, Any]) -> Boundaries:
    """Of a curve whose `losses` are its training losses that are numbers."""
    length, first = curve.steps_per_epoch or 0, curve.steps[0] if curve.steps else 0
    between = (curve.steps[-1] - first) / (curve.n - 1) if curve.n > 1 else 0.0
    if not between or not len(losses) or length / between < SHORT_EPOCH:
        return Boundaries(0, 0.0, 0.0)
    per_epoch = length / between  # every tenth step may be all that was logged
    reach = int(min(max(per_epoch // 4, 2), 12))
    begins = min(first, 1)  # steps count from 0 or from 1
    ends = [k * per_epoch + begins - first / between for k in _epochs(curve, length)]
    falls = [f for end in ends if (f := _fall_at(losses, end, reach)) is not None]
    middles = [f for end in ends if (f := _fall_at(losses, end - per_epoch / 2, reach)) is not None]
    return Boundaries(len(falls), median(falls), median(middles), reach)


def steepest(losses: np.ndarray[Any, Any]) -> Boundaries:
    """The steepest fall after the first 30 % of a run, where nobody knows how long an epoch is."""
    n, reach = len(losses), 12
    places = range(max(2 * reach, round(0.3 * n)), n - reach, max(n // 200, 1))
    falls = {place: _fall_at(losses, place, reach) or 0.0 for place in places}
    if not falls:
        return Boundaries(0, 0.0, 0.0)
    place = max(falls, key=falls.__getitem__)
    sides = [_fall_at(losses, place + offset, reach) or 0.0 for offset in (-reach, reach)]
    within = max(map(abs, sides[: 1 if place + 2 * reach > n else 2]))
    return Boundaries(1, falls[place], within, reach)


def _epochs(curve: Curve, length: float) -> range:
    return range(1, int((curve.steps[-1] + 1) / length) + 1)


def _fall_at(losses: np.ndarray[Any, Any], place: float, reach: int) -> float | None:
    """Share of the loss that is gone from just before to just after a place."""
    first = round(place)
    before, after = losses[max(first - reach, 0) : first], losses[max(first, 0) :][:reach]
    if min(len(before), len(after)) < reach:
        return None
    middle = median(before)
    return (middle - median(after)) / middle if middle > 0 else None
