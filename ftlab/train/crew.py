"""Arms that train side by side, each as a task of another process, here or in a cluster.

It does not matter which process has an arm: it begins from the arm's newest checkpoint, and leaves
one where its turn ends.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

from ftlab.asking import ask
from ftlab.errors import FtlabError, RunError
from ftlab.eventlog import EventWriter
from ftlab.events import FINAL, Event, Log, Status
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.train.contenders import WAITS, Contender, Place

LOOK_EVERY = 0.2  # seconds between two looks at what is asked
DEATHS = 3
"""So often a worker may die with an arm that gets no further."""

Task = dict[str, Any]
"""Plain data: the folder of a sweep, the number of an arm, and the step to train to; or the rates
of a range test."""
Reply = dict[str, Any]
"""Plain data: what the task has found, or its problem."""


class WorkerDied(Exception):
    """A worker ended in the middle of a task."""


class Workers(Protocol):
    """Processes that carry out tasks, each one at a time."""

    def submit(self, task: Task) -> Future[Any]:
        """Have it carried out as soon as a worker is free."""
        ...

    def reply(self, future: Future[Any]) -> Reply:
        """What a task that is done has come to. Raises WorkerDied."""
        ...

    def close(self) -> None:
        """End them, whatever they do."""
        ...


class Away:
    """An arm that trains in other processes. Nobody has its lock between its turns."""

    def __init__(self, number: int, run: Run, asked: Callable[[], str | None]) -> None:
        self.number, self.run, self._asked = number, run, asked
        self.place, self.has_ended = Place(), False
        if not run.is_alive:  # otherwise the worker of a process that was killed lets go of it soon
            _say_waits(run)

    def has_reached(self, step: int | None) -> bool:
        """Whether it is done with a step, or with its last one."""
        return self.place.has_reached(step)

    def end(self, why: str = "", request: str | None = None) -> None:
        """End it where it rests, as is asked of it, or because of `why`."""
        if not self.is_over:
            Contender(self.number, self.run, self._asked, 1).end(why, request)
        self.has_ended = True

    def put_off(self) -> None:
        """Let it go for now; one whose worker was killed says so."""
        with contextlib.suppress(OSError, RunError):
            if not (self.is_over or self.run.is_paused):
                Contender(self.number, self.run, self._asked, 1).put_off()
        self.has_ended = True

    @property
    def is_over(self) -> bool:
        """Whether somebody has ended it for good."""
        last = self.run.history.status
        return last is not None and last.status in FINAL


class Crew:
    """Who trains which arm."""

    def __init__(
        self,
        sweep: Sweep,
        workers: Workers,
        asked: Callable[[], str | None],
        tell: Callable[[Event], None],
    ) -> None:
        """`tell` writes into the log of the sweep."""
        self._sweep, self._workers, self._asked, self._tell = sweep, workers, asked, tell
        self._deaths = Counter[tuple[int, int]]()
        self.failed = dict[int, str]()
        """Arms that failed, and why."""

    def all_to(self, contenders: Sequence[Away], step: int | None) -> None:
        """Train them until each is done with a step, or with its last one; what is asked of one of
        them ends it."""
        tasks = dict[Future[Any], Away]()
        for arm in contenders:
            self._begin(arm, step, tasks)
        while tasks:
            for future in self._done(tasks):
                arm = tasks.pop(future)
                if reply := self._reply(arm, future):
                    arm.place, arm.has_ended = Place(*reply["place"]), reply["has_ended"]
                    self.failed |= {arm.number: reply["failed"]} if reply["failed"] else {}
                self._begin(arm, step, tasks)

    def losses_along(self, arm: Away, rates: Sequence[float]) -> list[float]:
        """Of a training like that of an arm, whose rate rises at every step; what there is of them
        where something is asked."""
        while self._asked() is None:
            future = self._workers.submit(self._task(arm, rates=list(rates)))
            while not self._done([future]):
                pass
            if reply := self._reply(arm, future):
                return reply["losses"]
        return []

    def _begin(self, arm: Away, step: int | None, tasks: dict[Future[Any], Away]) -> None:
        """Another turn, where it takes one."""
        arm.has_ended = arm.has_ended or arm.is_over
        if not (arm.has_ended or arm.has_reached(step) or self._asked()):
            tasks[self._workers.submit(self._task(arm, step=step))] = arm

    def _task(self, arm: Away, **more: Any) -> Task:
        return {"sweep": str(self._sweep.path.absolute()), "arm": arm.number, **more}

    def _done(self, futures: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, after a moment. A signal asks this process alone to pause; the
        workers read that in the folder."""
        done, _ = wait(futures, LOOK_EVERY, FIRST_COMPLETED)
        if self._asked() and self._sweep.asked() is None:
            ask(self._sweep.request_file, "pause")
        return done

    def _reply(self, arm: Away, future: Future[Any]) -> Reply | None:
        """None where its worker died; the arm goes on from its newest checkpoint."""
        try:
            reply = self._workers.reply(future)
        except WorkerDied as exc:
            self._lost(arm, exc)
            return None
        if problem := reply.get("problem"):
            print(reply["trace"], flush=True)
            raise FtlabError(problem)
        return reply

    def _lost(self, arm: Away, exc: WorkerDied) -> None:
        name, step = self._sweep.all_arms[arm.number].name, max(arm.run.steps_on_disk, default=0)
        self._deaths[arm.number, step] += 1
        if self._deaths[arm.number, step] >= DEATHS:
            raise FtlabError(
                f"The worker of arm {name} has died {DEATHS} times after step {step:,} ({exc}); "
                "one has to live until the arm's next checkpoint. Look whether the memory "
                "suffices, and resume the sweep."
            )
        text = f"The worker of arm {name} died ({exc}). The arm goes on {arm.run.resumes_from}."
        self._tell(Log(level="warning", text=text))


def _say_waits(run: Run) -> None:
    """Nobody trains it, and it has not failed."""
    writer = EventWriter(run.event_file, run.history.attempt)
    writer.append(Status(status="paused", detail=WAITS))
    writer.close()
