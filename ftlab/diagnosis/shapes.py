"""Made-up curves that prove the detectors: what each of them looks for, and nothing else."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

from ftlab.diagnosis.curve import Curve

VOCABULARY = 32_000


def falling(
    n: int = 400,
    *,
    start: float = 2.6,
    floor: float = 1.4,
    pace: float = 12.0,
    noise: float = 0.03,
    seed: int = 1,
    **known: Any,
) -> Curve:
    """A loss that falls from `start` to `floor`, `pace` times by a factor of e on the way."""
    draw = random.Random(seed)
    losses = [
        (floor + (start - floor) * math.exp(-pace * i / n)) * math.exp(draw.gauss(0, noise))
        for i in range(n)
    ]
    ranks = range(1, n + 1)
    gradients = [0.4 + 0.8 * loss / start for loss in losses]
    facts = {"grad_norm": gradients, "vocab_size": VOCABULARY, **known}
    return Curve([*ranks], losses, **facts)


def evaluated(curve: Curve, *losses: float) -> Curve:
    """With evaluations at even distances, the last at the end."""
    n = curve.n
    return replace(
        curve, eval_loss={round(n * (i + 1) / len(losses)): x for i, x in enumerate(losses)}
    )


def scaled(curve: Curve, *pieces: tuple[int, int, float]) -> Curve:
    """With the losses from one place to another multiplied."""
    losses = [*curve.train_loss]
    for first, end, factor in pieces:
        losses[first:end] = [loss * factor for loss in losses[first:end]]
    return replace(curve, train_loss=losses)


def constant(value: float, n: int = 200, noise: float = 0.0, **known: Any) -> Curve:
    """A loss that stays where it is."""
    return falling(n, start=value, floor=value, noise=noise, **known)


def stepping(n_epochs: int = 4, length: int = 80, fall: float = 0.8) -> Curve:
    """A loss that falls at each epoch's end and is flat between."""
    curve = falling(n_epochs * length, pace=40.0, steps_per_epoch=length)
    pieces = [(k * length, (k + 1) * length, fall**k) for k in range(1, n_epochs)]
    return scaled(curve, *pieces)


def swinging(n: int = 400) -> Curve:
    """A loss with tall spikes that take a few steps to go."""
    pieces = [(first, first + 4, 1.5) for first in range(90, n, 60)]
    return scaled(falling(n, pace=20.0), *pieces)
