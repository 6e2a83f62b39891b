"""How sure a mean over rows is, and a difference of two means over the same rows.

The bootstrap draws rows with replacement (Efron, 1979); both sides of a difference take the same
draws. It has no width where all rows agree: a share of rows that are right or wrong, or all alike,
has Wilson's interval (1927), in which rows of unequal weight count as fewer (Kish, 1965); and one
row alone tells of no other number. A difference counts where its interval leaves 0 out and turning
the signs of the rows' differences at random seldom reaches it (Fisher's randomisation test): a few
rows that all agree by luck don't pass that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.scores.metrics import Form

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

    @property
    def n_worth(self) -> float:
        """Rows of equal weight that tell as much."""
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))


def interval(sample: Sample, form: Form = "number", *, seed: int = SEED) -> Interval:
    """Of the mean of a sample, or of e to its power."""
    import numpy as np

    value = float(_shaped(sample.mean, form))
    is_plain = np.isin(sample.values, (0.0, 1.0)).all() or np.ptp(sample.values) == 0
    if form == "share" and is_plain:
        n = sample.n_worth
        return Interval(value, *wilson(value * n, n))
    if len(sample.values) == 1:
        return Interval(value, 0.0 if form == "exp" else -math.inf, math.inf)
    means = [_means(sample, rows, form) for rows in _draws(len(sample.values), seed)]
    return Interval(value, *_middle(means))


def difference(
    one: Sample, other: Sample, form: Form = "number", *, seed: int = SEED
) -> Difference:
    """Of two means, or of e to their powers, the first less the second; a row stands at the same
    place in both."""
    import numpy as np

    value = float(_shaped(one.mean, form) - _shaped(other.mean, form))
    p, changes = _p(one, other, seed), one.values - other.values
    if form == "share" and abs(changes[0]) == 1 and np.ptp(changes) == 0:
        low, high = wilson(one.n_worth * (1 + changes[0]) / 2, one.n_worth)
        return Difference(value, 2 * low - 1, 2 * high - 1, p)
    if len(changes) == 1 and changes[0]:
        return Difference(value, -math.inf, math.inf, p)
    means = [
        _means(one, rows, form) - _means(other, rows, form) for rows in _draws(len(changes), seed)
    ]
    return Difference(value, *_middle(means), p)


def wilson(n_right: float, n: float) -> tuple[float, float]:
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


def _means(sample: Sample, rows: Any, form: Form) -> Numbers:
    sums = (sample.values * sample.weights)[rows].sum(axis=1)
    return _shaped(sums / sample.weights[rows].sum(axis=1), form)


def _shaped(mean: Any, form: Form) -> Any:
    import numpy as np

    with np.errstate(over="ignore"):  # of a model that is broken: infinite
        return np.exp(mean) if form == "exp" else mean


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
