"""The detectors of which a run gets one verdict: the first that hits, in this order.

Thresholds of the rules follow from curves made for it; `tests/benchmarks/doctor.py` says how often
they are right on others.
"""

from __future__ import annotations

import math
import re

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis.beliefs import beliefs
from ftlab.diagnosis.registry import VERDICTS, Hit, detector
from ftlab.diagnosis.statistics import Statistics

NEMO = advising.NEMO
PRACTICE = advising.PRACTICE
AT_ONCE, FEW, SOME = 5, 30, 50
"""Steps before which a detector says nothing."""
NO_GRADIENT = 1e-6
NO_NUMBER = re.compile(r"became (nan|-?inf)")
"""How the trainer says why it ended a run."""


@detector(
    VERDICTS,
    meaning="The loss is that of a guess, or of nothing: the loss mask or the targets are wrong.",
    source=PRACTICE,
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
    if facts.n and abs(facts.median / uniform - 1) < 0.07 and abs(facts.drop) < 0.02:
        return Hit(0.4 if is_low else 0.85, evidence)
    came_down = facts.n >= SOME and facts.start > 1.07 * uniform and facts.slope < 0.03
    return Hit(0.7, evidence) if came_down and abs(facts.end / uniform - 1) < 0.1 else None


@detector(
    VERDICTS,
    meaning="The loss has left the numbers, or climbs and stays high.",
    source=NEMO,
    advise=advising.diverged,
    example=lambda: shapes.scaled(shapes.falling(300, pace=4.0), (150, 300, 2.4)),
    least_steps=1,
)
def diverged(facts: Statistics) -> Hit | None:
    if facts.not_finite:
        return Hit(0.99, {"losses_that_are_no_numbers": float(facts.not_finite)})
    if NO_NUMBER.search(facts.curve.failure):
        return Hit(0.97, {"said": facts.curve.failure[:120]})
    if facts.curve.n < FEW:
        return None
    climb = facts.end / facts.lowest if facts.lowest > 0 else 1.0
    evidence = {"end": facts.end, "lowest": facts.lowest, "start": facts.start}
    if facts.drop < -0.15:
        return Hit(_sure(-facts.drop, 0.15, 0.5), evidence)
    if climb > 1.3 + 2 * facts.noise and facts.drop < 0.3 and facts.spikes.number < 4:
        return Hit(_sure(climb, 1.3, 1.8), evidence)
    return None


@detector(
    VERDICTS,
    meaning="No gradient reaches what should train: nothing can be learned.",
    source=PRACTICE,
    advise=advising.dead_adapter,
    example=lambda: shapes.constant(2.1, noise=0.03, grad_norm=[0.0] * 200),
    least_steps=AT_ONCE,
)
def dead_adapter(facts: Statistics) -> Hit | None:
    if facts.gradient is None or facts.gradient >= NO_GRADIENT:
        return None
    return Hit(0.98, {"grad_norm": facts.gradient})


@detector(
    VERDICTS,
    meaning="The loss falls in steps, where an epoch ends: it learns rows by heart.",
    source=PRACTICE,
    advise=advising.epoch_steps,
    example=shapes.stepping,
    least_steps=SOME,
)
def epoch_steps(facts: Statistics) -> Hit | None:
    found = facts.boundaries
    if found.number == 0:
        return None
    seen = found.reach * found.number  # steps on either side
    least = max(0.05, 3.6 * facts.noise / math.sqrt(seen))
    if found.number == 1:
        least = max(0.1, 4 * facts.noise)
    if found.fall <= least or found.fall <= 2 * abs(found.within):
        return None
    evidence = {"fall_at_boundaries": found.fall, "fall_within": found.within}
    return Hit(_sure(found.fall, least, 2 * least), {**evidence, "boundaries": float(found.number)})


@detector(
    VERDICTS,
    meaning="The loss swings or stays above where it could be: the steps are too large.",
    source=NEMO,
    advise=advising.lr_too_high,
    example=shapes.swinging,
    least_steps=SOME,
)
def lr_too_high(facts: Statistics) -> Hit | None:
    likely = beliefs(facts)["lr_too_high"]
    if likely < 0.1:
        return None
    evidence = {
        **{"spikes": float(facts.spikes.number), "memory": facts.memory},
        **{"spread": facts.spread, "gradient_surge": facts.surge},
    }
    return Hit(likely, _with_ratio(facts, evidence))


@detector(
    VERDICTS,
    meaning="It gets better on its own rows and worse on others.",
    source=NEMO,
    advise=advising.overfitting,
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.3), *(1.9, 1.6, 1.5, 1.52, 1.58, 1.66, 1.8)
    ),
    least_steps=FEW,
)
def overfitting(facts: Statistics) -> Hit | None:
    after = facts.evaluations_after_best
    enough = len(after) >= 2 and len(facts.curve.evaluations) >= 4
    least = max(0.04, facts.jitter)
    if not enough or facts.rise <= least or facts.drop <= 0.1 or facts.best_evaluation is None:
        return None
    best_at, lowest = facts.best_evaluation
    evidence = {"lowest_eval_loss": lowest, "at_step": float(best_at), "rise": facts.rise}
    return Hit(_sure(facts.rise, least, least + 0.07), {**evidence, "train_drop": facts.drop})


@detector(
    VERDICTS,
    meaning="Single steps scatter so much that the course is hard to see: few tokens a step.",
    source=NEMO,
    advise=advising.noisy_batch,
    example=lambda: shapes.falling(noise=0.22),
    least_steps=SOME,
)
def noisy_batch(facts: Statistics) -> Hit | None:
    least = _scatter_of_a_batch(facts)
    if facts.noise <= least or facts.memory > 0.4:
        return None
    evidence = {"noise": facts.noise, "memory": facts.memory}
    return Hit(_sure(facts.noise, least, 1.5 * least), evidence)


@detector(
    VERDICTS,
    meaning="Hardly any scatter, and still falling at the end: few, large steps.",
    source=NEMO,
    advise=advising.smooth_slow,
    example=lambda: shapes.falling(pace=1.2, noise=0.002),
    least_steps=SOME,
)
def smooth_slow(facts: Statistics) -> Hit | None:
    is_slow = facts.late > 0.22 or facts.pace < 6
    if facts.noise >= 0.006 or not is_slow or facts.drop < 0.025:
        return None
    evidence = {"noise": facts.noise, "late": facts.late, "pace": facts.pace}
    if (facts.curve.batch_size or 64) < 32 or (facts.curve.ratio or 1) < 0.2:
        return Hit(0.3, evidence)  # then it is not the batch that is slow
    return Hit(max(_sure(6 - facts.pace, 0, 4), 0.6), evidence)


@detector(
    VERDICTS,
    meaning="It hardly learns: the steps are far too small.",
    source=NEMO,
    advise=advising.lr_too_low,
    example=lambda: shapes.falling(start=2.6, floor=2.57, pace=1.0, noise=0.02),
    least_steps=SOME,
)
def lr_too_low(facts: Statistics) -> Hit | None:
    likely = beliefs(facts)["lr_too_low"]
    if likely < 0.1:
        return None
    return Hit(likely, _with_ratio(facts, {"drop": facts.drop, "pace": facts.pace}))


@detector(
    VERDICTS,
    meaning="It was flat after the first steps: little is left to learn from these rows.",
    source=NEMO,
    advise=advising.plateau_early,
    example=lambda: shapes.falling(start=1.5, floor=1.38, pace=60.0),
    least_steps=SOME,
)
def plateau_early(facts: Statistics) -> Hit | None:
    if not 0.005 < facts.drop < 0.13 or facts.early <= 0.7:
        return None
    sure = _sure(facts.early, 0.7, 0.9) * _sure(0.13 - facts.drop, 0.0, 0.05)
    return Hit(max(sure, 0.5), _with_ratio(facts, {"drop": facts.drop, "early": facts.early}))


@detector(
    VERDICTS,
    meaning="A slow, steady fall that has not come to its end: larger steps would get further.",
    source=NEMO,
    advise=advising.lr_slightly_low,
    example=lambda: shapes.falling(pace=1.5),
    least_steps=SOME,
)
def lr_slightly_low(facts: Statistics) -> Hit | None:
    likely = beliefs(facts)["lr_slightly_low"]
    if likely < 0.1:
        return None
    evidence = {"late": facts.late, "pace": facts.pace, "drop": facts.drop}
    return Hit(likely, _with_ratio(facts, evidence))


@detector(
    VERDICTS,
    meaning="A quick fall to a calm level.",
    source=NEMO,
    advise=advising.good,
    example=lambda: shapes.evaluated(shapes.falling(), 1.7, 1.5, 1.45, 1.43),
    least_steps=SOME,
)
def good(facts: Statistics) -> Hit | None:
    evidence = {"drop": facts.drop, "early": facts.early, "noise": facts.noise}
    return Hit(beliefs(facts)["good"], _with_ratio(facts, evidence))


def _scatter_of_a_batch(facts: Statistics) -> float:
    """The noise from which it says that there are few rows in a step."""
    few = (facts.curve.batch_size or 8) <= 4
    if facts.curve.spec.training_method == "dpo":
        return 0.25 if few else 0.35
    # Of a loss that has come to almost nothing, a little scatter is a large share.
    return 0.12 if few else 0.12 + 0.2 * min(max(facts.drop - 0.8, 0.0) / 0.2, 1.0)


def _sure(value: float, least: float, clear: float) -> float:
    """0.5 at the threshold, 0.9 where it is clear, at most 0.97."""
    return min(0.5 + 0.4 * (value - least) / (clear - least), 0.97)


def _with_ratio(facts: Statistics, evidence: dict[str, float]) -> dict[str, float | str]:
    ratio = facts.curve.ratio
    return {**evidence, **({} if ratio is None else {"lr_ratio": ratio})}
