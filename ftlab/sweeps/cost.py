"""What a sweep will take, before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.estimated import Estimate, duration_in_words
from ftlab.html import counted, escaped, facts, short
from ftlab.prices import Price
from ftlab.sweeps.plan import ETA, Plan
from ftlab.sweeps.rungs import fewest_kept, settings_of
from ftlab.timing import Range

ELSEWHERE = {
    True: ("Price", "Answers", "Adapter"),
    False: ("Memory", "Time", "Answers", "Adapter"),
}
"""Whether the arms train on this machine → what is of no matter there."""


@dataclass(frozen=True, slots=True)
class SweepCost:
    """What all arms together will take; None is unknown. Ranges are (low, high)."""

    n_arms: int
    steps: int
    """Optimizer steps of all arms, if none ends by itself and none is added."""
    steps_of_grid: int
    duration: Range | None
    """Seconds on this machine; unknown for a cluster, and at a service."""
    price: Range | None
    """US dollars at the hosted service: with arms ended where they can be, and all to their end."""
    is_hosted: bool
    basis: tuple[str, ...]

    def in_words(self) -> dict[str, str]:
        """What a person reads: each figure with its unit."""
        share = f"{100 * self.steps / self.steps_of_grid:.0f} % of a full grid"
        found = {"arms": f"{self.n_arms}", "steps": f"{short(self.steps)} · {share}"}
        if self.is_hosted:
            return {**found, "price": Price(*(self.price or (None, None))).in_words()}
        return {**found, "time": duration_in_words(self.duration)}

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every field by its name."""
        return asdict(self)

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{escaped(line)}</div>" for line in self.basis)
        title = "<summary>Where these figures come from</summary>"
        return f"{facts(self.in_words())}<details>{title}{lines}</details>"


def cost_of(
    plan: Plan, report: DataReport | None = None, validation: DataReport | None = None
) -> SweepCost:
    """From the estimate of the arm in the middle, and from how many arms go on at each rung."""
    is_local, n_at_once = plan.job.provider == "local", plan.job.options.get("n_gpus") or 1
    options = {**plan.job.options, "n_gpus": 1} if is_local else None
    one = estimate(plan.job.spec, report, validation=validation, options=options)
    share = steps_of(plan, n_at_once) / plan.n_steps
    steps, grid = steps_of(plan), len(plan.arms) * plan.n_steps
    return SweepCost(
        n_arms=len(plan.arms),
        steps=steps,
        steps_of_grid=grid,
        duration=None if plan.ray or not is_local else _times(one.duration, share),
        price=None if is_local else _price(one, steps / plan.n_steps, len(plan.arms)),
        is_hosted=not is_local,
        basis=(_in_words(plan), *_at_once(plan, n_at_once), *_of_one(one, ELSEWHERE[is_local])),
    )


def going_on(plan: Plan) -> tuple[int, ...]:
    """How many arms run to each rung, if none ends by itself and none is clearly behind."""
    counts = [len(settings_of(plan.arms, range(len(plan.arms))))]
    repeats = len(plan.arms) / counts[0]
    for rung in range(len(plan.rungs) - 1):
        fewest = fewest_kept(plan, rung)
        kept = max(fewest, math.ceil(counts[-1] / ETA))
        if rung == len(plan.rungs) - 2:
            kept = fewest if plan.has_many_epochs else 1
        counts.append(min(kept, counts[-1]))
    return tuple(round(n * repeats) for n in counts)


def steps_of(plan: Plan, n_at_once: int = 1) -> int:
    """Optimizer steps of all arms one after another, or of so many at once, if none ends by itself
    and none is added."""
    lengths = (b - a for a, b in zip((0, *plan.rungs), plan.rungs, strict=False))
    turns = (math.ceil(n / n_at_once) for n in going_on(plan))
    return sum(n * length for n, length in zip(turns, lengths, strict=True))


def _in_words(plan: Plan) -> str:
    arms = counted(len(plan.arms), "arm")
    if not plan.halving:
        return f"Steps: {arms} × {plan.n_steps:,} steps"
    ends = [f"{n} to step {step:,}" for n, step in zip(going_on(plan), plan.rungs, strict=True)]
    return f"Steps: {', '.join(ends)}; those that end by themselves save more, added ones cost more"


def _at_once(plan: Plan, n: int) -> Iterator[str]:
    if plan.ray:
        yield f"Time: that of the Ray cluster at {plan.ray} is not known here"
    elif n > 1:
        yield f"Time: {n} arms at once"


def _of_one(one: Estimate, left_out: tuple[str, ...]) -> Iterator[str]:
    yield from (f"One arm: {line}" for line in one.basis if not line.startswith(left_out))


def _times(amount: Range | None, factor: float) -> Range | None:
    return None if amount is None else (amount[0] * factor, amount[1] * factor)


def _price(one: Estimate, least: float, n_arms: int) -> Range | None:
    """Between the arms that are ended where they can be, and all of them to their end."""
    return None if one.price is None else (one.price[0] * least, one.price[1] * n_arms)
