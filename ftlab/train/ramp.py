"""The range test: one short training whose learning rate rises at every step, from far below to far
above. Where the loss leaves what it was before, rates are too high (Smith, 1506.01186).

It bounds the rates from above alone: where its loss is lowest says little, because all steps
before had a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from statistics import median

from ftlab.sweeps.plan import Arm, Plan
from ftlab.train.loop import Prepared
from ftlab.train.reading import all_steps
from ftlab.train.training import Asked

MOST_STEPS, FEWEST_STEPS, SHARE_OF_RUN = 100, 20, 0.25
BELOW, ABOVE = 10, 30  # times the lowest and the highest rate of the arms
FLAT = 0.1  # share of the steps at the beginning in which the rate is too low to change anything
WINDOW = 0.05  # share of the steps that the running mean is over, and two at least
DIVERGED = 1.1  # times the loss of the beginning
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
    found = list[float]()
    rows = all_steps(ready.trainer.spec, ready.training, len(rates))
    for rate, some in zip(rates, islice(rows, len(rates)), strict=False):
        if asked() is not None or (found and not math.isfinite(found[-1])):
            break
        found.append(ready.trainer.step(some, rate)["train_loss"])
    return found


def highest_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The highest learning rate that an arm may have; inf where all went well."""
    before = median(losses[: max(round(FLAT * len(rates)), 3)])
    mean, new = before, 1 / max(WINDOW * len(rates), 2)
    for rate, loss in zip(rates, losses, strict=False):
        mean += new * (loss - mean)
        if not mean <= DIVERGED * before:  # a loss that is no number is no less either
            return rate / MARGIN
    return math.inf


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
