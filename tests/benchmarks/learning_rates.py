"""Which learning rate to recommend, fitted and judged on published sweeps.

    python tests/benchmarks/learning_rates.py SWEEPS.csv

SWEEPS.csv holds the runs of tinker-cookbook's recipes/chat_sl/results/sft_sweep.md, a row each:
model,lr,rank,test_nll,… It is not part of this repository. How it is read, and what is done with
grid edges and diverged runs, stands in sweeps.py; what was tried, in rate_laws.py. Prints the
tables, and fails when the constants of ftlab/rates.py are not those of the fit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ftlab import rates
from tests.benchmarks import rate_laws
from tests.benchmarks.rate_laws import Hypothesis, hypotheses, left_out
from tests.benchmarks.sweeps import RATES, Array, Sweeps, load, nearest_three, regrets, straight

CONSTANTS = (2e-4, 3e-4, 4e-4, 5e-4)
HEADER = f"{'regret in %':41} {'mean':>6} {'median':>7} {'p90':>6} {'worst':>6} {'< 0.5 %':>8}    n"


class Choices(NamedTuple):
    """Log rates per group."""

    formula: Array
    """3e-4 where the formula is silent."""
    constant: Array
    ours: Array
    """The form of the law and its parameters chosen without the group's model."""


def row(name: str, regret: Array) -> str:
    figures = regret.mean(), np.median(regret), np.quantile(regret, 0.9), regret.max()
    mean, median, p90, worst = figures
    share = (regret < 0.5).mean()
    return (
        f"{name:41} {mean:6.3f} {median:7.2f} {p90:6.2f} {worst:6.2f} {share:8.0%} {len(regret):4}"
    )


def main_tables(s: Sweeps, tried: list[Hypothesis], choices: Choices) -> None:
    covered = np.isfinite(s.formula)
    by_rank = next(one for one in tried if one.name == "rank")
    found = {
        "Tinker's formula": choices.formula,
        **{f"{rate:.0e} everywhere": np.full(len(covered), math.log(rate)) for rate in CONSTANTS},
        **{one.name: left_out(one, s.model) for one in tried},
        "rank, slope by family": rate_laws.by_family(s, by_rank),
        "ours: the form chosen too": choices.ours,
    }
    for title, mask in {
        "Groups that the formula covers": covered,
        "All groups": covered | True,
    }.items():
        print(f"\n{title}; what is fitted, is fitted without the group's model\n{HEADER}")
        for name, log_rates in found.items():
            if mask is covered or name != "Tinker's formula":
                print(row(name, s.at(log_rates)[mask]))


def families_table(s: Sweeps, tried: list[Hypothesis]) -> None:
    print(f"\nAs if its family had never been seen (all its models left out)\n{HEADER}")
    for one in tried:
        if one.name in ("a constant", "rank", "rank, width"):
            print(row(one.name, s.at(left_out(one, s.maker))))
    print(row("the slope between, as recommended", s.at(unknown(s))))


def unknown(s: Sweeps) -> Array:
    """What is recommended for a family that nothing is known of."""
    return np.log([rates.law("between", int(rank)) for rank in s.rank])


def sensitivity_table(s: Sweeps, choices: Choices) -> None:
    covered = np.isfinite(s.formula)
    everyone = covered | True
    best = [curve.loss.argmin() for curve in s.curves]
    edge = np.array([b in (0, len(c.x) - 1) for b, c in zip(best, s.curves, strict=True)])
    ends = np.array([(curve.x[0], curve.x[-1]) for curve in s.curves])
    inside = np.all([(x > ends[:, 0] - 1e-9) & (x < ends[:, 1] + 1e-9) for x in choices], axis=0)
    cases = {
        "as above": (s.regret, everyone),
        "the parabola of the nearest three points": (read_by(s, nearest_three), everyone),
        "straight lines between the points": (read_by(s, straight), everyone),
        f"without {edge.sum()} groups best at an edge": (s.regret, ~edge),
        "where all three rates were in range": (s.regret, inside),
    }
    heads = f"{'formula':>8} {'3e-4':>6} {'ours':>6}    n | all: {'3e-4':>6} {'ours':>6}    n"
    print(f"\nMean regret in %, treated otherwise\n{'':41} {heads}")
    for name, (table, mask) in cases.items():
        of = [s.at(x, table) for x in choices]
        both = covered & mask
        left = f"{of[0][both].mean():8.3f} {of[1][both].mean():6.3f} {of[2][both].mean():6.3f}"
        right = f"{of[1][mask].mean():6.3f} {of[2][mask].mean():6.3f}"
        print(f"{name:41} {left} {both.sum():4} |      {right} {mask.sum():4}")


def read_by(s: Sweeps, between: Callable[..., Array]) -> Array:
    return np.array([regrets(curve, between) for curve in s.curves])


def spread_table(s: Sweeps, ours: Array) -> None:
    """Where the best rates lie around the recommended ones, as factors."""
    at = np.log(RATES)
    ends = np.array([(curve.x[0] - 0.03, curve.x[-1] + 0.03) for curve in s.curves])
    tested = (at >= ends[:, :1]) & (at <= ends[:, 1:])
    best = at[np.where(tested, s.regret, np.inf).argmin(1)]
    print("\nBest rate of a group ÷ recommended rate: 10, 50 and 90 % of groups lie below")
    for name, log_rates in {"families of the sweeps": ours, "as if unknown": unknown(s)}.items():
        low, middle, high = np.exp(np.quantile(best - log_rates, [0.1, 0.5, 0.9]))
        within = [np.mean(abs(best - log_rates) <= math.log(factor)) for factor in (1.5, 2, 3)]
        shares = ", ".join(f"{share:.0%}" for share in within)
        print(f"{name:41} {low:.2f} {middle:.2f} {high:.2f}   within a factor 1.5, 2, 3: {shares}")
    n_top = int((best > ends[:, 1] - 0.06).sum())
    print(f"({n_top} groups are best at their highest rate; above it, it may be better still)")


def law_table(s: Sweeps, tried: list[Hypothesis]) -> bool:
    """The fitted constants with their intervals; whether ftlab has the same."""
    chosen = next(one for one in tried if one.name == rate_laws.CHOSEN)
    fitted = chosen.parameters[chosen.best(np.ones(len(s.model)))]
    intervals = np.quantile(rate_laws.resampled(s, chosen), [0.05, 0.95], axis=0).T
    shipped = (rates.RANK_ONE, rates.SLOPES["steep"], rates.SLOPES["flat"])
    print("\nThe law: base × rank^slope (90 % of resamplings of the models)")
    columns = zip(("base", "steep", "flat"), fitted, intervals, shipped, strict=True)
    for name, value, (low, high), there in columns:
        print(f"  {name:6} {value:.3g} ({low:.3g} to {high:.3g}); ftlab/rates.py has {there:.3g}")
    return np.allclose(fitted, shipped)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} SWEEPS.csv")
    s = load(Path(sys.argv[1]))
    tried = hypotheses(s)
    ours, picks = rate_laws.nested(s, tried)
    covered = np.isfinite(s.formula)
    constant = np.full(len(covered), math.log(3e-4))
    choices = Choices(np.log(np.where(covered, s.formula, 3e-4)), constant, ours)
    print(f"{len(s.model)} groups of {len(set(s.model))} models; {covered.sum()} with a formula")
    main_tables(s, tried, choices)
    names = {name: picks.count(name) for name in sorted(set(picks))}
    print(f"\nForms chosen when a model was left out: {names}")
    families_table(s, tried)
    sensitivity_table(s, choices)
    chance = rate_laws.control(s)
    print(
        f"\nAs many models drawn by chance for the second slope, {len(chance)} times: "
        f"mean regret {chance.mean():.3f} %, lowest {chance.min():.3f} %"
    )
    spread_table(s, ours)
    sys.exit(not law_table(s, tried))


if __name__ == "__main__":
    main()
