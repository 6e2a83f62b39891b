"""Medians, of what may be empty or hold no numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def median(values: Any) -> float:
    """0 where there are none."""
    import numpy as np

    return float(np.median(values)) if len(values) else 0.0


def median_of_numbers(values: Sequence[float]) -> float | None:
    """None where none is a number."""
    finite = [value for value in values if math.isfinite(value)]
    return median(finite) if finite else None
