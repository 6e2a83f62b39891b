"""Figures of a curve that the detectors decide by, each computed when it is first asked for.

Robust ones throughout: medians stay where they are when a few steps spike.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.epochs import Boundaries, boundaries, steepest
from ftlab.diagnosis.evaluations import Evaluations
from ftlab.diagnosis.medians import median, median_of_numbers
from ftlab.diagnosis.pace import pace
from ftlab.diagnosis.spikes import NORMAL, Spikes, spikes
from ftlab.diagnosis.tried import Measured

if TYPE_CHECKING:
    import numpy as np

CENTRES = 120  # places where the running median is computed; between them it is a line
NO_LOSS = 1e6  # nats per token; a guess among all tokens has 12
EARLY, HALF = 0.13, 0.5  # of the run
PAIRS_REST = 0.2  # of the loss at the start
SETTLED = 0.1  # of the run: before it, a falling loss is no residual


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
    def places(self) -> np.ndarray[Any, Any]:
        """Where they are numbers that a loss can be."""
        import numpy as np

        return np.flatnonzero(np.abs(self.raw) < NO_LOSS)  # false for what is no number

    @cached_property
    def losses(self) -> np.ndarray[Any, Any]:
        """Those that are."""
        return self.raw[self.places]

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
        return median(self.losses)

    @cached_property
    def noise(self) -> float:
        """Standard deviation from step to step, as a share of the median loss."""
        import numpy as np

        level = self.median
        if self.curve.spec.training_method == "dpo":
            level = max(level, PAIRS_REST * median(self.losses[:5]))  # pairs may come to nothing
        if self.n < 3 or level <= 0:
            return 0.0
        steps = np.diff(self.losses)
        return NORMAL * median(np.abs(steps - np.median(steps))) / math.sqrt(2) / level

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
        """Of the residuals; its step is that of the run."""
        found, steps = spikes(self.residuals), self.curve.steps
        place = self.places[self.n - len(self.residuals) + found.at] if found.number else 0
        return found._replace(at=int(steps[place]) if steps else 0)

    # --- the fall ------------------------------------------------------------------------------

    @cached_property
    def start(self) -> float:
        """Median of the first steps: of a few, or of more where those say the same."""
        few = max(3, self.n // 60)
        narrow, wide = median(self.losses[:few]), median(self.losses[: max(9, self.n // 20)])
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
        return min((median(self.losses[first:][:size]) for first in starts), default=self.start)

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
        return median(self.losses[low : int(centre) + reach + 1])

    @cached_property
    def pace(self) -> float:
        """How many times the distance to its resting level falls by a factor of e on the whole way,
        as `ftlab.diagnosis.pace` finds it: good rates have 5 to 50, below 1 the fall is a line."""
        return pace(self.curve, self.losses)

    @cached_property
    def scatter(self) -> float:
        """Standard error of the fall."""
        ends = 1 / max(9, self.n // 20) + 1 / max(3, self.n // 10)
        return self.noise * self.median * math.sqrt(ends)

    @cached_property
    def certainty(self) -> float:
        """The fall in standard errors: below 3 there may be none."""
        return abs(self.start - self.end) / self.scatter if self.scatter > 0 else math.inf

    @cached_property
    def slope(self) -> float:
        """Share of the loss that the last fifth of the run has taken away."""
        before, after = self._around(0.8), self.end
        return (before - after) / before if before > 0 else 0.0

    # --- what else is measured -----------------------------------------------------------------

    @cached_property
    def gradient(self) -> float | None:
        """Median norm of the gradient."""
        return median_of_numbers(self.curve.grad_norm)

    @cached_property
    def surge(self) -> float:
        """The third largest norm of the gradient in the first third of the run, as a multiple of
        that of the first steps; 1 where it is not known."""
        first = [x for x in self.curve.grad_norm[: self.n // 3] if math.isfinite(x)]
        return _third_over(first)

    @cached_property
    def leap(self) -> float:
        """The same of the loss."""
        return _third_over(self.losses[: self.n // 3])

    @cached_property
    def tokens(self) -> float | None:
        """Median of the trained tokens of a step."""
        return median_of_numbers(self.curve.loss_tokens)

    @cached_property
    def evaluations(self) -> Evaluations:
        return Evaluations(self.curve.evaluations)

    @cached_property
    def measured(self) -> Measured:
        """What a sweep says of its learning rate."""
        return Measured(self.curve)

    @cached_property
    def boundaries(self) -> Boundaries:
        """What happens to the loss where an epoch ends, or may."""
        if self.curve.steps_per_epoch is None:
            return steepest(self.losses)
        return boundaries(self.curve, self.losses)


def _third_over(values: Any) -> float:
    """The third largest of some values as a multiple of their start; without a warm-up the first
    step alone is from before."""
    if len(values) <= 10:
        return 1.0
    start = min(float(values[0]), median(values[:5]))
    return float(sorted(values)[-3]) / start if start > 0 else 1.0
