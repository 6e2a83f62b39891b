"""Forms of a law for the learning rate, fitted by regret and judged on models left out.

Fitting is picking from a coarse grid: few parameters, few values, so that little can be learned by
heart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tests.benchmarks.sweeps import Array, Sweeps

BASES = np.array([1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3.2, 3.6, 4, 4.5, 5]) * 1e-4
SLOPES = np.round(np.arange(0, 0.51, 0.05), 2)
EXPONENTS = np.round(np.arange(-0.6, 0.31, 0.1), 2)
CHOSEN = "rank, slope by kind"


class Hypothesis(NamedTuple):
    """A form of the law: all its parameters on a coarse grid, and what each of them predicts."""

    name: str
    parameters: list[tuple[float, ...]]
    log_rates: Array
    """parameters × groups."""
    regret: Array
    """parameters × groups."""

    def best(self, weights: Array) -> int:
        """The parameters of the lowest mean regret; groups count by weight."""
        return int((self.regret @ weights).argmin())


def hypothesis(
    name: str,
    sweeps: Sweeps,
    grids: Iterable[Iterable[float]],
    law: Callable[..., Array],
) -> Hypothesis:
    parameters = [tuple(map(float, p)) for p in _product(list(map(list, grids)))]
    log_rates = np.array(
        [law(math.log(p[0]), *p[1:]) * np.ones(len(sweeps.rank)) for p in parameters]
    )
    return Hypothesis(name, parameters, log_rates, np.array([sweeps.at(x) for x in log_rates]))


def _product(grids: list[list[float]]) -> Iterator[tuple[float, ...]]:
    return ((x, *rest) for x in grids[0] for rest in _product(grids[1:])) if grids else iter([()])


def two_slopes(name: str, s: Sweeps, flat: Array) -> Hypothesis:
    """One slope over the rank where `flat` is 0, another where it is 1, between them otherwise."""
    rank = np.log(s.rank)
    grids = [BASES, SLOPES, SLOPES]
    return hypothesis(name, s, grids, lambda a, b, c: a + (b + (c - b) * flat) * rank)


def hypotheses(s: Sweeps) -> list[Hypothesis]:
    """All that were tried.

    Which families are "flat" was seen on all groups before; `by_family` needs nothing seen.
    """
    rank, width, size = np.log(s.rank), np.log(s.width / 4096), np.log(s.billions / 30)
    share = np.select([s.kind == "steep", s.kind == "flat"], [0.0, 1.0], 0.5)
    return [
        hypothesis("a constant", s, [BASES], lambda a: a),
        hypothesis("width", s, [BASES, EXPONENTS], lambda a, c: a + c * width),
        hypothesis("size", s, [BASES, EXPONENTS], lambda a, c: a + c * size),
        hypothesis("rank", s, [BASES, SLOPES], lambda a, b: a + b * rank),
        hypothesis(
            "rank, width", s, [BASES, SLOPES, EXPONENTS], lambda a, b, c: a + b * rank + c * width
        ),
        hypothesis(
            "rank, size", s, [BASES, SLOPES, EXPONENTS], lambda a, b, c: a + b * rank + c * size
        ),
        hypothesis(
            "rank, factor by kind",
            s,
            [BASES, SLOPES, np.log([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2])],
            lambda a, b, c: a + b * rank + c * share,
        ),
        two_slopes(CHOSEN, s, share),
        hypothesis(
            "rank, slope by kind, width",
            s,
            [BASES, SLOPES, SLOPES, EXPONENTS[::2]],
            lambda a, b, c, d: a + (b + (c - b) * share) * rank + d * width,
        ),
    ]


# --- left out --------------------------------------------------------------------------------


def left_out(tried: Hypothesis, by: Array, among: Array | None = None) -> Array:
    """Log rates for each group, fitted without the model (or family) that it belongs to."""
    among = np.ones(len(by), bool) if among is None else among
    found = np.full(len(by), np.nan)
    for name in np.unique(by[among]):
        held_out = among & (by == name)
        chosen = tried.best((among & ~held_out).astype(float))
        found[held_out] = tried.log_rates[chosen][held_out]
    return found


def by_family(s: Sweeps, rank_law: Hypothesis) -> Array:
    """A slope for each family, learned from its other models; from all where it has none.

    What "steep" and "flat" stand for was seen on all groups. Here nothing is: only names tell which
    models belong together.
    """
    regret = rank_law.regret.reshape(len(BASES), len(SLOPES), -1)
    log_rates = rank_law.log_rates.reshape(regret.shape)
    found = np.full(len(s.model), np.nan)
    for model in np.unique(s.model):
        held_out = s.model == model
        siblings = {name: ~held_out & (s.maker == name) for name in np.unique(s.maker[~held_out])}
        sums = np.array([regret[:, :, mask].sum(2) for mask in siblings.values()])
        base = int(sums.min(2).sum(0).argmin())
        kin = siblings.get(s.maker[held_out][0], ~held_out)
        slope = int(regret[base][:, kin].sum(1).argmin())
        found[held_out] = log_rates[base, slope][held_out]
    return found


def nested(s: Sweeps, tried: list[Hypothesis]) -> tuple[Array, list[str]]:
    """The form of the law, too, is chosen without the held-out model, by an inner leaving-out."""
    found, picks = np.full(len(s.model), np.nan), []
    for model in np.unique(s.model):
        held_out = s.model == model
        scores = [
            s.at(np.nan_to_num(left_out(h, s.model, ~held_out)))[~held_out].mean() for h in tried
        ]
        pick = tried[int(np.argmin(scores))]
        chosen = pick.best((~held_out).astype(float))
        found[held_out] = pick.log_rates[chosen][held_out]
        picks.append(pick.name)
    return found, picks


def control(s: Sweeps, draws: int = 40) -> Array:
    """Mean regret, model left out, when the models of a slope of their own are drawn by chance."""
    chance = np.random.default_rng(0)
    models = np.unique(s.model)
    n_flat = len(np.unique(s.model[s.kind == "flat"]))
    drawn = [np.isin(s.model, chance.choice(models, n_flat, replace=False)) for _ in range(draws)]
    laws = (two_slopes("by chance", s, flat.astype(float)) for flat in drawn)
    return np.array([s.at(left_out(law, s.model)).mean() for law in laws])


def resampled(s: Sweeps, tried: Hypothesis, draws: int = 400) -> Array:
    """Parameters fitted on models drawn with replacement."""
    chance = np.random.default_rng(0)
    models, place = np.unique(s.model, return_inverse=True)
    drawn = chance.integers(len(models), size=(draws, len(models)))
    counts = [np.bincount(one, minlength=len(models)).astype(float) for one in drawn]
    return np.array([tried.parameters[tried.best(count[place])] for count in counts])
