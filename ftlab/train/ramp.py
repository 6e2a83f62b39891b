"""The range test: one short training whose learning rate rises at every step, from far below to far
above. Where the loss leaves what it was before, rates are too high (Smith, 1506.01186).

It bounds the rates from above alone: where its loss is lowest says little, because all steps
before had a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, pairwise, takewhile
from statistics import median
from typing import TYPE_CHECKING

from ftlab.sweeps.plan import Arm, Plan

if TYPE_CHECKING:
    from ftlab.train.loop import Prepared
    from ftlab.train.training import Asked

MOST_STEPS, FEWEST_STEPS, SHARE_OF_RUN = 100, 20, 0.25
BELOW, ABOVE = 10, 30  # times the lowest and the highest rate of the arms
WINDOW = 0.1  # share of the steps that the running median is over, and five at least
RISEN = 0.1  # share of the loss of the beginning that it rises by at least
NOISES = 4  # standard deviations of single steps; the median of pure noise stays within three
EXPLODED = 2.0  # times the loss of the beginning
ROUNDED = 1.05  # arms have two digits of the rate that is recommended
MARGIN = 3
"""A few steps stand a higher rate than a training does: a third to a tenth is usual."""
ALWAYS = 2  # arms with the lowest rates that begin in any case


def ramp(plan: Plan) -> list[float]:
    """The rate of each step."""
    rates = [arm.rate for arm in plan.arms if arm.rate]
    low, high = min(rates) / BELOW, min(max(rates) * ABOVE, 1.0)
    n = min(max(round(SHARE_OF_RUN * plan.n_steps), FEWEST_STEPS), MOST_STEPS, plan.n_steps)
    return [low * (high / low) ** (i / max(n - 1, 1)) for i in range(n)]


def losses_along(ready: Prepared, rates: Sequence[float], asked: Asked) -> list[float]:
    """The loss of each step, up to the first that is no number, or until something is asked."""
    from ftlab.train.reading import all_steps

    found = list[float]()
    rows = all_steps(ready.trainer.spec, ready.training, len(rates))
    for rate, some in zip(rates, islice(rows, len(rates)), strict=False):
        if asked() is not None or (found and not math.isfinite(found[-1])):
            break
        found.append(ready.trainer.step(some, rate)["train_loss"])
    return found


def highest_rate(
    rates: Sequence[float], losses: Sequence[float], recommended: float = 0.0
) -> float:
    """The highest learning rate that an arm may have; inf where all went well. It is below the
    recommended one only where the loss was no number or twice that of the beginning until there."""
    window = max(round(WINDOW * len(rates)), 5)
    finite = [*takewhile(math.isfinite, losses)]
    smooth = [median(finite[max(i + 1 - window, 0) : i + 1]) for i in range(len(finite))]
    smooth += [math.inf] * (len(losses) - len(finite))
    start = median(finite[:window] or [0.0])
    risen = _risen(finite, smooth, window, start)
    if risen is None:
        return math.inf
    highest, least = rates[risen] / MARGIN, recommended * ROUNDED
    until = [loss for rate, loss in zip(rates, smooth, strict=False) if rate <= least]
    exploded = max(until, default=0.0) > EXPLODED * start
    return highest if exploded else max(highest, least)


def _risen(
    finite: Sequence[float], smooth: Sequence[float], window: int, start: float
) -> int | None:
    """The first step at which the smoothed loss is above its lowest by more than noise explains,
    and from which on it stays so; None where there is none."""
    for i in range(window, len(finite)):
        lowest, scatter = min(smooth[window - 1 : i]), _noise(finite[:i])
        limit = lowest + max(NOISES * scatter, RISEN * start)
        if min(smooth[i : i + window]) > limit:
            return i
    return len(finite) if len(finite) < len(smooth) else None


def _noise(losses: Sequence[float]) -> float:
    """The standard deviation of single steps by their differences, which a slow change and a few
    outliers do not matter to."""
    differences = [abs(b - a) for a, b in pairwise(losses)]
    return 1.4826 / math.sqrt(2) * median(differences)  # of a normal distribution


def beyond(arms: Sequence[Arm], highest: float) -> dict[int, str]:
    """Arms with higher rates, and why they do not begin."""
    order = sorted(range(len(arms)), key=lambda number: arms[number].rate or 0.0)
    why = f"not begun: in the range test the loss rose; rates up to {highest:.2g} are below that"
    return {n: why for n in order[ALWAYS:] if (arms[n].rate or 0.0) > highest}


def in_words(rates: Sequence[float], losses: Sequence[float], highest: float) -> str:
    """The figures, for a person."""
    found = "the loss stayed below" if highest == math.inf else f"arms may have up to {highest:.2g}"
    return (
        f"Range test: over {len(losses)} steps the learning rate rose from {rates[0]:.2g} to "
        f"{rates[len(losses) - 1]:.2g}; the loss was {losses[0]:.4g} at first, "
        f"{min(losses):.4g} at its lowest; {found}."
    )
