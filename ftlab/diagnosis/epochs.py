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
    covered = curve.steps[-1] - first + 1 if curve.steps else 0
    per_epoch = curve.n * length / max(covered, 1)  # every tenth step may be all that was logged
    if per_epoch < SHORT_EPOCH or not len(losses):
        return Boundaries(0, 0.0, 0.0)
    reach = int(min(max(per_epoch // 4, 2), 12))
    begins = min(first, 1)  # steps count from 0 or from 1
    ends = [k * per_epoch + begins - first * curve.n / covered for k in _epochs(curve, length)]
    falls = [f for end in ends if (f := _fall_at(losses, end, reach)) is not None]
    middles = [f for end in ends if (f := _fall_at(losses, end - per_epoch / 2, reach)) is not None]
    return Boundaries(len(falls), median(falls), median(middles), reach)


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
