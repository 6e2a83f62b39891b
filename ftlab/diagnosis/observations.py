"""What the losses may show besides the verdict."""

from __future__ import annotations

from dataclasses import replace

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis.advising import NEMO, PRACTICE, again
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.medians import median
from ftlab.diagnosis.registry import OBSERVATIONS, Hit, detector
from ftlab.diagnosis.statistics import Statistics

SOME, MANY = 50, 100
"""Steps before which a detector says nothing."""


def _spike_advice(facts: Statistics) -> tuple[Advice, ...]:
    clipping = facts.curve.spec.max_grad_norm
    look = Advice("Look at the rows of that step: a click on the point shows them.", PRACTICE)
    if clipping == 0:
        return look, Advice("Clip gradients at 1.", NEMO, {"max_grad_norm": 1.0}, again(facts))
    return look, *advising.rate_advice(facts, 1 / 3, 1 / 2, " Gradients are clipped already.")


@detector(
    OBSERVATIONS,
    meaning="At single steps the loss leaps, and so does the gradient: odd rows, or a large step.",
    source=NEMO,
    advise=_spike_advice,
    example=lambda: replace(
        shapes.scaled(shapes.falling(), (250, 252, 1.8)),
        grad_norm=[12.0 if i in (250, 251) else 1.0 for i in range(400)],
    ),
    least_steps=SOME,
)
def spike(facts: Statistics) -> Hit | None:
    found, gradient = facts.spikes, facts.gradient
    if not found.number or found.highest < 1.25 or not gradient or facts.noise > 0.12:
        return None
    place = [*facts.curve.steps].index(found.at)
    norm = facts.curve.grad_norm[place]
    if not norm > 3 * gradient:
        return None
    evidence = {"step": float(found.at), "times_the_loss": found.highest}
    return Hit(0.8, {**evidence, "grad_norm": norm, "usual_grad_norm": gradient})


@detector(
    OBSERVATIONS,
    meaning="The validation loss falls to almost nothing too: its rows are among those that train.",
    source=NEMO,
    advise=lambda _: (
        Advice("Scan the validation file against the training file (`ftlab scan --against`).",
               NEMO, {}, "no step"),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.03, steps_per_epoch=80), 1.2, 0.6, 0.2, 0.08, 0.04, 0.03
    ),
    least_steps=SOME,
)  # fmt: skip
def memorised_evaluation(facts: Statistics) -> Hit | None:
    points = facts.curve.evaluations
    if len(points) < 3 or (facts.curve.n_epochs or 0) < 2:
        return None
    last = points[-1][1]
    if not (facts.drop > 0.9 and last <= 1.15 * facts.end and last < 0.1):
        return None
    return Hit(0.6, {"train_loss": facts.end, "eval_loss": last})


@detector(
    OBSERVATIONS,
    meaning="Hardly any loss from the first epoch on: it trains on tokens that say themselves.",
    source=PRACTICE,
    advise=advising.mask_bug,
    example=lambda: shapes.falling(start=0.4, floor=0.004, pace=40.0, steps_per_epoch=400),
    least_steps=SOME,
)
def below_the_floor(facts: Statistics) -> Hit | None:
    """Texts of people hold about a nat per token (in JSON and code a tenth); padding holds none."""
    is_dpo = facts.curve.spec.training_method == "dpo"
    first_epoch = (
        facts.curve.steps_per_epoch and facts.curve.n <= 1.05 * facts.curve.steps_per_epoch
    )
    if is_dpo or not first_epoch or facts.median > 0.01:
        return None
    return Hit(0.55, {"median_loss": facts.median})


@detector(
    OBSERVATIONS,
    meaning="The validation loss has stopped falling while the training loss goes on.",
    source=NEMO,
    advise=lambda facts: (
        Advice(
            "Stop here, and take the checkpoint with the lowest eval_loss.", NEMO, {}, "no step"
        ),
        advising.stop_early(facts),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.4, pace=4.0), 1.9, 1.6, 1.5, 1.497, 1.5, 1.502
    ),
    least_steps=SOME,
)
def stop_early(facts: Statistics) -> Hit | None:
    points = facts.evaluations.losses
    if len(points) < 4 or facts.evaluations.rise > 0.03 or facts.slope < 0.03 or facts.noise > 0.2:
        return None
    change = points[-1] / points[-3] - 1 if points[-3] > 0 else 0.0
    if not change > -0.005:
        return None
    return Hit(0.6, {"eval_change": change, "train_fall": facts.slope})


@detector(
    OBSERVATIONS,
    meaning="The validation loss was still falling at the end: more training would help.",
    source=NEMO,
    advise=lambda facts: (
        Advice("One or two epochs more.", NEMO, {"n_epochs": facts.curve.spec.n_epochs + 1},
               again(facts, 1 / max(facts.curve.spec.n_epochs, 1))),
    ),
    example=lambda: shapes.evaluated(shapes.falling(pace=2.5), 2.3, 2.1, 1.9, 1.75, 1.6),
    least_steps=SOME,
)  # fmt: skip
def undertrained(facts: Statistics) -> Hit | None:
    points = facts.evaluations.losses
    if facts.curve.share_done < 0.95 or len(points) < 3 or points[-2] <= 0:
        return None
    last, before = 1 - points[-1] / points[-2], 1 - points[-2] / points[-3]
    if last < 0.03 or last < 0.4 * before:
        return None
    return Hit(0.65, {"eval_fall": last, "eval_fall_before": before})


@detector(
    OBSERVATIONS,
    meaning="Its answers repeat themselves: overfitted, or the prompts are not as in training.",
    source=NEMO,
    advise=lambda facts: (
        Advice("Try an earlier checkpoint.", NEMO, {}, "no step"),
        Advice("See that the prompts have the form of the training rows (chat template).", NEMO),
        Advice("Clean the data of rows that repeat themselves.", NEMO),
    ),
    example=lambda: shapes.falling(samples=["so we go and " * 20]),
    least_steps=0,
)
def repetitive_output(facts: Statistics) -> Hit | None:
    shares = [_repeated(text) for text in facts.curve.samples if len(text.split()) >= 20]
    if not shares or (share := median(shares)) < 0.5:
        return None
    return Hit(0.7, {"share_repeated": share})


def _repeated(text: str) -> float:
    """Share of the runs of four words that stood in the text before."""
    words = text.split()
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len({*runs}) / len(runs)
