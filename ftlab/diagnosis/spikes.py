"""Stretches of steps whose loss lies far above its neighbourhood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.diagnosis.medians import median

if TYPE_CHECKING:
    import numpy as np

NORMAL = 1.4826  # median absolute deviation → standard deviation, of a normal distribution
DEVIATIONS, SHARE = 6.0, 0.08


class Spikes(NamedTuple):
    """What was found."""

    number: int
    mean_length: float
    """In steps."""
    highest: float
    """As a multiple of the neighbourhood's loss."""
    at: int
    """Where the highest is."""


def spikes(residuals: np.ndarray[Any, Any]) -> Spikes:
    """Those above six median absolute deviations and 8 % of the trend; `residuals` are shares of
    it."""
    import numpy as np

    none = Spikes(0, 0.0, 1.0, 0)
    if len(residuals) < 5:
        return none
    deviation = median(np.abs(residuals - np.median(residuals)))
    above = residuals > max(DEVIATIONS * deviation, SHARE)
    number = int((above[1:] & ~above[:-1]).sum() + above[0])
    if not number:
        return none
    highest = int(residuals.argmax())
    return Spikes(number, float(above.sum()) / number, 1 + float(residuals[highest]), highest)
