"""Curves that are made up by what is wrong with them, in wide variety; the label is the cause.

A loss falls along the sum of the learning rates so far, at a pace that goes with the rate as a
multiple of the best one. What a detector looks at is not put in by hand, but follows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ftlab.diagnosis import Curve
from tests.diagnosis.truth import BETWEEN_LOW, LABELS, SLIGHTLY_LOW, TOO_LOW


class Labelled(NamedTuple):
    label: str
    curve: Curve


def generated(seed: int, per_label: int) -> Iterator[Labelled]:
    """So many curves of each label."""
    for label in LABELS:
        draw = random.Random(f"{seed}:{label}")
        for _ in range(per_label):
            yield Labelled(label, MAKERS[label](draw))


def healthy(seed: int, number: int) -> Iterator[Labelled]:
    """So many curves on which nothing is wrong."""
    draw = random.Random(f"{seed}:healthy")
    return (Labelled("good", good(draw)) for _ in range(number))


class World:
    """A job that is all right, unless it is changed before its curve is taken."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.n = round(_log_uniform(draw, 110, 1500))
        self.start = draw.uniform(0.7, 4.5)
        self.fall = draw.uniform(0.2, 0.85)
        self.ratio = _log_uniform(draw, 0.6, 1.6)
        self.best_lr = _log_uniform(draw, 1e-5, 3e-3)
        self.time = draw.uniform(0.02, 0.09)
        """Share of the run in which it falls by a factor of e at the best rate."""
        self.tail = draw.uniform(0.0, 0.35)
        """Share of the fall that goes with a power of time instead."""
        self.noise = _log_uniform(draw, 0.009, 0.07)
        self.memory = draw.uniform(-0.1, 0.25)
        self.schedule = draw.choice(("cosine", "cosine", "linear", "constant"))
        self.warmup = draw.choice((0.0, 0.03, 0.05, 0.1))
        self.n_epochs = draw.choice((0.4, 0.9, 1.0, 2.0, 3.0))
        self.n_evals = draw.choice((0, 0, 4, 5, 8, 12))
        self.vocab_size = draw.choice((32_000, 50_257, 128_256, 151_936))
        self.known_rate = draw.random() < 0.6
        self.lone_spikes = draw.choice((0, 0, 0, 1, 2))

    def rates(self) -> list[float]:
        return [self.best_lr * self.ratio * self._share(i / self.n) for i in range(self.n)]

    def _share(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        after = (progress - self.warmup) / (1 - self.warmup)
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * after))
        return 1 - after if self.schedule == "linear" else 1.0

    def trend(self) -> list[float]:
        """The loss without its scatter."""
        mean = sum(self._share(i / self.n) for i in range(self.n)) / self.n
        done, losses = 0.0, []
        for i in range(self.n):
            losses.append(self.start * (1 - self.fall * (1 - self._left(done))))
            done += self.ratio * self._share(i / self.n) / (mean * self.n * self.time)
        return losses

    def _left(self, done: float) -> float:
        return (1 - self.tail) * math.exp(-done) + self.tail * (1 + done) ** -0.7

    def scatter(self) -> list[float]:
        x, found = 0.0, []
        for _ in range(self.n):
            x = self.memory * x + math.sqrt(1 - self.memory**2) * self.draw.gauss(0, 1)
            found.append(math.exp(self.noise * x - self.noise**2 / 2))
        for _ in range(self.lone_spikes):
            place = self.draw.randrange(self.n)
            found[place] *= 1 + self.draw.uniform(3, 8) * self.noise
        return found

    def curve(
        self,
        trend: list[float] | None = None,
        losses: list[float] | None = None,
        evaluations: dict[int, float] | None = None,
        **changes: Any,
    ) -> Curve:
        trend = trend or self.trend()
        if losses is None:
            losses = [a * b for a, b in zip(trend, self.scatter(), strict=True)]
        if evaluations is None:
            evaluations = self.evaluations(trend)
        gradient = _log_uniform(self.draw, 0.2, 20)
        off = 10 ** self.draw.gauss(0, 0.25)
        known = {
            "grad_norm": [
                gradient * (0.3 + x / self.start) * math.exp(self.draw.gauss(0, 0.15))
                for x in trend
            ],
            "learning_rate": self.rates() if self.draw.random() < 0.85 else (),
            "loss_tokens": [float(self.draw.randrange(3000, 5000)) for _ in trend],
            "vocab_size": self.vocab_size if self.draw.random() < 0.8 else None,
            "steps_per_epoch": max(self.n / self.n_epochs, 1.0),
            "batch_size": self.draw.choice((8, 16, 32, 64)),
            "recommended_lr": self.best_lr * off if self.known_rate else None,
        }
        return Curve([*range(1, self.n + 1)], losses, evaluations, **{**known, **changes})

    def evaluations(self, trend: list[float]) -> dict[int, float]:
        gap = self.draw.uniform(1.0, 1.12)
        steps = [round(self.n * (i + 1) / self.n_evals) for i in range(self.n_evals)]
        return {s: trend[s - 1] * gap * (1 + self.draw.gauss(0, 0.003)) for s in steps}


def mask_bug(draw: random.Random) -> Curve:
    world = World(draw)
    kind = draw.choice(("no tokens", "nothing", "guess", "guess"))
    if kind == "guess":
        level = math.log(world.vocab_size) * draw.uniform(0.96, 1.04)
        world.noise = _log_uniform(draw, 0.001, 0.02)
        return world.curve([level] * world.n, vocab_size=world.vocab_size)
    nothing = {"evaluations": {}, "losses": [0.0] * world.n}
    if kind == "no tokens":
        return world.curve(loss_tokens=[0.0] * world.n, **nothing)
    return world.curve(**nothing)


def diverged(draw: random.Random) -> Curve:
    world = World(draw)
    world.ratio = _log_uniform(draw, 10, 100)
    trend = world.trend()
    place = draw.randrange(world.n // 20, round(0.8 * world.n))
    if draw.random() < 0.4:
        bad = draw.choice((math.nan, math.inf))
        losses = [a * b for a, b in zip(trend, world.scatter(), strict=True)]
        return world.curve(trend, [*losses[:place], *[bad] * (world.n - place)])
    top, climb = world.start * draw.uniform(1.0, 3.0), draw.randrange(1, 1 + world.n // 10)
    for i in range(place, world.n):
        share = min((i - place + 1) / climb, 1.0)
        trend[i] = trend[i] ** (1 - share) * top**share
    return world.curve(trend)


def dead_adapter(draw: random.Random) -> Curve:
    world = World(draw)
    trend = [world.start] * world.n
    return world.curve(trend, grad_norm=[draw.random() * 1e-8 for _ in trend])


def epoch_steps(draw: random.Random) -> Curve:
    world = World(draw)
    n_epochs = draw.randrange(3, 7)
    world.n = max(world.n, 25 * n_epochs)
    world.n_epochs, world.n_evals = n_epochs, 0
    world.noise = _log_uniform(draw, 0.009, 0.04)
    world.time, fall = draw.uniform(0.01, 0.04), draw.uniform(0.1, 0.4)
    length = world.n / n_epochs
    drift = draw.uniform(0.0, 0.03)
    trend = [
        x * (1 - fall) ** int(i / length) * (1 - drift * (i % length) / length)
        for i, x in enumerate(world.trend())
    ]
    return world.curve(trend)


def lr_too_high(draw: random.Random) -> Curve:
    world = World(draw)
    world.ratio = _log_uniform(draw, 3, 20)
    world.fall *= draw.uniform(0.4, 0.9)
    trend = world.trend()
    kind = draw.choice(("spikes", "swings", "stays high"))
    if kind == "spikes":
        world.noise = min(world.noise, 0.05)
        for _ in range(draw.randrange(4, 12)):
            height, first = draw.uniform(0.15, 0.8), draw.randrange(world.n // 10, world.n)
            length = draw.randrange(2, 9)
            for i in range(first, min(first + length, world.n)):
                trend[i] *= 1 + height * (1 - (i - first) / (length + 2))
        return world.curve(trend, evaluations={})
    if kind == "swings":
        world.memory, world.noise = draw.uniform(0.75, 0.95), _log_uniform(draw, 0.07, 0.2)
    world.known_rate = True
    return world.curve(trend)


def overfitting(draw: random.Random) -> Curve:
    world = World(draw)
    world.n_evals, world.n_epochs = draw.randrange(6, 20), draw.choice((3, 5, 8, 12))
    world.time, world.fall = draw.uniform(0.05, 0.25), draw.uniform(0.5, 0.95)
    trend = world.trend()
    turn, rise = draw.uniform(0.2, 0.6), draw.uniform(0.06, 0.6)
    lowest = trend[round(turn * world.n)] * draw.uniform(1.0, 1.1)
    found = {}
    for i in range(world.n_evals):
        share = (i + 1) / world.n_evals
        step = round(share * world.n)
        falling = max(trend[step - 1], lowest) if share < turn else lowest
        later = max(share - turn, 0) / (1 - turn)
        found[step] = falling * (1 + rise * later) * (1 + draw.gauss(0, 0.004))
    return world.curve(trend, evaluations=found)


def noisy_batch(draw: random.Random) -> Curve:
    world = World(draw)
    world.noise, world.memory = _log_uniform(draw, 0.16, 0.5), draw.uniform(-0.1, 0.1)
    world.lone_spikes = 0
    return world.curve(batch_size=draw.choice((1, 2, 4)))


def smooth_slow(draw: random.Random) -> Curve:
    world = World(draw)
    world.n = round(_log_uniform(draw, 80, 400))
    world.noise, world.lone_spikes = _log_uniform(draw, 0.0008, 0.0045), 0
    world.time = draw.uniform(0.3, 0.8)
    return world.curve(batch_size=draw.choice((256, 512)), evaluations={})


def lr_too_low(draw: random.Random) -> Curve:
    world = World(draw)
    world.ratio = _log_uniform(draw, TOO_LOW / 15, TOO_LOW)
    return world.curve()


def plateau_early(draw: random.Random) -> Curve:
    world = World(draw)
    world.fall, world.time = draw.uniform(0.035, 0.11), draw.uniform(0.008, 0.03)
    world.tail, world.noise = draw.uniform(0, 0.15), _log_uniform(draw, 0.007, 0.03)
    return world.curve()


def lr_slightly_low(draw: random.Random) -> Curve:
    world = World(draw)
    world.ratio = _log_uniform(draw, BETWEEN_LOW, SLIGHTLY_LOW)
    world.time = draw.uniform(0.07, 0.14)
    return world.curve()


def good(draw: random.Random) -> Curve:
    return World(draw).curve()


MAKERS: dict[str, Callable[[random.Random], Curve]] = {
    maker.__name__: maker
    for maker in (
        *(mask_bug, diverged, dead_adapter, epoch_steps, lr_too_high, overfitting),
        *(noisy_batch, smooth_slow, lr_too_low, plateau_early, lr_slightly_low, good),
    )
}


def _log_uniform(draw: random.Random, low: float, high: float) -> float:
    return math.exp(draw.uniform(math.log(low), math.log(high)))
