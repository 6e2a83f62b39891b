"""An arm of a sweep as it trains: an ordinary run, whenever it is its turn."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.endings import note_birth
from ftlab.eventlog import SYNC_SECONDS, EventWriter
from ftlab.events import Event, Log, RowLosses, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.sweeps.rungs import ending
from ftlab.train.device import random_state, set_random_state
from ftlab.train.resting import ended_resting
from ftlab.train.saving import Pace, Saving

if TYPE_CHECKING:
    from ftlab.train.loop import Prepared
    from ftlab.train.training import Training

STEPS_OF_TURN = 4
WAITS = "waits for its turn"
PER_PARAMETER = 12
"""Bytes that an arm keeps between its turns for each parameter that trains: its value, and what
AdamW knows of it, in float32."""


class Place(NamedTuple):
    """Where an arm stands, also while it is out of memory."""

    step: int = 0
    last: int = 0
    """The step that it ends with; 0 before that is known."""
    is_settled: bool = False
    """Whether nothing of its step is left to do."""

    def has_reached(self, step: int | None) -> bool:
        """Whether it is done with a step, or with its last one."""
        wanted = self.last if step is None else min(step, self.last)
        return self.is_settled and self.step >= wanted


class Contender:
    """An arm that has not ended. It has its run's lock and writes its log, as a process of its own
    would; torch's random numbers are its own while it is its turn."""

    def __init__(
        self,
        number: int,
        run: Run,
        asked: Callable[[], str | None],
        n_arms: int,
        pace: Pace | None = None,
    ) -> None:
        """`asked` is what is asked of all arms; together they write to the disk as one would."""
        self.number, self.run = number, run
        self._lock = run.begin()
        note_birth(run.lock_file, os.getpid())
        self._of_all, self._attempt = asked, run.history.attempt
        self._writer = EventWriter(run.event_file, self._attempt, SYNC_SECONDS * n_arms)
        self._rows = run.row_writer()
        told = {saved.ref for saved in run.history.checkpoints}
        self._saving = Saving(run.checkpoints, pace or Pace(n_arms), told)
        self._training: Training | None = None
        self._random = list[Any]()
        self._request: str | None = None
        self.place = Place()
        self._has_come = self._ends = self.has_ended = False

    def asked(self) -> str | None:
        """What is asked of all arms, or of this one alone; of one that ends, as whom."""
        return self._request if self._ends else self._of_all() or self.run.asked()

    @property
    def step(self) -> int:
        return self.place.step

    @property
    def is_here(self) -> bool:
        """Whether it is in memory."""
        return self._training is not None

    @property
    def bytes_kept(self) -> int:
        """What it keeps in memory between its turns."""
        from ftlab.train.model import trainable

        model = self._training.trainer.model if self._training else None
        n = sum(p.numel() for p in trainable(model)) if model else 0
        return PER_PARAMETER * n

    @property
    def hopeless(self) -> str:
        """Why it ends at once; empty where it does not."""
        losses = self.run.history.series.get("eval_loss", {})
        return ending({step: loss for step, loss in losses.items() if step <= self.step})

    def has_reached(self, step: int | None) -> bool:
        """Whether it is done with a step, or with its last one."""
        return self.place.has_reached(step)

    # --- its turns -------------------------------------------------------------------------------

    def come(self, prepared: Callable[[Job], Prepared], job: Job) -> None:
        """Into memory, to go on from its newest whole checkpoint."""
        from ftlab.train.loop import begun
        from ftlab.train.training import Training

        training = Training(prepared(job), self.asked, self._saving)
        # One that has waited, and has not trained before, begins for the first time.
        attempt = self._attempt if self.run.history.last_step else 1
        for event in begun(training, attempt):
            if not (self._has_come and isinstance(event, Log)):  # it was said the first time
                self.tell([event])
        self._training, self._random = training, random_state(training.trainer.device)
        self._note(training)

    def train(self, until: int | None) -> None:
        """A few steps, at most until that one or the next that is evaluated."""
        with self._turn() as training:
            due = (step for step in training.evaluations if step > self.step)
            few = min(self.step + STEPS_OF_TURN, *due, *([] if until is None else [until]))
            self.tell(training.steps(few))
            self._note(training)
            if self.step and self.step == until:
                self.tell(training.saved_if_possible())

    def rest(self) -> None:
        """Out of memory; its state is on disk."""
        if self.step:
            with self._turn() as training:
                self.tell(training.saved())
        self.leave()

    def leave(self) -> None:
        """Out of memory as it is: what it did since its newest checkpoint is to be done again."""
        self._training, self._random = None, []

    def wait(self) -> None:
        """Out of memory and let go, until it is its turn again."""
        self.rest()
        self.tell([Status(status="paused", detail=WAITS)])
        self.close()

    def end(self, why: str = "", request: str | None = None) -> None:
        """End it as is asked of it, or because of `why`, and keep what it has learned. What is
        asked of it after that was read is of no matter: all arms end alike."""
        self._ends, self._request = True, request
        if self._training is None:
            self.tell(ended_resting(self.run, request, why))
        else:
            with self._turn() as training:
                self.tell(training.ended(self.run.adapter, why))
        self.close()

    def fail(self, text: str) -> None:
        """End it with nothing but what its checkpoints have."""
        self.tell([Status(status="failed", detail=text)])
        self.close()

    def put_off(self) -> None:
        """Let it go for now: it can go on from its newest checkpoint."""
        with contextlib.suppress(OSError):  # the disk may be full; it is seen to be left, then
            self.tell([Status(status="paused", detail="its sweep has failed, and can go on")])
        self.close()

    def close(self) -> None:
        """Let its run go."""
        self.leave()
        self.has_ended = True
        self._writer.close()
        self._rows.close()
        os.close(self._lock)

    # --- what they are made of -------------------------------------------------------------------

    def tell(self, events: Iterable[Event | RowLosses]) -> None:
        """Write what happens into its log."""
        for event in events:
            (self._rows if isinstance(event, RowLosses) else self._writer).append(event)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Training]:
        assert self._training is not None, "it has come"
        device = self._training.trainer.device
        set_random_state(self._random, device)
        try:
            yield self._training
        finally:
            self._random = random_state(device)

    def _note(self, training: Training) -> None:
        step = training.position.step
        last = step if training.stops_early else training.n_steps
        self.place, self._has_come = Place(step, last, training.is_settled), True
