"""How likely it is that the learning rate is too low, right or too high.

A curve alone can't tell: a thirtieth of the best rate may still take away a third of the loss. What
is known beforehand, the rate as a multiple of the recommended one and how far a recommendation may
be off, is multiplied by how often each kind of rate looks like this curve.
"""

from __future__ import annotations

import math

from ftlab.diagnosis.statistics import Statistics

# Ends of the bands in decades from the best rate: its tenth, its half, twice it.
BANDS = {"lr_too_low": -1.0, "lr_slightly_low": -0.3, "good": 0.3, "lr_too_high": math.inf}
BEFORE = {"lr_too_low": 0.12, "lr_slightly_low": 0.2, "good": 0.58, "lr_too_high": 0.1}
"""Without a recommended rate."""
LOOKS = {
    "flat": {"lr_too_low": 0.6, "lr_slightly_low": 0.05, "good": 0.01, "lr_too_high": 0.02},
    "slow": {"lr_too_low": 0.35, "lr_slightly_low": 0.7, "good": 0.1, "lr_too_high": 0.05},
    "done": {"lr_too_low": 0.04, "lr_slightly_low": 0.23, "good": 0.87, "lr_too_high": 0.33},
    "rough": {"lr_too_low": 0.01, "lr_slightly_low": 0.02, "good": 0.02, "lr_too_high": 0.6},
}
"""How often a rate of each band looks like that."""
FLAT_DROP = 0.025
SLOW_LATE, SLOW_EARLY = 0.28, 0.40


def beliefs(facts: Statistics) -> dict[str, float]:
    """Label of a band → its probability; they add up to 1."""
    before, look = _before(facts), LOOKS[looks(facts)]
    joint = {label: before[label] * look[label] for label in before}
    whole = sum(joint.values())
    return {label: value / whole for label, value in joint.items()}


def looks(facts: Statistics) -> str:
    """What the curve looks like, whatever its rate was."""
    if is_rough(facts):
        return "rough"
    if facts.drop < FLAT_DROP:
        return "flat"
    return "slow" if facts.late > SLOW_LATE or facts.early < SLOW_EARLY else "done"


def is_rough(facts: Statistics) -> bool:
    """Whether it swings as no single step does: spikes that last, or residuals that remember."""
    spikes = facts.spikes
    lasting = spikes.number >= 3 and spikes.mean_length >= 1.8 and facts.noise < 0.12
    return lasting or (facts.memory > 0.5 and facts.spread > max(0.05, 2 * facts.noise))


def _before(facts: Statistics) -> dict[str, float]:
    ratio, deviation = facts.curve.ratio, math.log10(max(facts.curve.recommended_spread, 1.5))
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
