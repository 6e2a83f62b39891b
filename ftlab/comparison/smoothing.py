"""A smoothed curve beside the raw one: a moving mean that starts without a bias."""

from __future__ import annotations

import math
from collections.abc import Sequence


def smoothed(steps: Sequence[float], values: Sequence[float], weight: float) -> list[float]:
    """The debiased exponential mean up to each step; `weight` (0 to 1, without 1) is what a value
    still counts one step later, so that curves told every step and every tenth are smoothed alike.

    What is no number is found before anything is smoothed: it stays a gap at its place, and no
    other place knows of it. Debiased as Adam's moments are (Kingma and Ba, 2015, section 3).
    """
    found, mean, counted = list[float](), 0.0, 0.0
    before: float | None = None
    for step, value in zip(steps, values, strict=True):
        if not math.isfinite(value):
            found.append(math.nan)
            continue
        kept = weight ** (1.0 if before is None else max(step - before, 0.0))
        mean = kept * mean + (1 - kept) * value
        counted = kept * counted + (1 - kept)
        found.append(mean / counted if counted else value)
        before = step
    return found
