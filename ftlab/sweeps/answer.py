"""What a sweep says: which arm is best, how sure that is, and what it cost to know."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from ftlab.html import rate as in_words
from ftlab.rates import rounded
from ftlab.sweeps.fit import TOLERANCE, Parabola, Point, interval, parabola
from ftlab.sweeps.noise import Losses, Noise, best_loss
from ftlab.sweeps.plan import Arm, Plan
from ftlab.sweeps.rungs import mean_curves, noise_among, ranked, settings_of

LEAST_SHOWN = 0.05  # %
DEEPEST = 0.1
"""A parabola that is lowest at less than the lowest loss by more than this share is not believed:
one of its rates is so far off that no parabola holds between them."""
SAME_RATE = 0.01  # rates closer than this share are one


class Answer(NamedTuple):
    """What is known until now."""

    best: int
    """The arm with the lowest validation loss; of those within noise the one of the lowest rate. Of
    repeats the best of those whose mean is that."""
    value: float | None
    """The best learning rate: where the parabola is lowest, or that of the arm. None where the arms
    do not differ in it."""
    low: float | None
    """From which rate on the loss may be as low; None where nothing below was tried."""
    high: float | None
    basis: str
    """How the interval was found."""
    regrets: dict[int, float]
    """Arm → its lowest loss over that of the best, in %, at the last step that both reached; of
    repeats that of their mean."""
    regret_of_recommended: float | None
    """None where no arm has the recommended rate beside what the best has."""
    steps: int
    """Optimizer steps of all arms."""
    steps_of_grid: int
    """What all arms that it started with would take to the end."""
    headline: str
    fit: Parabola | None = None
    step: int = 0
    """At which the arms beside the best were compared with it."""

    @property
    def share(self) -> float:
        """Of the steps of a full grid."""
        return self.steps / self.steps_of_grid


def answer(
    plan: Plan,
    arms: Sequence[Arm],
    curves: Mapping[int, Losses],
    steps: Mapping[int, int] | None = None,
    failed: Collection[int] = (),
) -> Answer | None:
    """The answer that the validation losses give; None before the first. `steps` are those that
    each arm, or a range test (-1), has taken; otherwise up to their last evaluation. Arms that have
    `failed` are best only where all have."""
    known = {n: losses for n, losses in curves.items() if best_loss(losses) is not None}
    if not known:
        return None
    settings, means = settings_of(arms, known), mean_curves(arms, known)
    # The first of those that are left.
    first = min(ranked(arms, known), key=lambda n: all(one in failed for one in settings[n]))
    best = min(settings[first], key=lambda n: (n in failed, best_loss(known[n])))
    regrets = {n: _regret(means[of], means[first]) for of, some in settings.items() for n in some}
    recommended = _recommended(plan, arms, best, known)
    around = _around(arms, best, known)
    taken = (
        steps if steps is not None else {n: max(losses, default=0) for n, losses in curves.items()}
    )
    found = Answer(
        best=best,
        value=around.value,
        low=around.low,
        high=around.high,
        basis=around.basis,
        regrets=regrets,
        regret_of_recommended=None if recommended is None else regrets[recommended],
        steps=sum(taken.values()),
        steps_of_grid=len(plan.arms) * plan.n_steps,
        headline="",
        fit=around.fit,
        step=around.step,
    )
    return found._replace(headline=_headline(plan, arms, known, found, recommended))


class _Around(NamedTuple):
    """The best rate and its surroundings."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    basis: str = "the arms do not differ in their learning rate"
    fit: Parabola | None = None
    step: int = 0


def _around(arms: Sequence[Arm], best: int, curves: Mapping[int, Losses]) -> _Around:
    rate, groups = arms[best].rate, _by_rate(arms, best)
    if rate is None:
        return _Around()
    rates = sorted(groups)
    place = rates.index(rate)
    below = rates[place - 1] if place else None
    above = rates[place + 1] if place + 1 < len(rates) else None
    plain = _Around(rate, below, above, "", None, max(curves[best]))
    if below is None or above is None:
        where = "lowest" if below is None else "highest"
        both = below is None and above is None
        why = "no other was tried" if both else f"it is the {where} that was tried"
        return plain._replace(basis=f"the rates beside it; {why}")
    chosen = [[curves[n] for n in groups[r] if n in curves] for r in (below, rate, above)]
    if not all(chosen):
        return plain._replace(basis="the rates beside it; one of them has no loss")
    return _fitted((below, rate, above), chosen, noise_among(arms, curves), plain)


def _fitted(
    rates: Sequence[float], curves: Sequence[Sequence[Losses]], noise: Noise, plain: _Around
) -> _Around:
    """By a parabola through the losses at the last step that all three reached."""
    step = min(max(losses) for of_rate in curves for losses in of_rate)
    found = [
        [b for one in of_rate if (b := best_loss(one, step)) is not None] for of_rate in curves
    ]
    named = f"{in_words(rates[0])}, {in_words(rates[1])} and {in_words(rates[2])} at step {step:,}"
    if not all(found):
        return plain._replace(basis=f"the rates beside it; {named} have no losses to compare")
    points: list[Point] = [(math.log10(r), fmean(y)) for r, y in zip(rates, found, strict=True)]
    fit = parabola(points)
    if fit is None:
        return plain._replace(
            basis=f"the rates beside it; the losses of {named} are no valley", step=step
        )
    if fit.lowest < (1 - DEEPEST) * min(loss for _, loss in points):
        return plain._replace(
            basis=f"the rates beside it; the losses of {named} are too far apart for a parabola",
            step=step,
        )
    noises = [noise.value / math.sqrt(len(of_rate)) for of_rate in found]
    low, high = interval(points, noises)
    basis = (
        f"rates that may be within {TOLERANCE:.1%} of the lowest point of a parabola through "
        f"{named}; noise {noise.value:.2g}: {noise.basis}"
    )
    # The arm itself went further than those beside it: what it reached counts too.
    low, high = min(10**low, rates[1]), max(10**high, rates[1])
    return _Around(fit.rate, low, high, basis, fit, step)


def _by_rate(arms: Sequence[Arm], best: int) -> dict[float, list[int]]:
    """Rate → the arms that differ from the best in the rate and the seed alone."""
    found: dict[float, list[int]] = {}
    for n, arm in enumerate(arms):
        if arm.rate is not None and arm.but_seed == arms[best].but_seed:
            found.setdefault(arm.rate, []).append(n)
    return found


def _regret(losses: Losses, best: Losses) -> float:
    """In %, at the last step that both reached; 0 where it is ahead, within noise or before it
    failed."""
    step = min(max(losses), max(best))
    own, lowest = best_loss(losses, step), best_loss(best, step)
    if own is None or lowest is None:
        own, lowest = best_loss(losses), best_loss(best)
    assert own is not None
    assert lowest is not None
    return 100 * max(own - lowest, 0.0) / abs(lowest) if lowest else 0.0


def _recommended(
    plan: Plan, arms: Sequence[Arm], best: int, curves: Mapping[int, Losses]
) -> int | None:
    """The arm with the recommended rate that is like the best otherwise."""
    if plan.recommended is None:
        return None
    alike = (n for n in curves if arms[n].but_seed == arms[best].but_seed)
    same = [n for n in alike if _is_same(arms[n].rate, plan.recommended)]
    return best if best in same else next(iter(same), None)


def _is_same(rate: float | None, other: float) -> bool:
    return rate is not None and math.isclose(rate, other, rel_tol=SAME_RATE)


# --- in words --------------------------------------------------------------------------------


def _headline(
    plan: Plan,
    arms: Sequence[Arm],
    curves: Mapping[int, Losses],
    found: Answer,
    recommended: int | None,
) -> str:
    step = max(curves[found.best])
    # A service may end a little after its last evaluation.
    between = plan.n_steps / (plan.job.spec.n_evals or 1)
    is_over = step > plan.n_steps - between
    verb = "is best" if is_over else f"leads at step {step:,} of {plan.n_steps:,}"
    n_seeds = next(len(some) for some in settings_of(arms, curves).values() if found.best in some)
    mean = f" by the mean of {n_seeds} seeds" if n_seeds > 1 else ""
    parts = f"{_named(plan, arms[found.best], found)} {verb}{mean}"
    if recommended == found.best:
        parts += "; it is the recommended rate"
    elif recommended is not None and plan.recommended is not None:
        regret, reached = found.regrets[recommended], max(curves[recommended])
        parts += f"; the recommended {in_words(plan.recommended)} {_costs(regret, reached, step)}"
    return f"{parts} · {100 * found.share:.0f} % of a full grid"


def _named(plan: Plan, arm: Arm, found: Answer) -> str:
    name = plan.setting_of(arm)
    if arm.rate is None or found.value is None:
        return name
    if found.low is None and found.high is None:
        return name
    if found.low is None or found.high is None:
        side = "below" if found.low is None else "above"
        return f"{name} (nothing {side} was tried)"
    between = f"{in_words(rounded(found.low))} to {in_words(rounded(found.high))}"
    return f"{name} ({between})"


def _costs(regret: float, reached: int, step: int) -> str:
    if regret < LEAST_SHOWN:
        return "is as good" if reached == step else f"was as good at step {reached:,}"
    if reached < step:
        return f"was {regret:.1f} % behind at step {reached:,}"
    return f"costs {regret:.1f} %"
