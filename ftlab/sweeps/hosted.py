"""`python -m ftlab.sweeps.hosted SWEEP`: a sweep at a service, from its plan to its last event.

Each arm is a run like the others there, with a process and an entry in the ledger of its own; this
one starts them, looks at their evaluations, and ends the jobs of those that fall behind. Holds the
sweep's lock for its whole life. It may be killed at any moment: the jobs go on at the service, and
the next process goes on from what is written down.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from pydantic import SecretStr

from ftlab.asking import Request
from ftlab.endings import note_birth
from ftlab.errors import FtlabError, RunError
from ftlab.events import Decision, Event, Log, Status
from ftlab.processes import HUB_KEY, WANDB_KEY
from ftlab.providers.together.piped import Secrets, begin
from ftlab.run import Run
from ftlab.schedule import evaluation_steps
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.rungs import Standing, decide

LOOK_EVERY = 2.0  # seconds between two looks at the arms
RESTARTS = 3
"""How often the process of an arm is started again where it dies."""

DELETED = (
    "The run of arm {} was deleted; the others go on without it. If its job was not ended before, "
    "it goes on at the service: look at the account's list, and cancel it there."
)


def rest() -> None:
    """Until the next look."""
    time.sleep(LOOK_EVERY)


def main() -> int:
    return begin("ftlab.sweeps.hosted", Sweep, carry_out)


def carry_out(sweep: Sweep, secrets: Secrets) -> int:
    """Start and follow the arms of a sweep whose lock is held; the exit status of the process."""
    note_birth(sweep.lock_file, os.getpid())
    _pass_on(secrets)
    writer = sweep.writer()
    try:
        for event in _Arms(sweep, secrets.key).events():
            writer.append(event)
        return 0
    except FtlabError as exc:
        writer.append(Status(status="paused", detail=str(exc)))
    except Exception as exc:
        text = (
            f"The process that follows the arms failed unexpectedly ({type(exc).__name__}: {exc}). "
            "Jobs that were started go on at the service. The whole trace is in the sweep's "
            "log.txt; resume it."
        )
        writer.append(Status(status="paused", detail=text))
        traceback.print_exc()
    finally:
        writer.close()
    return 1


def _pass_on(secrets: Secrets) -> None:
    """What the arms' processes get through their pipes is looked for in the environment; theirs is
    without it again."""
    given = {WANDB_KEY: secrets.wandb_key, HUB_KEY: secrets.hf_api_token}
    os.environ.update({n: v.get_secret_value() for n, v in given.items() if v is not None})


class _Arms:
    """The arms of a sweep, on their way."""

    def __init__(self, sweep: Sweep, key: SecretStr | None) -> None:
        self._sweep, self._key = sweep, key
        self._restarts: Counter[int] = Counter()
        self._refusals: Counter[int] = Counter()

    def events(self) -> Iterator[Event]:
        """All that happens until every arm has ended."""
        yield Status(status="running", n_steps=self._sweep.plan.n_steps)
        yield from self._started()
        while not all(_outcome(run) for _, run in self._sweep.arms):
            yield from self._decided()
            self._end_some()
            self._see_to()
            rest()
        yield from self._decided()
        yield self._end()

    def _started(self) -> Iterator[Event]:
        """One after the other, so that the data is sent once, and no second job is asked for where
        the first is not to be had."""
        deleted, first = self._sweep.deleted, None
        for number, arm in enumerate(self._sweep.all_arms):
            if self._request:
                return
            if number in deleted:
                yield Log(level="warning", text=DELETED.format(arm.name))
                continue
            run = self._sweep.run_of(number, arm)
            first = run if first is None else first
            if run.history.status is None:
                run.start(self._key)
                yield Log(text=f"Arm {arm.name} is run {run.id}.")
            elif run is first and run.is_left and not run.job_id:
                run.resume(self._key)
            while run.is_alive and not (run.job_id or run.state.ended):
                rest()
            if run is first and run.status in ("failed", "paused") and not run.job_id:
                was = "was not started" if run.status == "failed" else "may not have been started"
                raise FtlabError(
                    f"The first arm {was}: {run.state.detail} No other arm was asked for."
                )

    @property
    def _behind(self) -> set[int]:
        """The arms that it was decided against."""
        return {number for decision in self._sweep.decisions for number in decision.stopped}

    def _live(self) -> dict[int, Run]:
        """The arms that no decision has ended."""
        behind = self._behind
        return {n: run for n, run in self._sweep.runs.items() if n not in behind}

    @property
    def _request(self) -> Request | None:
        """What is asked of the sweep, and so of each arm."""
        request = self._sweep.asked()
        return request if request in ("stop", "cancel") else None

    def _end_some(self) -> None:
        """The arms that shall end are asked to, until they have ended: by what is written down, so
        that none goes on because a process died, or because one could not be asked at once."""
        behind, deaf = self._behind, ""
        for number, run in self._sweep.runs.items():
            wanted = self._request or ("stop" if number in behind else None)
            if wanted is None or _outcome(run) or run.asked() in (wanted, "cancel"):
                continue
            try:
                run.cancel(self._key) if wanted == "cancel" else run.stop(self._key)
            except RunError as exc:  # it may have ended meanwhile
                self._refusals[number] += 1
                if self._refusals[number] > RESTARTS:
                    deaf = f"Run {run.id} could not be asked to {wanted}: {exc}"
        if deaf:
            raise FtlabError(f"{deaf} Its job may go on at the service. Resume the sweep.")

    def _see_to(self) -> None:
        """Arms that nobody follows are followed again."""
        for number, run in self._sweep.runs.items():
            if _outcome(run) or not run.is_left:
                continue
            self._restarts[number] += 1
            if self._restarts[number] > RESTARTS:
                raise FtlabError(
                    f"The process of run {run.id} has died {RESTARTS} times: "
                    f"{run.state.detail} Its job goes on at the service. Resume that run, and "
                    "then the sweep."
                )
            run.resume(self._key)

    def _decided(self) -> Iterator[Decision]:
        """The next rung, once all arms have been measured as often; nothing where that is not yet
        so."""
        plan = self._sweep.plan
        rung = sum(decision.rung >= 0 for decision in self._sweep.decisions)
        if rung >= len(plan.rungs) - 1:
            return
        steps = evaluation_steps(plan.n_steps, plan.job.spec.n_evals or 1)
        n_evals = sum(step <= plan.rungs[rung] for step in steps)
        standings = [_standing(n, run, n_evals) for n, run in self._live().items()]
        known = [standing for standing in standings if standing is not None]
        if len(known) < len(standings) or not known:
            return
        yield decide(plan, self._sweep.all_arms, rung, known)

    def _end(self) -> Status:
        if self._request == "cancel":
            return Status(status="cancelled", detail="cancelled with all its arms")
        if self._request == "stop" and not self._sweep.arms:
            return Status(status="cancelled", detail="stopped before an arm was started")
        if not any(_outcome(run) == "completed" for run in self._live().values()):
            why = "; ".join({run.state.detail for _, run in self._sweep.arms if run.state.detail})
            return Status(status="failed", detail=f"No arm has completed: {why}")
        said = ("stopped" if self._request == "stop" else "", _unfetched(self._sweep))
        return Status(status="completed", detail="; ".join(part for part in said if part))


def _unfetched(sweep: Sweep) -> str:
    """What is to be said of a best arm whose job has ended, and whose result is not here."""
    found = sweep.answer
    state = None if found is None else sweep.runs[found.best].state
    if found is None or state is None or state.status != "paused":
        return ""
    return f"the best arm, {sweep.all_arms[found.best].name}, is paused: {state.detail}"


def _outcome(run: Run) -> str:
    """How the job of an arm has ended, though what it made could not be fetched; empty before."""
    alive, state = run.is_alive, run.state
    return state.status if state.ended else "" if alive else run.hosted.ended


def _standing(number: int, run: Run, n_evals: int) -> Standing | None:
    """Where an arm stands after so many evaluations; None where it is not there yet."""
    outcome = _outcome(run)  # before its losses: whoever has ended by now has told them all
    losses = dict(run.history.series.get("eval_loss", {}))
    first = dict(islice(sorted(losses.items()), n_evals))
    step = max(first, default=0)
    if len(first) == n_evals or outcome == "completed":
        return Standing(number, step, first)
    return Standing(number, step, first, f"{outcome}: {run.state.detail}") if outcome else None


if __name__ == "__main__":
    sys.exit(main())
