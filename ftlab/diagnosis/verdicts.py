"""The detectors of which a run gets one verdict: the first that hits, in this order.

Thresholds of the rules follow from curves made for it; `tests/benchmarks/doctor.py` says how often
they are right on others.
"""

from __future__ import annotations

import math

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis import broken as broken  # its verdicts come first
from ftlab.diagnosis.beliefs import beliefs
from ftlab.diagnosis.registry import VERDICTS, Hit, detector, sure
from ftlab.diagnosis.statistics import Statistics

NEMO = advising.NEMO
PRACTICE = advising.PRACTICE
FEW, SOME = 30, 50
"""Steps before which a detector says nothing."""
KNOWN = 0.25
"""Nats per token."""
BESIDE = 0.49
"""Confidence at most of what is said beside the verdict."""


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
    is_guess = facts.curve.steps_per_epoch is None
    seen = found.reach * found.number  # steps on either side
    least = max(0.05, 3.6 * facts.noise / math.sqrt(seen))
    if found.number == 1:
        least = max(0.12, 6 * facts.noise) if is_guess else max(0.1, 4 * facts.noise)
    if found.fall <= least or found.fall <= (4 if is_guess else 2) * abs(found.within):
        return None
    evidence = {"fall_at_boundaries": found.fall, "fall_within": found.within}
    likely = 0.6 if is_guess else sure(found.fall, least, 2 * least)
    return Hit(likely, {**evidence, "boundaries": float(found.number)})


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
    after = facts.evaluations.after_best
    enough = len(after) >= 2 and len(facts.curve.evaluations) >= 4
    least = max(0.04, facts.evaluations.jitter)
    if (
        not enough
        or facts.evaluations.rise <= least
        or facts.drop <= 0.1
        or facts.evaluations.best is None
    ):
        return None
    best_at, lowest = facts.evaluations.best
    evidence = {
        "lowest_eval_loss": lowest,
        "at_step": float(best_at),
        "rise": facts.evaluations.rise,
    }
    return Hit(
        sure(facts.evaluations.rise, least, least + 0.07), {**evidence, "train_drop": facts.drop}
    )


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
    if knows_already(facts):
        return None
    if facts.noise <= least or facts.memory > 0.4:
        return None
    evidence = {"noise": facts.noise, "memory": facts.memory}
    likely = sure(facts.noise, least, 1.5 * least)
    return Hit(min(likely, BESIDE) if facts.measured.is_best else likely, evidence)


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
    if facts.measured.is_best:
        return None
    evidence = {"noise": facts.noise, "late": facts.late, "pace": facts.pace}
    if (facts.curve.batch_size or 64) < 32 or (facts.curve.ratio or 1) < 0.2:
        return Hit(0.3, evidence)  # then it is not the batch that is slow
    return Hit(max(sure(6 - facts.pace, 0, 4), 0.6), evidence)


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
    if likely < 0.1 or knows_already(facts):
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
    if knows_already(facts):
        return Hit(0.6, _with_ratio(facts, {"start": facts.start, "end": facts.end}))
    if not 0.005 < facts.drop < 0.13 or facts.early <= 0.7 or facts.measured.is_best:
        return None
    likely = sure(facts.early, 0.7, 0.9) * sure(0.13 - facts.drop, 0.0, 0.05)
    return Hit(max(likely, 0.5), _with_ratio(facts, {"drop": facts.drop, "early": facts.early}))


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
    if likely < 0.1 or knows_already(facts):
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
    means = facts.measured.in_words() if facts.measured.is_best else ""
    return Hit(beliefs(facts)["good"], _with_ratio(facts, evidence), means)


def knows_already(facts: Statistics) -> bool:
    """Whether hardly any loss was there to begin with: a model that was tuned on such rows."""
    return facts.start < KNOWN and facts.curve.spec.training_method != "dpo"


def _scatter_of_a_batch(facts: Statistics) -> float:
    """The noise from which it says that there are few rows in a step."""
    few = (facts.curve.batch_size or 8) <= 4 and not facts.curve.spec.packing  # of packs
    if facts.curve.spec.training_method == "dpo":
        return 0.25 if few else 0.35
    # Of a loss that has come to almost nothing, a little scatter is a large share.
    return 0.12 if few else 0.12 + 0.3 * min(max(facts.drop - 0.8, 0.0) / 0.2, 1.0)


def _with_ratio(facts: Statistics, evidence: dict[str, float]) -> dict[str, float | str]:
    ratio = facts.curve.ratio
    return {**evidence, **({} if ratio is None else {"lr_ratio": ratio})}
