"""Losses that are no numbers, where the run went on all the same."""

from __future__ import annotations

import math

from ftlab.diagnosis import shapes
from ftlab.diagnosis.advising import PRACTICE
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.medians import median
from ftlab.diagnosis.registry import OBSERVATIONS, Hit, detector
from ftlab.diagnosis.statistics import Statistics

AFTER, SHARE_AFTER = 10, 0.05
"""Losses that must follow."""
MOST = 0.05
"""Share of the steps that a trainer skips in a run that is all right."""
HIGHER = 1.1
"""Times the loss before: above it, it did not go on as before."""


@detector(
    OBSERVATIONS,
    meaning="Single steps have a loss that is no number; it went on falling after them.",
    source=PRACTICE,
    advise=lambda _: (
        Advice("Look at the rows of these steps. If the format is fp16, take bf16.", PRACTICE),
    ),
    example=lambda: shapes.scaled(shapes.falling(), (200, 201, math.nan)),
    least_steps=AFTER,
)
def steps_without_a_number(facts: Statistics) -> Hit | None:
    if not facts.not_finite or not went_on(facts):
        return None
    first = next(p for p, is_bad in enumerate(_bad(facts)) if is_bad)
    return Hit(
        0.8, {"steps": float(facts.not_finite), "first_step": float(facts.curve.steps[first])}
    )


@detector(
    OBSERVATIONS,
    meaning="The validation loss is no number, while the training loss is one.",
    source=PRACTICE,
    advise=lambda _: (
        Advice(
            "Look at the validation rows: one whose tokens all are masked or cut off has no loss "
            "(`ftlab scan`).", PRACTICE, {}, "no step",
        ),
    ),
    example=lambda: shapes.evaluated(shapes.falling(), *[math.nan] * 4),
    least_steps=1,
)  # fmt: skip
def evaluation_without_a_number(facts: Statistics) -> Hit | None:
    bad = [step for step, loss in facts.curve.evaluations if not math.isfinite(loss)]
    if not bad or not facts.n or (facts.not_finite and not went_on(facts)):
        return None
    all_of_them = len(facts.curve.evaluations)
    return Hit(0.9, {"evaluations": float(len(bad)), "of": float(all_of_them), "step": bad[0]})


def went_on(facts: Statistics) -> bool:
    """Whether the losses that are no numbers are few, and those after them are as low as before."""
    bad = _bad(facts)
    last = max((place for place, is_bad in enumerate(bad) if is_bad), default=-1)
    reach = max(AFTER, round(SHARE_AFTER * len(bad)))
    before, after = facts.losses[facts.places < last], facts.losses[facts.places > last]
    if facts.not_finite > max(1, MOST * len(bad)) or len(after) < reach:
        return False
    return not len(before) or median(after[-reach:]) <= HIGHER * median(before[-reach:])


def _bad(facts: Statistics) -> list[bool]:
    good = {*facts.places.tolist()}
    return [place not in good for place in range(len(facts.raw))]
