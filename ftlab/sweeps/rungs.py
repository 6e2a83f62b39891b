"""Which arms of a sweep go on: successive halving that never forgets the neighbours of the best.

Jamieson and Talwalkar, 1502.07943, with what our own sweeps taught: arms are judged by their
lowest validation loss so far, never by the training loss; neighbours in the learning rate stay
until half of the run is done; a tie goes to the lower rate, because noise is far greater above the
best rate than below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from ftlab.events import Decision
from ftlab.rates import rounded
from ftlab.sweeps.noise import Losses, Noise, best_loss, noise_of
from ftlab.sweeps.plan import ETA, RATE, Arm, Bounds, Plan, arm_of, spacing

EXPLODED = 1.5  # times the loss before the first step
DOMINATED = 3  # standard deviations above the best


def fewest_kept(plan: Plan, rung: int) -> int:
    """How many settings go on from a rung at least: the best and one beside it from the first, both
    from the later ones. Where rows are seen many times the low rates are late: both from the first.
    """
    return 2 if rung == 0 and not plan.has_many_epochs else 3


class Standing(NamedTuple):
    """Where an arm that went on to a rung stands."""

    arm: int
    step: int
    losses: Losses
    failed: str = ""
    """Why it can't go on."""


def decide(
    plan: Plan,
    arms: Sequence[Arm],
    rung: int,
    standings: Iterable[Standing],
    bounds: Bounds | None = None,
) -> Decision:
    """What becomes of the arms that reached a rung. Where it adds arms nothing is decided yet: they
    run to the rung from the beginning, and then it is decided again, with them.

    `arms` are all of the sweep, those that ended and those that were added too. `bounds` are what
    a range test left of the plan's own.
    """
    found = {standing.arm: standing for standing in standings}
    stopped = {n: why for n, s in found.items() if (why := s.failed or ending(s.losses))}
    step, goes_on = plan.rungs[rung], plan.halving and rung < len(plan.rungs) - 1
    if goes_on:
        stopped |= _with_repeats(arms, stopped, found)
    live = {n: s.losses for n, s in found.items() if n not in stopped}
    decision = Decision(rung=rung, step=step, kept=tuple(sorted(live)), stopped=stopped)
    if not (goes_on and live):
        return decision
    means, order = mean_curves(arms, live), ranked(arms, live)
    best, noise = order[0], noise_of_means(arms, live).value
    may_add = _may_add(plan, arms, rung) and _is_clearly_best(arms, best, means, noise)
    if may_add and (new := beyond(plan, arms, best, bounds or plan.bounds)):
        return decision.model_copy(update={"added": tuple(arm.model_dump() for arm in new)})
    kept = _kept(plan, arms, rung, order, means, noise)
    behind = {
        n: _behind(means[first], means[best], step)
        for first, repeats in settings_of(arms, live).items()
        for n in repeats
        if first not in kept
    }
    return decision.model_copy(
        update={
            "kept": tuple(n for n in sorted(live) if n not in behind),
            "stopped": {**stopped, **behind},
        }
    )


def settings_of(arms: Sequence[Arm], among: Iterable[int]) -> dict[int, list[int]]:
    """The first arm of each setting → all of some arms that have it: repeats, which differ in their
    seed alone. They go on together, or end together."""
    found: dict[Any, list[int]] = {}
    for n in sorted(among):
        found.setdefault((arms[n].rate, arms[n].but_seed), []).append(n)
    return {repeats[0]: repeats for repeats in found.values()}


def mean_curves(arms: Sequence[Arm], curves: Mapping[int, Losses]) -> dict[int, Losses]:
    """The first arm of each setting → the mean of its repeats at each step at which all were
    measured."""
    return {
        first: {
            step: fmean(curves[n][step] for n in repeats)
            for step in curves[first]
            if all(step in curves[n] for n in repeats)
        }
        for first, repeats in settings_of(arms, curves).items()
    }


def ending(losses: Losses) -> str:
    """Why an arm with these validation losses ends at once, whatever the others do; empty where it
    does not."""
    if not losses:
        return ""
    step = max(losses)
    if not math.isfinite(losses[step]):
        return f"the validation loss became {losses[step]} at step {step:,}"
    first = losses.get(0)
    if first is not None and losses[step] > EXPLODED * first:
        return (
            f"the validation loss rose to {losses[step]:.4g} at step {step:,}, more than "
            f"{EXPLODED:g} times the {first:.4g} before training"
        )
    return ""


def ranked(arms: Sequence[Arm], curves: Mapping[int, Losses]) -> list[int]:
    """The first arm of each setting, by the lowest loss so far of the mean of its repeats, the best
    first; of those within the noise of the lowest that is left, the one with the lowest rate comes
    first. Those without a loss are last."""
    means = mean_curves(arms, curves)
    lowest = {n: math.inf if (b := best_loss(c)) is None else b for n, c in means.items()}
    noise = noise_of_means(arms, curves).value
    order: list[int] = []
    while left := lowest.keys() - set(order):
        best = min(lowest[n] for n in left)
        tied = (n for n in left if lowest[n] <= best + noise)
        order.append(min(tied, key=lambda n: (arms[n].rate or 0.0, n)))
    return order


def noise_among(arms: Sequence[Arm], curves: Mapping[int, Losses]) -> Noise:
    """The noise of some arms, by those that differ in their seed alone where there are any."""
    repeats: dict[Any, list[float]] = {}
    for n, losses in curves.items():
        if (lowest := best_loss(losses)) is not None:
            alike = (arms[n].rate, max(losses), arms[n].but_seed)
            repeats.setdefault(alike, []).append(lowest)
    return noise_of([*curves.values()], [*repeats.values()])


def noise_of_means(arms: Sequence[Arm], curves: Mapping[int, Losses]) -> Noise:
    """The noise of the means of repeats."""
    noise, fewest = noise_among(arms, curves), min(map(len, settings_of(arms, curves).values()))
    return noise._replace(value=noise.value / math.sqrt(fewest))


def neighbours(arms: Sequence[Arm], of: int, among: Iterable[int]) -> list[int]:
    """Of some arms, one of each setting, those that differ from one in the learning rate alone and
    lie next to it: at most one below and one above."""
    own, rate = arms[of], arms[of].rate
    if rate is None:
        return []
    alike = (n for n in among if arms[n].but_seed == own.but_seed)
    rates = {n: arms[n].rate or 0.0 for n in alike if arms[n].rate != rate}
    below = max((n for n in rates if rates[n] < rate), key=rates.__getitem__, default=None)
    above = min((n for n in rates if rates[n] > rate), key=rates.__getitem__, default=None)
    return [n for n in (below, above) if n is not None]


def beyond(plan: Plan, arms: Sequence[Arm], best: int, bounds: Bounds) -> list[Arm]:
    """The repeats beyond the edge of the grid where the best stands at one; none where it does not,
    or no learning rate may lie there."""
    rate = arms[best].rate
    rates = sorted({a.rate or 0.0 for a in arms if a.but_seed == arms[best].but_seed})
    if rate is None or len(rates) < 2 or rates[0] < rate < rates[-1]:
        return []
    outwards = rates if rate == rates[-1] else rates[::-1]
    wanted = rounded(rate * spacing(outwards))
    if not bounds.hold(wanted):
        return []
    settings = settings_of(arms, range(len(arms))).values()
    repeats = next(repeats for repeats in settings if best in repeats)
    changes = ({n: arms[one].changes[n] for n in plan.varied} for one in repeats)
    return [arm_of(plan.job, {**values, RATE: wanted}) for values in changes]


def _with_repeats(
    arms: Sequence[Arm], stopped: Mapping[int, str], among: Iterable[int]
) -> dict[int, str]:
    """The repeats of arms that are stopped, and why they are too."""
    return {
        n: f"its repeat {arms[other].name} has ended: {stopped[other]}"
        for repeats in settings_of(arms, among).values()
        for other in [n for n in repeats if n in stopped][:1]
        for n in repeats
        if n not in stopped
    }


def _may_add(plan: Plan, arms: Sequence[Arm], rung: int) -> bool:
    """An arm that is added late would cost more than it finds."""
    is_early = rung == 0 or rung < len(plan.rungs) - 2
    now, at_first = (len(settings_of(arms, range(len(some)))) for some in (arms, plan.arms))
    return is_early and now - at_first < plan.most_added


def _is_clearly_best(
    arms: Sequence[Arm], best: int, means: Mapping[int, Losses], noise: float
) -> bool:
    """Whether those beside the best are worse by more than noise, or have ended: a tie says nothing
    of what lies beyond."""
    own = best_loss(means[best])
    settings = settings_of(arms, range(len(arms))).values()
    ended = (repeats[0] for repeats in settings if means.keys().isdisjoint(repeats))
    beside = (best_loss(means.get(n, {})) for n in neighbours(arms, best, [*means, *ended]))
    return own is not None and all(loss is None or loss > own + noise for loss in beside)


def _kept(
    plan: Plan,
    arms: Sequence[Arm],
    rung: int,
    order: list[int],
    means: Mapping[int, Losses],
    noise: float,
) -> set[int]:
    """A third of the settings, and with the best those beside it, so that a valley can be seen; at
    the last rung but one the best alone, unless the rows are seen many times."""
    is_late = rung >= len(plan.rungs) - 2
    if is_late and not plan.has_many_epochs:
        return {order[0]}
    beside = sorted(neighbours(arms, order[0], order), key=order.index)
    count = max(fewest_kept(plan, rung), 0 if is_late else math.ceil(len(order) / ETA))
    pair = [order[0], *beside[: count - 1]]
    kept = list(dict.fromkeys((*pair, *order)))[:count]
    return {n for n in kept if n in pair or not _is_dominated(means[n], means[order[0]], noise)}


def _is_dominated(losses: Losses, best: Losses, noise: float) -> bool:
    """Whether an arm is clearly behind at the last step that both were measured at."""
    both = losses.keys() & best.keys() - {0}
    return bool(both) and losses[max(both)] > best[max(both)] + DOMINATED * noise


def _behind(losses: Losses, best: Losses, step: int) -> str:
    own, lowest = best_loss(losses), best_loss(best)
    if own is None or lowest is None:
        return f"no validation loss until step {step:,}"
    return f"behind at step {step:,}: {own:.4g}, and the best has {lowest:.4g}"
