"""The plan of a sweep: what its arms share, in what they differ, and when they are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise, product
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ftlab.html import rate
from ftlab.job import Job
from ftlab.rates import rounded
from ftlab.recommendation import shown
from ftlab.schedule import evaluation_steps
from ftlab.spec import JobSpec

RATE, SEED = "learning_rate", "random_seed"
SPACING = math.sqrt(10)
FIRST_STEPS = 20  # before that a loss says little, however long the run is
FIRST_SHARE = 1 / 12
ETA = 3
MOST_ADDED = 2
FEWEST_EVALUATIONS = 8
"""Of each arm, so that some lie between the rungs."""
MANY_EPOCHS = 5
"""Above that arms learn by heart, and the losses of a short run say less about a long one."""


class Arm(BaseModel):
    """One variant."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """For people: "4.6e-4", or "4.6e-4, lora_r 16"."""
    changes: dict[str, Any]
    """Fields of the sweep's spec that it sets."""

    @property
    def rate(self) -> float | None:
        """Its learning rate, where the arms differ in it."""
        return self.changes.get(RATE)

    @property
    def others(self) -> tuple[tuple[str, Any], ...]:
        """All that it sets but the learning rate, so that it can be compared."""
        kept = ((name, _plain(value)) for name, value in self.changes.items() if name != RATE)
        return tuple(sorted(kept))

    @property
    def but_seed(self) -> tuple[tuple[str, Any], ...]:
        """The same without the seed: arms that are alike in it are repeats."""
        return tuple(pair for pair in self.others if pair[0] != SEED)


class Bounds(NamedTuple):
    """Between which a learning rate may lie."""

    lowest: float = 0.0
    highest: float = 1.0

    def hold(self, rate: float) -> bool:
        return self.lowest <= rate <= self.highest and rate > 0


class Plan(BaseModel):
    """A sweep before it starts. Arms count from 0, in the order of their rates."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    job: Job
    """All that the arms share, with the learning rate in the middle."""
    given: dict[str, Any]
    """The fields as the person gave them, and no others."""
    arms: tuple[Arm, ...]
    """Those it starts with."""
    varied: tuple[str, ...]
    """The fields in which the arms differ."""
    n_steps: int
    """Optimizer steps of an arm that goes to its end."""
    rungs: tuple[int, ...]
    """The steps at which arms are compared, rising; the last is the end."""
    halving: bool = True
    range_test: bool = False
    """Whether one short run with a rising rate bounds the rates first."""
    recommended: float | None = None
    """The learning rate that is recommended without a sweep."""
    bounds: Bounds = Bounds()
    most_added: int = MOST_ADDED
    """Arms beyond the edges of the grid; none where an arm is paid for."""
    ray: str | None = None
    """The address of a Ray cluster whose workers train the arms; otherwise this machine does."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def job_of(self, arm: Arm) -> Job:
        """The job of one arm."""
        return self.job.model_copy(update={"spec": self.job.spec.changed(**arm.changes)})

    def setting_of(self, arm: Arm) -> str:
        """The name of an arm without its seed, where it differs from others in more than that."""
        varied = {n: arm.changes[n] for n in self.varied if n in arm.changes}
        return named({n: v for n, v in varied.items() if n != SEED}) or arm.name

    def over(self, n_steps: int) -> Plan:
        """The same plan where the arms have so many steps, which is sure once the rows are read."""
        rungs = rungs_of(self.job.spec, n_steps) if self.halving else (n_steps,)
        return self.model_copy(update={"n_steps": n_steps, "rungs": rungs})

    @property
    def has_many_epochs(self) -> bool:
        """Whether the arms see their rows so often that they may learn them by heart."""
        return self.job.spec.n_epochs > MANY_EPOCHS


def planned(
    job: Job,
    varied: Mapping[str, Sequence[Any]],
    n_steps: int,
    *,
    given: Mapping[str, Any] | None = None,
    halving: bool = True,
    range_test: bool = False,
    recommended: float | None = None,
    bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    most_added: int = MOST_ADDED,
    ray: str | None = None,
) -> Plan:
    """The plan of a sweep over all combinations of these values, around a resolved job."""
    job = evaluated(job, n_steps)
    return Plan(
        job=job,
        given=dict(given or {}),
        arms=tuple(arms_of(job, varied)),
        varied=tuple(varied),
        n_steps=n_steps,
        rungs=rungs_of(job.spec, n_steps) if halving else (n_steps,),
        halving=halving,
        range_test=range_test,
        recommended=recommended,
        bounds=bounds,
        most_added=most_added,
        ray=ray,
    )


def grid(middle: float, n: int, bounds: Bounds = Bounds()) -> tuple[float, ...]:  # noqa: B008
    """`n` rates (at least 1) a factor √10 apart, the middle one among them; of an even number one
    more lies above it. What the bounds do not hold is left out."""
    first = -((n - 1) // 2)
    beside = (rounded(middle * SPACING**place) for place in range(first, first + n) if place)
    return tuple(sorted(value for value in (*beside, middle) if bounds.hold(value)))


def arms_of(job: Job, varied: Mapping[str, Sequence[Any]]) -> Iterable[Arm]:
    """Every combination once; those of one learning rate after the other, the lowest first."""
    names = sorted(varied, key=lambda name: name != RATE)
    values = ([*dict.fromkeys(varied[name])] for name in names)
    combined = product(*(sorted(v) if n == RATE else v for n, v in zip(names, values, strict=True)))
    for chosen in combined:
        yield arm_of(job, dict(zip(names, chosen, strict=True)))


def arm_of(job: Job, values: Mapping[str, Any]) -> Arm:
    """The arm that sets these fields. Where lora_alpha was left out it stays twice the rank."""
    changes = dict(values)
    if "lora_r" in values and "lora_alpha" not in values and "lora_alpha" in job.reasons:
        changes["lora_alpha"] = 2 * values["lora_r"]
    return Arm(name=named(values), changes=changes)


def named(values: Mapping[str, Any]) -> str:
    """An arm with these values, in words."""
    words = (rate(v) if name == RATE else f"{name} {_words(v)}" for name, v in values.items())
    return ", ".join(words)


def evaluated(job: Job, n_steps: int) -> Job:
    """The job with evaluations at the rungs and between, and the best of them as its result."""
    first = min(first_rung(job.spec, n_steps), n_steps)
    per_rung = math.ceil(FEWEST_EVALUATIONS * first / n_steps)
    n_evals = max(job.spec.n_evals or 0, min(per_rung * n_steps // first, n_steps))
    changes: dict[str, Any] = {"n_evals": n_evals}
    reasons = {"n_evals": "the arms of a sweep are compared on the way"}
    if not job.spec.early_stopping_enabled:
        changes |= {
            "early_stopping_enabled": True,
            "early_stopping_patience": n_evals - 1,
            "early_stopping_warmup_evals": 0,
        }
        reasons["early_stopping_enabled"] = (
            "the result of an arm is that of its best evaluation; with so much patience none ends "
            "early"
        )
    spec = job.spec.changed(**changes)
    return job.model_copy(update={"spec": spec, "reasons": {**job.reasons, **reasons}})


def rungs_of(spec: JobSpec, n_steps: int) -> tuple[int, ...]:
    """After which of its evaluations an arm of so many steps is compared with the others.

    The first about after 20 steps, twice the warm-up, or a twelfth of the run, whatever is the
    latest; then after three times as many, and so on up to the half; at the half, because a rung
    shortly before the end would save nothing; and at the end.
    """
    wanted, half = [first_rung(spec, n_steps)], math.ceil(n_steps / 2)
    while wanted[-1] * ETA < half:
        wanted.append(wanted[-1] * ETA)
    wanted += [max(half, wanted[-1]), n_steps]
    steps = evaluation_steps(n_steps, spec.n_evals or 1)
    return tuple(sorted({_nearest(steps, step) for step in wanted}))


def first_rung(spec: JobSpec, n_steps: int) -> int:
    """After so many steps a loss says something, if the run has as many."""
    warmup = math.ceil(spec.warmup_ratio * n_steps)
    return max(FIRST_STEPS, 2 * warmup, math.ceil(FIRST_SHARE * n_steps))


def spacing(rates: Sequence[float]) -> float:
    """The factor between the two rates at an edge, given from the inside out."""
    return next((outer / inner for inner, outer in pairwise(rates[-2:])), SPACING)


def _nearest(steps: Sequence[int], wanted: int) -> int:
    """The later one of two that are as near."""
    return min(steps, key=lambda step: (abs(step - wanted), -step))


def _plain(value: Any) -> Any:
    """A value that can be compared: lists come back from JSON where tuples were."""
    return tuple(value) if isinstance(value, list) else value


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else shown(value)
