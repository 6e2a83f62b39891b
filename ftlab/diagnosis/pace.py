"""How quickly a loss comes to rest, as a multiple of the length of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftlab.diagnosis.curve import Curve

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 60  # medians that the fall is fitted to
SLOWEST, QUICKEST, PACES = 0.15, 80.0, 64


def pace(curve: Curve, losses: Array) -> float:
    """How many times the distance to the resting level falls by a factor of e on the whole way: of
    the exponential that fits the losses best, 0.15 to 80 on the part that is done.

    The way is counted by the sum of the learning rates, so that a rate that falls by plan is no
    loss that comes to rest.
    """
    import numpy as np

    n = len(losses)
    if n < 10:
        return 1.0
    clock, bins = _clock(curve, n), np.array_split(np.arange(n), min(BINS, n // 3))
    weights = np.array([len(some) for some in bins]) / n
    medians = np.array([np.median(losses[some]) for some in bins])
    medians -= weights @ medians
    paces = np.geomspace(SLOWEST, QUICKEST, PACES)
    shapes = np.exp(-np.outer(paces, [clock[some].mean() for some in bins]))
    shapes -= (shapes @ weights)[:, None]
    power = np.maximum((shapes**2) @ weights, 1e-12)
    explained = np.maximum(shapes @ (weights * medians), 0) ** 2 / power  # only what falls
    return float(paces[explained.argmax()]) / max(curve.share_done, 0.01)


def _clock(curve: Curve, n: int) -> Array:
    """How far each loss is on the way, 0 to 1; by steps where the rates are not known."""
    import numpy as np

    rates = np.asarray(curve.learning_rate, dtype=float)
    if len(rates) != n or not np.isfinite(rates).all() or rates[1:].sum() <= 0:
        return np.linspace(0, 1, n)
    done = np.cumsum(rates) - rates[0]
    return done / done[-1]
