"""The verdicts that need no course to be seen: nothing is learned, or all is lost."""

from __future__ import annotations

import math
import re

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis.numbers import went_on
from ftlab.diagnosis.registry import VERDICTS, Hit, detector, sure
from ftlab.diagnosis.statistics import Statistics

AT_ONCE, FEW, SOME = 5, 30, 50
"""Steps before which a detector says nothing."""
UNMOVED = 20  # an untrained model begins at the loss of a guess
NO_GRADIENT = 1e-6
NO_NUMBER = re.compile(r"became (nan|-?inf)")
"""How the trainer says why it ended a run."""


@detector(
    VERDICTS,
    meaning="The loss is that of a guess, or of nothing: the loss mask or the targets are wrong.",
    source=advising.PRACTICE,
    advise=advising.mask_bug,
    example=lambda: shapes.constant(math.log(shapes.VOCABULARY), noise=0.004),
    least_steps=AT_ONCE,
)
def mask_bug(facts: Statistics) -> Hit | None:
    if facts.tokens == 0:
        return Hit(0.99, {"loss_tokens": 0.0})
    if facts.n and not facts.losses.any():
        return Hit(0.97, {"train_loss": 0.0})
    uniform = facts.curve.uniform
    if not uniform or uniform <= math.log(150) or facts.curve.spec.training_method == "dpo":
        return None
    evidence = {"end": facts.end, "guess": uniform, "drop": facts.drop}
    is_low = (facts.curve.ratio or 1) < 0.1  # then an untrained model may just not have moved
    if facts.gradient is not None and facts.gradient < NO_GRADIENT:
        return None
    if facts.n < max(UNMOVED, 2 * facts.curve.warmup):
        return None
    if facts.n and abs(facts.median / uniform - 1) < 0.07 and abs(facts.drop) < 0.02:
        return Hit(0.4 if is_low else 0.85, evidence)
    came_down = facts.n >= SOME and facts.start > 1.07 * uniform and facts.slope < 0.03
    return Hit(0.7, evidence) if came_down and abs(facts.end / uniform - 1) < 0.1 else None


@detector(
    VERDICTS,
    meaning="The loss has left the numbers, or climbs and stays high.",
    source=advising.NEMO,
    advise=advising.diverged,
    example=lambda: shapes.scaled(shapes.falling(300, pace=4.0), (150, 300, 2.4)),
    least_steps=1,
)
def diverged(facts: Statistics) -> Hit | None:
    if facts.not_finite and not went_on(facts):
        return Hit(0.99, {"losses_that_are_no_numbers": float(facts.not_finite)})
    if NO_NUMBER.search(facts.curve.failure):
        return Hit(0.97, {"said": facts.curve.failure[:120]})
    if facts.curve.n < FEW:
        return None
    climb = facts.end / facts.lowest if facts.lowest > 0 else 1.0
    evidence = {"end": facts.end, "lowest": facts.lowest, "start": facts.start}
    first = float(facts.losses[0])  # the second step may have thrown it off already
    if first > 0 and facts.end > (3 if facts.noise > 0.12 else 1.5) * first:
        return Hit(sure(facts.end / first, 1.5, 3), {**evidence, "first": first})
    if facts.drop < -0.15:
        return Hit(sure(-facts.drop, 0.15, 0.5), evidence)
    if climb > 1.3 + 2 * facts.noise and facts.drop < 0.3 and facts.spikes.number < 4:
        return Hit(sure(climb, 1.3, 1.8), evidence)
    return None


@detector(
    VERDICTS,
    meaning="No gradient reaches what should train: nothing can be learned.",
    source=advising.PRACTICE,
    advise=advising.dead_adapter,
    example=lambda: shapes.constant(2.1, noise=0.03, grad_norm=[0.0] * 200),
    least_steps=AT_ONCE,
)
def dead_adapter(facts: Statistics) -> Hit | None:
    if facts.gradient is None or facts.gradient >= NO_GRADIENT:
        return None
    return Hit(0.98, {"grad_norm": facts.gradient})
