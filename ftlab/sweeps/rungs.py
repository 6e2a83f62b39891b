"""Which arms of a sweep go on: successive halving that never forgets the neighbours of the best.

Jamieson and Talwalkar, 1502.07943, with what our own sweeps taught: arms are judged by their
lowest validation loss so far, never by the training loss; neighbours in the learning rate stay
until half of the run is done; a tie goes to the lower rate, because noise is far greater above the
best rate than below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ftlab.events import Decision
from ftlab.rates import rounded
from ftlab.sweeps.noise import Losses, Noise, best_loss, noise_of
from ftlab.sweeps.plan import ETA, RATE, Arm, Bounds, Plan, arm_of, spacing

EXPLODED = 1.5  # times the loss before the first step
DOMINATED = 3  # standard deviations above the best
FEWEST_KEPT = 2


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
    live = {n: s.losses for n, s in found.items() if n not in stopped}
    step, is_last = plan.rungs[rung], rung == len(plan.rungs) - 1
    decision = Decision(rung=rung, step=step, kept=tuple(sorted(live)), stopped=stopped)
    if is_last or not plan.halving or not live:
        return decision
    order = ranked(arms, live)
    may_add = _may_add(plan, arms, rung) and _is_clearly_best(arms, order[0], live)
    if may_add and (new := beyond(plan, arms, order[0], bounds or plan.bounds)):
        return decision.model_copy(update={"added": (new.model_dump(),)})
    kept = _kept(plan, arms, rung, order, live)
    behind = {n: _behind(live[n], live[order[0]], step) for n in live if n not in kept}
    return decision.model_copy(
        update={"kept": tuple(sorted(kept)), "stopped": {**stopped, **behind}}
    )


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
    """Arms by their lowest loss so far, the best first; of those within the noise of the lowest
    that is left, the one with the lowest rate comes first. Those without a loss are last."""
    lowest = {n: math.inf if (b := best_loss(c)) is None else b for n, c in curves.items()}
    noise = noise_among(arms, curves).value
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


def neighbours(arms: Sequence[Arm], of: int, among: Iterable[int]) -> list[int]:
    """Of some arms those that differ from one in the learning rate alone and lie next to it: at
    most one below and one above."""
    own, rate = arms[of], arms[of].rate
    if rate is None:
        return []
    rates = {n: arms[n].rate or 0.0 for n in among if n != of and arms[n].others == own.others}
    below = max((n for n in rates if rates[n] < rate), key=rates.__getitem__, default=None)
    above = min((n for n in rates if rates[n] > rate), key=rates.__getitem__, default=None)
    return [n for n in (below, above) if n is not None]


def beyond(plan: Plan, arms: Sequence[Arm], best: int, bounds: Bounds) -> Arm | None:
    """The arm beyond the edge of the grid where the best stands at one; None where it does not, or
    no learning rate may lie there."""
    rate = arms[best].rate
    rates = sorted(a.rate or 0.0 for a in arms if a.others == arms[best].others)
    if rate is None or len(rates) < 2 or rates[0] < rate < rates[-1]:
        return None
    outwards = rates if rate == rates[-1] else rates[::-1]
    wanted = rounded(rate * spacing(outwards))
    if not bounds.hold(wanted):
        return None
    return arm_of(plan.job, {**{n: arms[best].changes[n] for n in plan.varied}, RATE: wanted})


def _may_add(plan: Plan, arms: Sequence[Arm], rung: int) -> bool:
    """An arm that is added late would cost more than it finds."""
    is_early = rung == 0 or rung < len(plan.rungs) - 2
    return is_early and len(arms) - len(plan.arms) < plan.most_added


def _is_clearly_best(arms: Sequence[Arm], best: int, live: Mapping[int, Losses]) -> bool:
    """Whether those beside the best are worse by more than noise, or have ended: a tie says nothing
    of what lies beyond."""
    own, noise = best_loss(live[best]), noise_among(arms, live).value
    beside = (best_loss(live.get(n, {})) for n in neighbours(arms, best, range(len(arms))))
    return own is not None and all(loss is None or loss > own + noise for loss in beside)


def _kept(
    plan: Plan, arms: Sequence[Arm], rung: int, order: list[int], live: Mapping[int, Losses]
) -> set[int]:
    """A third of them, and with the best those beside it, so that a valley can be seen: one at
    least, and both from the second rung on; at the last rung but one the best alone, unless the
    rows are seen many times."""
    is_late = rung >= len(plan.rungs) - 2
    if is_late and not plan.has_many_epochs:
        return {order[0]}
    beside = sorted(neighbours(arms, order[0], order), key=order.index)
    count = max(FEWEST_KEPT + (rung > 0), 0 if is_late else math.ceil(len(order) / ETA))
    pair = [order[0], *beside[: count - 1]]
    kept = list(dict.fromkeys((*pair, *order)))[:count]
    noise = noise_among(arms, live).value
    return {n for n in kept if n in pair or not _is_dominated(live[n], live[order[0]], noise)}


def _is_dominated(losses: Losses, best: Losses, noise: float) -> bool:
    """Whether an arm is clearly behind at the last step that both were measured at."""
    both = losses.keys() & best.keys() - {0}
    return bool(both) and losses[max(both)] > best[max(both)] + DOMINATED * noise


def _behind(losses: Losses, best: Losses, step: int) -> str:
    own, lowest = best_loss(losses), best_loss(best)
    if own is None or lowest is None:
        return f"no validation loss until step {step:,}"
    return f"behind at step {step:,}: {own:.4g}, and the best has {lowest:.4g}"
