"""How sure a mean over rows is, and a difference of two means over the same rows.

The bootstrap draws rows with replacement (Efron, 1979); both sides of a difference take the same
draws. Where rows are right or wrong a single mean has Wilson's interval (1927): the bootstrap's has
no width where all rows agree. A difference counts where its interval leaves 0 out and turning the
signs of the rows' differences at random seldom reaches it (Fisher's randomisation test): a few
rows that all agree by luck don't pass that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

DRAWS = 2_000
AT_ONCE = 2**22
"""Numbers of the draws that are there at once."""
SURE, Z = 0.95, 1.959963984540054
SEED = 0


class Interval(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Of two means over the same rows."""

    value: float
    low: float
    high: float
    p: float
    """How often random signs reach as far, 0 to 1."""

    @property
    def is_sure(self) -> bool:
        return not self.low <= 0 <= self.high and self.p < 1 - SURE


class Sample(NamedTuple):
    """Values of rows, and how much each row counts."""

    values: Numbers
    weights: Numbers

    @property
    def mean(self) -> float:
        return float(self.values @ self.weights / self.weights.sum())


def interval(sample: Sample, *, exp: bool = False, seed: int = SEED) -> Interval:
    """Of the mean of a sample, or of e to its power."""
    import numpy as np

    if not exp and np.isin(sample.values, (0.0, 1.0)).all() and np.ptp(sample.weights) == 0:
        return Interval(sample.mean, *wilson(sample.values.sum(), len(sample.values)))
    means = [_means(sample, rows, exp=exp) for rows in _draws(len(sample.values), seed)]
    return Interval(float(_shaped(sample.mean, exp=exp)), *_middle(means))


def difference(one: Sample, other: Sample, *, exp: bool = False, seed: int = SEED) -> Difference:
    """Of two means, or of e to their powers, the first less the second; a row stands at the same
    place in both."""
    means = [
        _means(one, rows, exp=exp) - _means(other, rows, exp=exp)
        for rows in _draws(len(one.values), seed)
    ]
    value = _shaped(one.mean, exp=exp) - _shaped(other.mean, exp=exp)
    return Difference(float(value), *_middle(means), _p(one, other, seed))


def wilson(n_right: float, n: int) -> tuple[float, float]:
    """Low and high of the share of right ones."""
    share, square = n_right / n, Z * Z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _draws(n: int, seed: int) -> Iterator[Any]:
    """(draws, rows) places, some draws at a time."""
    import numpy as np

    generator = np.random.default_rng(seed)
    some = max(AT_ONCE // n, 1)
    for start in range(0, DRAWS, some):
        yield generator.integers(0, n, (min(some, DRAWS - start), n))


def _means(sample: Sample, rows: Any, *, exp: bool) -> Numbers:
    sums = (sample.values * sample.weights)[rows].sum(axis=1)
    return _shaped(sums / sample.weights[rows].sum(axis=1), exp=exp)


def _shaped(mean: Any, *, exp: bool) -> Any:
    import numpy as np

    return np.exp(mean) if exp else mean


def _middle(means: list[Numbers]) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(np.concatenate(means), [(1 - SURE) / 2, (1 + SURE) / 2])
    return float(low), float(high)


def _p(one: Sample, other: Sample, seed: int) -> float:
    """The share of random signs with which the rows' differences add up to as much; what was found
    is one of them."""
    import numpy as np

    apart = one.values * one.weights / one.weights.sum()
    apart = apart - other.values * other.weights / other.weights.sum()
    apart = apart[apart != 0]
    if not len(apart):
        return 1.0
    generator = np.random.default_rng(seed)
    reached, some = 0, max(AT_ONCE // len(apart), 1)
    for start in range(0, DRAWS, some):
        signs = generator.choice([-1.0, 1.0], (min(some, DRAWS - start), len(apart)))
        reached += int((abs(signs @ apart) >= abs(apart.sum()) * (1 - 1e-9)).sum())
    return (reached + 1) / (DRAWS + 1)
