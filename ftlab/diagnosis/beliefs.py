"""How likely it is that the learning rate is too low, right or too high.

A curve alone can't tell: a thirtieth of the best rate may still take away a third of the loss. What
is known beforehand, the rate as a multiple of the recommended one and how far a recommendation may
be off, is multiplied by how often each kind of rate looks like this curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftlab.diagnosis.statistics import Statistics

# Ends of the bands in decades from the best rate: its tenth, its half, twice it.
BANDS = {"lr_too_low": -1.0, "lr_slightly_low": -0.3, "good": 0.3, "lr_too_high": math.inf}
BEFORE = {"lr_too_low": 0.17, "lr_slightly_low": 0.18, "good": 0.51, "lr_too_high": 0.14}
"""Without a recommended rate."""
CAUTION = 1.5
"""To call a healthy run slow is worse than to leave a slow one alone."""
PACES = {
    **{"lr_too_low": (-0.2, 0.5), "lr_slightly_low": (0.5, 0.27)},
    **{"good": (1.2, 0.3), "lr_too_high": (1.1, 0.7)},
}
"""Mean and standard deviation of the decimal logarithm of `Statistics.pace`."""
FLAT = {"lr_too_low": 0.3, "lr_slightly_low": 0.05, "good": 0.02, "lr_too_high": 0.04}
ROUGH = {"lr_too_low": 0.01, "lr_slightly_low": 0.02, "good": 0.008, "lr_too_high": 0.42}
SURGING = {"lr_too_low": 0.02, "lr_slightly_low": 0.02, "good": 0.025, "lr_too_high": 0.55}
JUMPING = {"lr_too_low": 0.05, "lr_slightly_low": 0.05, "good": 0.07, "lr_too_high": 0.33}
SMALL = {"lr_too_low": 0.35, "lr_slightly_low": 0.06, "good": 0.12, "lr_too_high": 0.12}
"""How often a rate of each band looks like that."""
FLAT_DROP, CERTAIN, SMALL_DROP = 0.025, 3.0, 0.13
HIDDEN = 0.08
"""A fall as large as a good rate's, which a flat curve must be able to rule out."""
FAR_BELOW = 0.2
"""Times the recommended rate: below it, a flat curve is no surprise."""
MEASURED = 0.1
"""Standard deviation of the best rate that a sweep has found, in decades."""
SURGE, LEAP, JUMP, SCATTER = 2.3, 1.3, 0.06, 0.12


def beliefs(facts: Statistics) -> dict[str, float]:
    """Label of a band → its probability, 0.95 at most; they add up to 1 otherwise."""
    joint = {label: before * _likelihood(label, facts) for label, before in _before(facts).items()}
    joint["lr_too_low"] /= CAUTION
    joint["lr_slightly_low"] /= CAUTION
    whole = sum(joint.values()) or 1.0
    return {label: min(value / whole, 0.95) for label, value in joint.items()}


def _likelihood(label: str, facts: Statistics) -> float:
    """How often a rate of that band makes a curve like this one."""
    found = 1.0
    for shares, holds in _signs(facts):
        found *= shares[label] if holds else 1 - shares[label]
    if is_flat(facts):
        return found * FLAT[label]
    mean, deviation = PACES[label]
    z = (math.log10(facts.pace) - mean) / deviation
    if label == "good" and z > 0:
        z /= 1.5  # how quick a start is says little
    return found * (1 - FLAT[label]) * (math.exp(-z * z / 2) / deviation + 0.01)


def _signs(facts: Statistics) -> Iterator[tuple[dict[str, float], bool]]:
    """What is looked at besides the pace, where it was measured, and whether it shows."""
    yield ROUGH, is_rough(facts)
    yield SMALL, facts.drop < SMALL_DROP
    if facts.curve.grad_norm:
        yield SURGING, is_surging(facts)
    if len(facts.curve.evaluations) >= 4 and facts.noise < SCATTER:
        yield JUMPING, facts.evaluations.jitter > JUMP


def is_flat(facts: Statistics) -> bool:
    """Whether it has not fallen, as far as its scatter lets one see."""
    return facts.drop < FLAT_DROP or facts.certainty < CERTAIN


def missing_to_be_flat(facts: Statistics) -> int:
    """How many more losses it takes to tell a flat curve from a fall that scatter hides; 0 where
    they are enough. Standard errors fall with the root of their number."""
    if facts.start <= 0 or not is_flat(facts) or (facts.curve.ratio or 1) < FAR_BELOW:
        return 0
    error, drop = facts.scatter / facts.start, max(facts.drop, 0.0)
    if drop + 2 * error <= HIDDEN:
        return 0
    enough = max(drop / CERTAIN, (HIDDEN - drop) / 2)
    return max(math.ceil(facts.n * ((error / enough) ** 2 - 1) / 10) * 10, 10)


def is_rough(facts: Statistics) -> bool:
    """Whether it swings as no single step does: spikes that last, or residuals that remember."""
    spikes = facts.spikes
    lasting = spikes.number >= 3 and spikes.mean_length >= 1.8 and facts.noise < 0.12
    swinging = facts.memory > 0.5 and facts.spread > max(0.05, 2 * facts.noise)
    wandering = facts.memory > 0.2 and facts.spread > max(0.08, 1.8 * facts.noise)
    return lasting or swinging or wandering


def is_surging(facts: Statistics) -> bool:
    """Whether the first steps threw it off: the gradient or the loss leaps above its start."""
    is_clear = facts.noise < SCATTER and facts.curve.spec.training_method != "dpo"
    return is_clear and (facts.surge > SURGE or facts.leap > LEAP)


def _before(facts: Statistics) -> dict[str, float]:
    """What is known without the curve; what a sweep has ruled out is none of it."""
    found = dict(_known(facts))
    if facts.measured.is_no_higher_better:
        found |= {"lr_too_low": 0.0, "lr_slightly_low": 0.0}
    if facts.measured.is_no_lower_better:
        found["lr_too_high"] = 0.0
    return found


def _known(facts: Statistics) -> dict[str, float]:
    ratio, deviation = facts.curve.ratio, math.log10(max(facts.curve.recommended_spread, 1.5))
    if (measured := facts.measured.ratio) is not None:
        ratio, deviation = measured, MEASURED
    if ratio is None:
        return BEFORE
    below, found = 0.0, dict[str, float]()
    for label, end in BANDS.items():
        reached = _normal((end - math.log10(ratio)) / deviation)
        found[label], below = reached - below + 1e-4, reached
    return found


def _normal(z: float) -> float:
    """Share of a normal distribution below `z` standard deviations."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))
