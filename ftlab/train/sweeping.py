"""The course of a sweep: its arms train from rung to rung, and at each it is decided who goes on.

What was decided is taken from the log as it stands, and each arm goes on from its own newest
checkpoint: a sweep that was killed comes to the same end.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError
from ftlab.events import ENDED, Decision, Event, Log, Status
from ftlab.files import replace_file
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import RATE, Arm
from ftlab.sweeps.rungs import Standing, decide, ending
from ftlab.train.contenders import Contender
from ftlab.train.crew import Away, Crew
from ftlab.train.saving import Pace

if TYPE_CHECKING:
    from ftlab.train.training import Asked
    from ftlab.train.turns import Turns

Entrant = Contender | Away

RANGE_TEST = "range_test.json"
"""The rates and the losses of a range test, in the folder of the sweep."""


class Sweeping:
    """A sweep on its way."""

    def __init__(
        self, sweep: Sweep, asked: Asked, pace: Pace | None, *, apart: bool = False
    ) -> None:
        """Takes the locks of all arms that have not ended, unless they train `apart`, in other
        processes."""
        self.sweep, self.asked, self._pace, self._apart = sweep, asked, pace, apart
        self._logged = deque(sweep.decisions)
        self._bounds = sweep.plan.bounds
        self._failed = dict[int, str]()
        """Arms of which no decision says so yet, and why."""
        self.contenders = list[Entrant]()
        arms = sweep.all_arms
        self._n_arms = len(arms)
        stopped = {number for decision in self._logged for number in decision.stopped}
        gone = sweep.deleted
        for number, arm in enumerate(arms):
            if number in gone:
                continue
            last = sweep.run_of(number, arm).history.status
            can_try_again = last is not None and last.status == "failed" and number not in stopped
            if last is None or last.status not in ENDED or can_try_again:
                self._join(number, arm)

    def _join(self, number: int, arm: Arm) -> None:
        run, n_arms = self.sweep.run_of(number, arm), len(self.sweep.plan.arms)
        self.contenders.append(
            Away(number, run, self.asked)
            if self._apart
            else Contender(number, run, self.asked, n_arms, self._pace)
        )

    def events(self, turns: Turns | Crew) -> Iterator[Event]:
        """All that happens to the sweep as a whole; its arms write their own logs."""
        yield Status(status="running", n_steps=self.sweep.plan.n_steps)
        turns.failed = self._failed
        yield from self._rungs(turns)
        yield self.ended()

    def ended(self) -> Status:
        """How the sweep ends, after all of its arms."""
        request, unfinished = self.asked(), self._live
        for contender in unfinished:
            contender.end(request=request)
        if unfinished and request in ("pause", "cancel"):
            return Status(status="paused" if request == "pause" else "cancelled")
        if self._has_failed:
            states = [run.state for _, run in self.sweep.arms]
            raise FtlabError(f"All {len(states)} arms failed. The first: {states[0].detail}")
        found = self.sweep.answer
        words = ("stopped" if unfinished else "", found.headline if found else "")
        return Status(status="completed", detail="; ".join(word for word in words if word))

    def close(self) -> None:
        """Let go of the arms that have not ended."""
        for contender in self._live:
            contender.put_off()

    @property
    def _live(self) -> list[Any]:
        return [contender for contender in self.contenders if not contender.has_ended]

    @property
    def _has_failed(self) -> bool:
        """Whether all arms have."""
        return all(run.status == "failed" for _, run in self.sweep.arms)

    def _rungs(self, turns: Turns | Crew) -> Iterator[Event]:
        """All arms to each rung, and what becomes of them there."""
        yield from self._range_tested(turns)
        yield from self._counted(turns)
        rung = 0
        while rung < len(rungs := self.sweep.plan.rungs) and self._live:
            step = None if rung == len(rungs) - 1 else rungs[rung]
            turns.all_to(self._live, step)
            if not all(contender.has_reached(step) for contender in self._live):
                return  # something was asked
            if self._has_failed:  # nothing is decided: it can be tried again
                return
            decision = yield from self._decided(rung)
            self._follow(decision)
            rung += not decision.added
        for contender in self._live:
            contender.end()

    def _range_tested(self, turns: Turns | Crew) -> Iterator[Event]:
        """The arms whose rates are too high end before they begin."""
        plan, file = self.sweep.plan, self.sweep.path / RANGE_TEST
        if not (plan.range_test and RATE in plan.varied and self._live):
            return
        if not file.is_file():
            from ftlab.train.ramp import ramp

            rates, middle = ramp(plan), self._live[len(self._live) // 2]
            losses = turns.losses_along(middle, rates)
            if self.asked() is not None:
                return
            replace_file(file, json.dumps({"rates": rates, "losses": losses}).encode())
        yield from self._bounded(**json.loads(file.read_bytes()))

    def _bounded(self, rates: list[float], losses: list[float]) -> Iterator[Event]:
        """What follows from the losses along rising rates."""
        from ftlab.train.ramp import beyond, highest_rate, in_words

        plan = self.sweep.plan
        highest = highest_rate(rates, losses, plan.recommended or 0.0)
        self._bounds = plan.bounds._replace(highest=min(highest, plan.bounds.highest))
        if self._logged and self._logged[0].rung < 0:
            self._follow(self._logged.popleft())
            return
        yield Log(text=in_words(rates, losses, highest))
        stopped = beyond(plan.arms, highest)
        kept = tuple(c.number for c in self._live if c.number not in stopped)
        decision = Decision(rung=-1, step=len(losses), kept=kept, stopped=stopped)
        yield decision
        self._follow(decision)

    def _counted(self, turns: Turns | Crew) -> Iterator[Event]:
        """How many steps the arms have is sure once the rows are read."""
        planned = self.sweep.plan.n_steps
        if any(run.history.n_steps for _, run in self.sweep.arms):
            return
        for contender in self._live:
            turns.all_to([contender], 0)
            if not contender.has_ended:
                break
        if self.sweep.plan.n_steps != planned:
            yield Status(status="running", n_steps=self.sweep.plan.n_steps)

    # --- decisions -------------------------------------------------------------------------------

    def _decided(self, rung: int) -> Generator[Event, None, Decision]:
        """What was decided at a rung, or what is decided now."""
        if self._logged and self._logged[0].rung == rung:
            return self._logged.popleft()
        standings = [Standing(c.number, c.place.step, _losses(c.run)) for c in self._live]
        standings += [Standing(number, 0, {}, why) for number, why in self._failed.items()]
        standings += self._ended_between()
        decision = decide(self.sweep.plan, self.sweep.all_arms, rung, standings, self._bounds)
        yield decision
        return decision

    def _ended_between(self) -> Iterator[Standing]:
        """Arms that ended at once because of their losses, of which no decision says so yet."""
        over = {c.number for c in self._live} | {*self._failed}
        over |= {number for decision in self.sweep.decisions for number in decision.stopped}
        for number, (_, run) in enumerate(self.sweep.arms):
            losses = _losses(run)
            if number not in over and ending(losses):
                yield Standing(number, max(losses), losses)

    def _follow(self, decision: Decision) -> None:
        """End the arms that were stopped, and begin those that were added."""
        for number in decision.stopped:
            self._failed.pop(number, None)
        for contender in self._live:
            if why := decision.stopped.get(contender.number):
                contender.end(why)
        arms = self.sweep.all_arms
        for number in range(self._n_arms, len(arms)):
            self._join(number, arms[number])
        self._n_arms = len(arms)


def _losses(run: Run) -> dict[int, float]:
    return dict(run.history.series.get("eval_loss", {}))
