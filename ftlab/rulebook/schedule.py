"""The learning rate and how it goes."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.advice import setup_of
from ftlab.catalogue import known
from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.rates import TINKER_LORA, best_rate, rounded
from ftlab.rulebook.registry import advice, is_set, rule
from ftlab.spec import JobSpec

HIGHEST = 5e-3  # that is recommended: for models of 128 values a token
FAR = 10  # times the recommended rate
DIVERGED = 3e-3  # of 80 adapters that diverged in the published sweeps, 72 had this rate


@rule(learning_rate=0.1)
def rate_far_from_recommended(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Ten times too high diverges, ten times too low hardly learns. Which rate is right depends on
    the model's width: of one that the catalogue doesn't know only what none can bear is said."""
    info = known(spec.model) if spec.model else None
    if info is not None:
        yield from rate_problems(spec, report, info)
    elif (spec.learning_rate or 0) >= FAR * HIGHEST:
        yield advice(
            "warning",
            "learning_rate",
            f"learning_rate is {spec.learning_rate:g}; the highest that is recommended for any "
            f"model is {HIGHEST:g}, for very small ones. Use {DIVERGED / FAR:g}, or leave it out.",
            fix={"learning_rate": DIVERGED / FAR},
        )


def rate_problems(spec: JobSpec, report: DataReport | None, info: ModelInfo) -> Iterator[Issue]:
    """A rate that is far from what is recommended for this very model."""
    rate = spec.learning_rate
    if rate is None:
        return
    best = rounded(best_rate(info, setup_of(spec, report)))
    diverged = rounded(DIVERGED / TINKER_LORA) if spec.lora is False else DIVERGED
    if rate >= min(FAR * best, max(diverged, 2 * best)):
        yield advice(
            "warning",
            "learning_rate",
            f"learning_rate is {rate:g}, {rate / best:.1f} times what is recommended for such a "
            f"job; most runs of published sweeps diverged at {diverged:g}. Use {best:g}.",
            fix={"learning_rate": best},
        )
    elif rate * FAR < best:
        yield advice(
            "tip",
            "learning_rate",
            f"learning_rate is {rate:g}, {best / rate:.0f} times below what is recommended for "
            "such a job; sources differ, and so low it learns little in a short run. Try "
            f"{best:g} as well.",
            fix={"learning_rate": best},
        )


@rule(lr_scheduler_type="linear", scheduler_num_cycles=2.0)
def cycles_are_for_cosine(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Only a cosine has waves."""
    if spec.lr_scheduler_type != "cosine" and is_set(spec, "scheduler_num_cycles"):
        yield advice(
            "warning",
            "scheduler_num_cycles",
            f"scheduler_num_cycles is {spec.scheduler_num_cycles:g} and lr_scheduler_type is "
            f"{spec.lr_scheduler_type}; only cosine has cycles. Leave it out.",
            fix={"scheduler_num_cycles": None},
        )


@rule(lr_scheduler_type="constant", min_lr_ratio=0.1)
def constant_never_falls(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A constant rate has no lower end."""
    if spec.lr_scheduler_type == "constant" and spec.min_lr_ratio:
        yield advice(
            "warning",
            "min_lr_ratio",
            f"min_lr_ratio is {spec.min_lr_ratio:g} and lr_scheduler_type is constant, which never "
            "falls. Leave it out, or choose cosine.",
            fix={"min_lr_ratio": None},
        )


@rule(warmup_ratio=1.0)
def warmup_leaves_a_run(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A run that only climbs never trains at its rate."""
    if spec.warmup_ratio > 0.5:
        yield advice(
            "warning",
            "warmup_ratio",
            f"warmup_ratio is {spec.warmup_ratio:g}, so most of the run only climbs to its rate; "
            "0.03 to 0.1 is usual. Use 0.1.",
            fix={"warmup_ratio": 0.1},
        )


@rule(max_steps=10, n_epochs=3)
def steps_override_epochs(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """max_steps ends the run, wherever the epochs stand."""
    if spec.max_steps and spec.n_epochs > 1:
        yield advice(
            "warning",
            "max_steps",
            f"max_steps is {spec.max_steps} and n_epochs is {spec.n_epochs}; whichever ends first "
            "ends the run. Leave max_steps out to train all epochs.",
            fix={"max_steps": None},
        )
