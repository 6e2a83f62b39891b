"""Figures of a curve that the detectors decide by, each computed when it is first asked for.

Robust ones throughout: medians stay where they are when a few steps spike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.diagnosis.curve import Curve

if TYPE_CHECKING:
    import numpy as np

NORMAL = 1.4826  # median absolute deviation → standard deviation, of a normal distribution
CENTRES = 120  # places where the running median is computed; between them it is a line
EARLY, HALF = 0.13, 0.5  # of the run
SHORT_EPOCH = 16  # steps; in shorter ones a step down is hard to tell from scatter
BINS = 60  # medians that the fall is fitted to
SPIKE_DEVIATIONS, SPIKE_SHARE = 6.0, 0.08
PAIRS_REST = 0.2  # of the loss at the start
SETTLED = 0.1  # of the run: before it, a falling loss is no residual


class Spikes(NamedTuple):
    """Stretches of steps far above their neighbourhood."""

    number: int
    mean_length: float
    """In steps."""
    highest: float
    """As a multiple of the neighbourhood's loss."""
    at: int
    """The step of the highest."""


class Boundaries(NamedTuple):
    """What happens to the loss where an epoch ends."""

    number: int
    fall: float
    """Median share of the loss that is gone from just before to just after."""
    within: float
    """The same in the middle of epochs."""
    reach: int = 1
    """Steps that were looked at on either side."""


class Statistics:
    """A curve's figures. Shares are of the whole, 0 to 1; a loss is in nats."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    @cached_property
    def raw(self) -> np.ndarray[Any, Any]:
        """The training losses as they are."""
        import numpy as np

        return np.asarray(self.curve.train_loss, dtype=float)

    @cached_property
    def losses(self) -> np.ndarray[Any, Any]:
        """Those that are numbers."""
        import numpy as np

        return self.raw[np.isfinite(self.raw)]

    @property
    def n(self) -> int:
        return len(self.losses)

    @cached_property
    def not_finite(self) -> int:
        """How many losses are no numbers."""
        return len(self.raw) - self.n

    # --- level and noise ---------------------------------------------------------------------

    @cached_property
    def median(self) -> float:
        return _median(self.losses)

    @cached_property
    def noise(self) -> float:
        """Standard deviation from step to step, as a share of the median loss."""
        import numpy as np

        level = self.median
        if self.curve.spec.training_method == "dpo":
            level = max(level, PAIRS_REST * _median(self.losses[:5]))  # pairs may come to nothing
        if self.n < 3 or level <= 0:
            return 0.0
        steps = np.diff(self.losses)
        return NORMAL * _median(np.abs(steps - np.median(steps))) / math.sqrt(2) / level

    @cached_property
    def trend(self) -> np.ndarray[Any, Any]:
        """Running median over a twentieth of the run, at each loss."""
        import numpy as np

        if not self.n:
            return self.losses
        half = max(self.n // 40, 2)
        centres = np.unique(np.linspace(0, self.n - 1, min(CENTRES, self.n)).astype(int))
        # At an end the window shrinks on both sides, so that a falling loss stays in its middle.
        reach = np.minimum(half, np.minimum(centres, self.n - 1 - centres))
        medians = [
            np.median(self.losses[c - r : c + r + 1]) for c, r in zip(centres, reach, strict=True)
        ]
        return np.interp(np.arange(self.n), centres, medians)

    @cached_property
    def residuals(self) -> np.ndarray[Any, Any]:
        """How far the losses lie from the trend, as shares of it; without the beginning."""
        import numpy as np

        first = max(int(SETTLED * self.n), self.curve.warmup // 2)
        trend = np.maximum(self.trend, 1e-12)
        return ((self.losses - trend) / trend)[first:]

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the residuals."""
        return float(self.residuals.std()) if len(self.residuals) else 0.0

    @cached_property
    def memory(self) -> float:
        """Autocorrelation of the residuals from one step to the next, -1 to 1."""
        import numpy as np

        x = self.residuals - self.residuals.mean() if len(self.residuals) > 3 else np.zeros(1)
        power = float((x * x).sum())
        return float((x[1:] * x[:-1]).sum()) / power if power > 0 else 0.0

    @cached_property
    def spikes(self) -> Spikes:
        import numpy as np

        high = self.residuals
        if len(high) < 5:
            return Spikes(0, 0.0, 1.0, 0)
        deviation = NORMAL * _median(np.abs(high - np.median(high)))
        above = high > max(SPIKE_DEVIATIONS * deviation / NORMAL, SPIKE_SHARE)
        starts = int((above[1:] & ~above[:-1]).sum() + above[0])
        if not starts:
            return Spikes(0, 0.0, 1.0, 0)
        finite = np.flatnonzero(np.isfinite(self.raw))
        place = int(finite[self.n - len(high) + int(high.argmax())])
        length = float(above.sum()) / starts
        return Spikes(starts, length, 1 + float(high.max()), int(self.curve.steps[place]))

    # --- the fall ------------------------------------------------------------------------------

    @cached_property
    def start(self) -> float:
        """Median of the first steps: of a few, or of more where those say the same."""
        few = max(3, self.n // 60)
        narrow, wide = _median(self.losses[:few]), _median(self.losses[: max(9, self.n // 20)])
        scatter = self.noise * self.median / math.sqrt(few)
        return wide if abs(narrow - wide) < 2 * scatter else narrow

    @cached_property
    def end(self) -> float:
        """Mean of the last tenth, without its outliers."""
        import numpy as np

        if not self.n:
            return 0.0
        tail = np.sort(self.losses[-max(3, self.n // 10) :])
        cut = len(tail) // 10
        return float(tail[cut : len(tail) - cut].mean())

    @cached_property
    def lowest(self) -> float:
        """The lowest that a tenth of the run has in the middle."""
        size = max(3, self.n // 10)
        starts = range(0, self.n - size + 1, max(size // 2, 1))
        return min((_median(self.losses[first:][:size]) for first in starts), default=self.start)

    @cached_property
    def drop(self) -> float:
        """Share of the loss at the start that is gone at the end."""
        return (self.start - self.end) / self.start if self.start > 0 else 0.0

    @cached_property
    def early(self) -> float:
        """Share of the fall that is done after 13 % of the way."""
        return self._done(EARLY)

    @cached_property
    def late(self) -> float:
        """Share of the fall that comes after half of the way."""
        return 1 - self._done(HALF)

    def _done(self, share: float) -> float:
        """Share of the fall that is done at a share of the way."""
        fall = self.start - self.end
        return (self.start - self._around(share)) / fall if abs(fall) > 1e-12 else 1.0

    def _around(self, share: float) -> float:
        """Median around a share of the steps; their warm-up does not count."""
        first = min(self.curve.warmup, self.n // 2)
        centre = first + share * (self.n - 1 - first)
        reach = max(self.n // 40, 2)
        low = max(int(centre) - reach, 0)
        return _median(self.losses[low : int(centre) + reach + 1])

    @cached_property
    def clock(self) -> np.ndarray[Any, Any]:
        """How far each loss is on the way, 0 to 1: by the sum of the learning rates, where they are
        known, and otherwise by steps."""
        import numpy as np

        rates = np.asarray(self.curve.learning_rate, dtype=float)
        if len(rates) != self.n or not np.isfinite(rates).all() or rates[1:].sum() <= 0:
            return np.linspace(0, 1, self.n)
        done = np.cumsum(rates) - rates[0]
        return done / done[-1]

    @cached_property
    def pace(self) -> float:
        """How many times the distance to its resting level falls by a factor of e on the whole
        way: of the exponential that fits best, 0.15 to 80 on what is done of it. Below 1 the fall
        is a line."""
        import numpy as np

        if self.n < 10:
            return 1.0
        bins = np.array_split(np.arange(self.n), min(BINS, self.n // 3))
        weights = np.array([len(some) for some in bins]) / self.n
        losses = np.array([np.median(self.losses[some]) for some in bins])
        losses -= weights @ losses
        paces = np.geomspace(0.15, 80, 64)
        shapes = np.exp(-np.outer(paces, [self.clock[some].mean() for some in bins]))
        shapes -= (shapes @ weights)[:, None]
        power = np.maximum((shapes**2) @ weights, 1e-12)
        explained = np.maximum(shapes @ (weights * losses), 0) ** 2 / power  # only what falls
        return float(paces[explained.argmax()]) / max(self.curve.share_done, 0.01)

    @cached_property
    def certainty(self) -> float:
        """The fall in standard deviations of its scatter: below 3 there may be none."""
        ends = 1 / max(9, self.n // 20) + 1 / max(3, self.n // 10)
        scatter = self.noise * self.median * math.sqrt(ends)
        return abs(self.start - self.end) / scatter if scatter > 0 else math.inf

    @cached_property
    def slope(self) -> float:
        """Share of the loss that the last fifth of the run has taken away."""
        before, after = self._around(0.8), self.end
        return (before - after) / before if before > 0 else 0.0

    # --- what else is measured -----------------------------------------------------------------

    @cached_property
    def gradient(self) -> float | None:
        """Median norm of the gradient."""
        return _median_of(self.curve.grad_norm)

    @cached_property
    def surge(self) -> float:
        """The third largest norm of the gradient in the first third of the run, as a multiple of
        that of the first steps; 1 where it is not known."""
        first = [x for x in self.curve.grad_norm[: self.n // 3] if math.isfinite(x)]
        return _third_over(first, _median(first[:5]))

    @cached_property
    def leap(self) -> float:
        """The same of the loss."""
        return _third_over(self.losses[: self.n // 3], self.start)

    @cached_property
    def tokens(self) -> float | None:
        """Median of the trained tokens of a step."""
        return _median_of(self.curve.loss_tokens)

    @cached_property
    def best_evaluation(self) -> tuple[int, float] | None:
        """(step, loss) of the lowest evaluation; None before the first."""
        found = [point for point in self.curve.evaluations if math.isfinite(point[1])]
        return min(found, key=lambda point: point[1], default=None)

    @cached_property
    def evaluations_after_best(self) -> list[float]:
        if self.best_evaluation is None:
            return []
        best = self.best_evaluation[0]
        return [loss for step, loss in self.curve.evaluations if step > best]

    @cached_property
    def rise(self) -> float:
        """How far the last two evaluations lie above the lowest, as a share of it."""
        if self.best_evaluation is None or self.best_evaluation[1] <= 0:
            return 0.0
        tail = [loss for _, loss in self.curve.evaluations[-2:]]
        return sum(tail) / len(tail) / self.best_evaluation[1] - 1

    @cached_property
    def jitter(self) -> float:
        """How far evaluations go to and fro, as a share of the lowest; 0 where few do."""
        points = [loss for _, loss in self.curve.evaluations if math.isfinite(loss)]
        turns = [
            min(abs(b - a), abs(c - b))
            for a, b, c in zip(points, points[1:], points[2:], strict=False)
            if (b - a) * (c - b) < 0
        ]
        if len(turns) < max(2, len(points) / 3) or min(points) <= 0:
            return 0.0
        return _median(turns) / min(points)

    @cached_property
    def boundaries(self) -> Boundaries:
        """Of all ends of epochs that have steps enough on both sides."""
        length = self.curve.steps_per_epoch or 0
        if length < SHORT_EPOCH or not self.n:
            return Boundaries(0, 0.0, 0.0)
        reach = int(min(max(length // 4, 2), 12))
        ends = [k * length for k in range(1, int(self.n / length) + 1)]
        falls = [f for end in ends if (f := self._fall_at(end, reach)) is not None]
        middles = [f for end in ends if (f := self._fall_at(end - length / 2, reach)) is not None]
        return Boundaries(len(falls), _median(falls), _median(middles), reach)

    def _fall_at(self, step: float, reach: int) -> float | None:
        """Share of the loss that is gone from just before to just after a step."""
        first = self.curve.steps[0] if self.curve.steps else 0
        place = round(step) + (1 if first == 1 else 0) - first  # steps count from 0 or from 1
        before, after = self.losses[max(place - reach, 0) : place], self.losses[place:][:reach]
        if min(len(before), len(after)) < reach:
            return None
        middle = _median(before)
        return (middle - _median(after)) / middle if middle > 0 else None


def _third_over(values: Any, start: float) -> float:
    """The third largest of some values as a multiple of their start."""
    return float(sorted(values)[-3]) / start if len(values) > 10 and start > 0 else 1.0


def _median_of(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return _median(finite) if finite else None


def _median(values: Any) -> float:
    """0 where there are none."""
    import numpy as np

    return float(np.median(values)) if len(values) else 0.0
