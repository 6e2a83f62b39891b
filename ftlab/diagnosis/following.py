"""The next experiment worth doing, in the order learning rate, batch, epochs, regularisation."""

from __future__ import annotations

from ftlab.diagnosis.advising import (
    NEMO,
    a_try,
    again,
    epoch_steps,
    noisy_batch,
    overfitting,
    rate_advice,
)
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.statistics import Statistics

OURS = "ftlab's recommendation"
UNTRIED = 1.5
"""A rate that is further than this factor from the recommended one has not been tried there."""
NO_EXPERIMENT = ("mask_bug", "dead_adapter", "diverged")
RATES = {
    **{"lr_too_high": (1 / 5, 1 / 2), "lr_too_low": (5, 10), "lr_slightly_low": (2, 3)},
    **{"plateau_early": (2, 5), "smooth_slow": (2, 3)},
}


def next_experiment(label: str, facts: Statistics) -> Advice | None:
    """One change at a time; None where something is to be mended first."""
    if label in NO_EXPERIMENT:
        return None
    if of_rate := _rate(label, facts):
        return of_rate[0]
    if label == "noisy_batch":
        return noisy_batch(facts)[0]
    if label in ("overfitting", "epoch_steps"):
        return _against_learning_by_heart(label, facts)
    return _more_epochs(facts)


def _rate(label: str, facts: Statistics) -> tuple[Advice, ...]:
    if facts.measured.best is not None:
        return rate_advice(facts, 1, 1)  # what the sweep measured
    if label in RATES:
        return rate_advice(facts, *RATES[label])
    ratio = facts.curve.ratio
    spread = facts.curve.recommended_spread
    is_tried = ratio is None or 1 / (UNTRIED * spread) < ratio < UNTRIED * spread
    if is_tried or facts.measured.rates:
        return ()
    change = {"learning_rate": facts.curve.recommended_lr}
    return (Advice("Try the recommended learning rate.", OURS, change, a_try(facts)),)


def _against_learning_by_heart(label: str, facts: Statistics) -> Advice:
    advised = (*(epoch_steps(facts) if label == "epoch_steps" else ()), *overfitting(facts))
    changing = [one for one in advised if one.changes]
    first = [one for one in changing if "n_epochs" in one.changes]
    return (first or changing)[0]


def _more_epochs(facts: Statistics) -> Advice | None:
    """Where the validation loss is still falling at the end."""
    points = facts.evaluations.losses
    if len(points) < 3 or points[-2] <= 0 or 1 - points[-1] / points[-2] < 0.03:
        return None
    n_epochs = facts.curve.spec.n_epochs
    cost = again(facts, 1 / max(n_epochs, 1))
    return Advice("One epoch more.", NEMO, {"n_epochs": n_epochs + 1}, cost)
