"""What a loss that comes to rest high may mean, and one that does not fall."""

from __future__ import annotations

from typing import Any

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis.advising import NEMO, a_try, again
from ftlab.diagnosis.beliefs import beliefs
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.medians import median
from ftlab.diagnosis.registry import OBSERVATIONS, Hit, detector
from ftlab.diagnosis.statistics import Statistics
from ftlab.spec import JobSpec

SOME, MANY = 50, 100
"""Steps before which a detector says nothing."""
FLAT = 0.01
NOTHING = 0.02
"""Share of the loss; tuning that has room takes more of it in each epoch."""
HIGH = 0.4
"""Share of the loss of a guess: models of language begin below it, 4 nats of 10."""


def _spec(**values: Any) -> JobSpec:
    return JobSpec.model_validate(values)


def _regularised(changes: dict, why: str, facts: Statistics) -> Advice:
    return Advice(why, NEMO, changes, again(facts))


@detector(
    OBSERVATIONS,
    meaning="The training loss comes to rest high, held back by weight_decay.",
    source=NEMO,
    advise=lambda facts: (
        _regularised({"weight_decay": 0.01}, "Lower weight_decay to 0.01, or to 0.", facts),
    ),
    example=lambda: shapes.falling(
        start=2.6, floor=2.1, spec=_spec(weight_decay=0.3), recommended_lr=1e-3,
        learning_rate=[1e-3] * 400, steps_per_epoch=100,
    ),
    least_steps=MANY,
)  # fmt: skip
def converged_high(facts: Statistics) -> Hit | None:
    decay = facts.curve.spec.weight_decay
    if decay <= 0.05 or not _repeats(facts) or not _rests_high(facts):
        return None
    return Hit(0.45, {"weight_decay": decay, "drop": facts.drop, **_repeats(facts)})


@detector(
    OBSERVATIONS,
    meaning="Training and validation loss come to rest high: it fits neither.",
    source=NEMO,
    advise=lambda facts: (
        _regularised({"weight_decay": 0.0}, "No weight_decay; then the rate, then the data.", facts)
        if facts.curve.spec.weight_decay
        else Advice("First the learning rate, then the data.", NEMO, {}, a_try(facts)),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(start=6.0, floor=5.2, pace=8.0), 5.6, 5.3, 5.25, 5.24, 5.24
    ),
    least_steps=MANY,
)
def both_high(facts: Statistics) -> Hit | None:
    """High is near a guess, not near its start: most tuning takes a quarter of the loss."""
    points, guess = facts.evaluations.losses, facts.curve.uniform
    if guess is None or facts.end < HIGH * guess or len(points) < 3:
        return None
    if not _rests_high(facts) or points[-1] < 0.97 * facts.end:
        return None
    evidence = {"train_loss": facts.end, "eval_loss": points[-1], "guess": guess}
    return Hit(0.45, {**evidence, "drop": facts.drop})


@detector(
    OBSERVATIONS,
    meaning="The training loss comes to rest high at a fitting rate: the adapter may be too small.",
    source=NEMO,
    advise=lambda facts: (advising.twice_the_rank(facts, "Give the adapter more room"),),
    example=lambda: shapes.falling(
        start=2.6, floor=2.1, spec=_spec(lora_r=4, lora_alpha=8), recommended_lr=1e-3,
        learning_rate=[1e-3] * 400, steps_per_epoch=100,
    ),
    least_steps=MANY,
)  # fmt: skip
def capacity_plateau(facts: Statistics) -> Hit | None:
    spec, ratio = facts.curve.spec, facts.curve.ratio
    small = spec.lora is not False and spec.lora_r is not None and spec.lora_r <= 8
    if not small or ratio is None or not 0.4 < ratio < 2.5 or not _repeats(facts):
        return None
    if not _rests_high(facts):
        return None
    return Hit(0.45, {"lora_r": float(spec.lora_r or 0), "drop": facts.drop, **_repeats(facts)})


@detector(
    OBSERVATIONS,
    meaning="It overfits although there were few epochs: it needs to be held back.",
    source=NEMO,
    advise=lambda facts: (
        _regularised(
            {"weight_decay": 0.05 if facts.curve.spec.weight_decay >= 0.01 else 0.01},
            "Raise weight_decay: 0.01, then 0.05, then 0.1.",
            facts,
        ),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.3, steps_per_epoch=300), 1.9, 1.6, 1.5, 1.52, 1.58, 1.66, 1.8
    ),
    least_steps=SOME,
)
def needs_regularising(facts: Statistics) -> Hit | None:
    n_epochs = facts.curve.n_epochs
    if n_epochs is None or n_epochs > 2 or facts.evaluations.rise <= 0.03:
        return None
    if len(facts.evaluations.after_best) < 2 or facts.drop <= 0.1:
        return None
    return Hit(0.6, {"epochs": n_epochs, "rise": facts.evaluations.rise})


@detector(
    OBSERVATIONS,
    meaning="It does not learn at all, at a rate that should do.",
    source=NEMO,
    advise=lambda facts: (
        Advice("Check which tokens train (Data tab).", NEMO, {}, "no step"),
        advising.twice_the_rank(facts, "Train more weights"),
        Advice("Or the model is too small for this task.", NEMO),
    ),
    example=lambda: shapes.constant(
        2.1, n=400, noise=0.01, recommended_lr=1e-3, learning_rate=[1e-3] * 400
    ),
    least_steps=MANY,
)
def not_falling(facts: Statistics) -> Hit | None:
    ratio = facts.curve.ratio
    if ratio is None or not 0.3 < ratio < 4 or not -0.02 < facts.drop < 0.01:
        return None
    if facts.gradient is not None and facts.gradient < 1e-6:
        return None
    return Hit(0.6, {"drop": facts.drop, "lr_ratio": ratio})


def _repeats(facts: Statistics) -> dict[str, float]:
    """What it got from seeing its rows again, where that is nothing: what it can't learn of them
    then, it has no room for. In a first epoch a loss may rest on what nobody can foresee."""
    n_epochs = facts.curve.n_epochs or 0.0
    if n_epochs < 2:
        return {}
    length = round(facts.n / n_epochs)
    before, after = facts.losses[-2 * length : -length], facts.losses[-length:]
    gained = 1 - median(after) / median(before) if median(before) > 0 else 0.0
    return {"epochs": n_epochs, "last_epoch_fell": gained} if gained < NOTHING else {}


def _rests_high(facts: Statistics) -> bool:
    """Whether it is flat at less than a third below its start, and not for too low a rate."""
    low = beliefs(facts)["lr_too_low"] + beliefs(facts)["lr_slightly_low"]
    return 0.05 < facts.drop < 0.33 and abs(facts.slope) < FLAT + facts.noise / 3 and low < 0.4
