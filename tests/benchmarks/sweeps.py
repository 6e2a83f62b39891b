"""Published sweeps of the learning rate, read as curves over the rate.

A group is a model at a rank. Regret of a rate is (loss - lowest loss) / lowest loss in percent.

How the data was treated
- Runs with the same model, rank and rate are averaged; they differ by 0.03 % up to 1e-3.
- Diverged: the source leaves out losses above 2, 72 of 80 of them at 3e-3. One more, 3.4 times the
  lowest loss of its group, would bend the whole curve; losses above 1.5 times the lowest are left
  out. A missing rate is not taken for a diverged one: most of them were just not run.
- Groups need three rates or more; the others say nothing about a valley.
- Coarse grid (a factor of 2.5 to 3.3): loss between tested rates is read off a curve, and the
  lowest point of that curve is the reference, so 3e-4 is not at an advantage for being on the grid.
- Best rate at an edge: kept. The curve is not followed beyond the tested rates for its lowest
  point, so regret is understated there for all choices alike; a table leaves these groups out.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ftlab import rates
from ftlab.models import ModelInfo
from tests.tinker_models import WIDTHS

Array = np.ndarray
DIVERGED = 1.5  # times the lowest loss of the group
RATES = np.geomspace(2e-5, 2e-3, 231)  # where the curves are read, 2 % apart
BILLIONS = {"DeepSeek-V3.1": 671, "Kimi-K2": 1000}  # where the name does not say it


# --- curves ----------------------------------------------------------------------------------


class Curve(NamedTuple):
    """Losses of one model at one rank over the logarithm of the rate."""

    x: Array
    loss: Array


def read(file: Path) -> dict[tuple[str, int], Curve]:
    runs = defaultdict(lambda: defaultdict(list))
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            key = (row["model"], int(row["rank"]))
            runs[key][float(row["lr"])].append(float(row["test_nll"]))
    groups = {}
    for key, by_rate in runs.items():
        means = {rate: sum(losses) / len(losses) for rate, losses in by_rate.items()}
        lowest = min(means.values())
        kept = sorted((rate, loss) for rate, loss in means.items() if loss < DIVERGED * lowest)
        if len(kept) >= 3:
            groups[key] = Curve(np.log([r for r, _ in kept]), np.array([y for _, y in kept]))
    return groups


def parabola(curve: Curve, first: int, at: Array) -> Array:
    """The parabola through three neighbouring points."""
    x, loss = curve.x[first : first + 3], curve.loss[first : first + 3]
    return np.polyval(np.polyfit(x - x[1], loss, 2), at - x[1])


def spline(curve: Curve, at: Array) -> Array:
    """Between two points, the blend of the two parabolas that share them; at the ends, the one."""
    last = len(curve.x) - 3
    place = np.clip(np.searchsorted(curve.x, at) - 1, 0, last + 1)
    share = (at - curve.x[place]) / (curve.x[place + 1] - curve.x[place])
    found = np.array([parabola(curve, first, at) for first in range(last + 1)])
    each = np.arange(len(at))
    left, right = found[np.clip(place - 1, 0, last), each], found[np.clip(place, 0, last), each]
    return left + (right - left) * np.clip(share, 0, 1)


def nearest_three(curve: Curve, at: Array) -> Array:
    """The parabola through the three points that are nearest."""
    return np.array(
        [
            parabola(Curve(curve.x[near], curve.loss[near]), 0, np.array([point]))[0]
            for point in at
            for near in [np.sort(np.argsort(abs(curve.x - point))[:3])]
        ]
    )


def straight(curve: Curve, at: Array) -> Array:
    """Straight lines between the points: the lowest point is then always a tested rate."""
    return np.interp(at, curve.x, curve.loss)


def regrets(curve: Curve, between: Callable[[Curve, Array], Array] = spline) -> Array:
    """Regret in percent at each of RATES."""
    at = np.log(RATES)
    loss = between(curve, at)
    inside = (at >= curve.x[0]) & (at <= curve.x[-1])
    lowest = min(loss[inside].min(), curve.loss.min())
    return np.maximum(loss / lowest - 1, 0) * 100


# --- groups ----------------------------------------------------------------------------------


class Sweeps(NamedTuple):
    """The groups as columns."""

    model: Array
    rank: Array
    width: Array
    billions: Array
    kind: Array
    """How the family's best rate goes with the rank: "steep", "flat" or "between"."""
    maker: Array
    formula: Array
    """Tinker's rate, NaN where the formula is not calibrated."""
    curves: list[Curve]
    regret: Array
    """groups × RATES."""

    def at(self, log_rates: Array, regret: Array | None = None) -> Array:
        """Regret of one rate per group."""
        table = self.regret if regret is None else regret
        step = math.log(RATES[1] / RATES[0])
        place = np.clip((log_rates - math.log(RATES[0])) / step, 0, len(RATES) - 1.001)
        below, each = place.astype(int), np.arange(len(table))
        share = place - below
        return table[each, below] * (1 - share) + table[each, below + 1] * share


def billions(model: str) -> float:
    known = [size for name, size in BILLIONS.items() if name in model]
    return known[0] if known else float(re.findall(r"(\d+(?:\.\d+)?)b", model.lower())[0])


def maker(model: str) -> str:
    """The family that is left out as a whole."""
    owner, _, name = model.partition("/")
    return "Qwen3.5" if re.match(r"Qwen3\.[56]", name) else owner


def load(file: Path) -> Sweeps:
    groups = read(file)
    models = [model for model, _ in groups]
    infos = [ModelInfo(name=model, hidden_size=WIDTHS[model]) for model in models]
    return Sweeps(
        model=np.array(models),
        rank=np.array([rank for _, rank in groups]),
        width=np.array([WIDTHS[model] for model in models]),
        billions=np.array([billions(model) for model in models]),
        kind=np.array([rates.kind_of(info) for info in infos]),
        maker=np.array([maker(model) for model in models]),
        formula=np.array([rates.tinker(info) or np.nan for info in infos]),
        curves=list(groups.values()),
        regret=np.array([regrets(curve) for curve in groups.values()]),
    )
