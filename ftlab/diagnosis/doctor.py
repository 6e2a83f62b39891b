"""diagnose(): from a curve to what it most likely means."""

from __future__ import annotations

from ftlab.diagnosis import capacity as capacity  # these register their detectors
from ftlab.diagnosis import machine as machine
from ftlab.diagnosis import numbers as numbers
from ftlab.diagnosis import observations as observations
from ftlab.diagnosis import verdicts as verdicts
from ftlab.diagnosis.beliefs import missing_to_be_flat
from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.findings import GOOD, UNDECIDED, Diagnosis, Finding
from ftlab.diagnosis.following import next_experiment
from ftlab.diagnosis.registry import OBSERVATIONS, VERDICTS, Detector
from ftlab.diagnosis.statistics import Statistics

ENOUGH = 0.5
"""Confidence from which the first hit is the verdict."""
WORTH_SAYING, OF_A_GOOD_RUN = 0.25, 0.45
"""Confidence from which another verdict is told of as well."""
LEAST_STEPS = 50
LEAST_SHARE = 0.3
"""Of a run on its way: before it, a slow fall is no slow fall yet."""
AT_ONCE = ("mask_bug", "diverged", "dead_adapter")
"""What needs no course to be seen."""

NO_COURSE = ("diverged", "dead_adapter", "epoch_steps")
RATES = ("lr_too_high", "smooth_slow", "lr_too_low", "plateau_early", "lr_slightly_low")
"""Where one of the former is the verdict, the course says nothing of the rate."""


def diagnose(curve: Curve) -> Diagnosis:
    """What a curve most likely means, what to do, and what else it shows."""
    facts = Statistics(curve)
    seen = found_by(OBSERVATIONS, facts)
    needs = _needs(curve)
    hits = found_by(VERDICTS, facts) if facts.n or curve.n else []
    if needs:
        hits = [hit for hit in hits if hit.label in AT_ONCE]
        if not hits:
            known = next_experiment(UNDECIDED, facts) if facts.measured.best else None
            return Diagnosis(secondary=_ordered(seen), needs=needs, next_experiment=known)
    if not hits:
        return Diagnosis(secondary=_ordered(seen), needs="steps with a training loss")
    first = _verdict(hits)
    if first.label == "lr_too_low" and (needs := _to_be_sure(facts)):
        return Diagnosis(secondary=_ordered(seen), needs=needs)
    least = OF_A_GOOD_RUN if first.label == GOOD else WORTH_SAYING
    others = [hit for hit in hits if hit is not first and hit.confidence >= least]
    left_out = (GOOD, *RATES) if first.label in NO_COURSE else (GOOD,)
    others = [hit for hit in others if hit.label not in left_out]
    following = next_experiment(first.label, facts)
    return Diagnosis(*first, secondary=_ordered([*others, *seen]), next_experiment=following)


def found_by(detectors: list[Detector], facts: Statistics) -> list[Finding]:
    """What these detectors find, in their order."""
    found = (one.finding(facts) for one in detectors)
    return [finding for finding in found if finding is not None]


def _verdict(hits: list[Finding]) -> Finding:
    """The first that is sure enough, or else the likeliest."""
    sure = (hit for hit in hits if hit.confidence >= ENOUGH)
    return next(sure, None) or max(hits, key=lambda hit: hit.confidence)


def _ordered(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda one: -one.confidence))


def _to_be_sure(facts: Statistics) -> str:
    """What is missing to say that a loss does not fall."""
    missing = missing_to_be_flat(facts) * facts.curve.stride
    why = f"a fall of {max(facts.drop, 0):.0%} can't be told from its scatter"
    return f"about {missing:,} more steps, as {why}" if missing else ""


def _needs(curve: Curve) -> str:
    """How much is missing before the course of a run says anything."""
    if curve.failure:
        return ""
    missing = curve.stride * (LEAST_STEPS - curve.n)
    if not curve.is_over:
        done = curve.steps[-1] if curve.steps else 0
        of_the_run = round(LEAST_SHARE * (curve.n_steps or 0)) - done
        missing = max(missing, of_the_run, curve.stride * (2 * curve.warmup - curve.n))
    elif missing > 0 and curve.stride > 1:
        often = max(curve.steps[-1] // LEAST_STEPS, 1)
        return f"{LEAST_STEPS} losses, and has {curve.n}: log one every {often:,} steps or fewer"
    return f"{missing:,} more step{'' if missing == 1 else 's'}" if missing > 0 else ""
