"""Arms that train in turns on one device, as many at once as its memory has room for."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Sequence

from ftlab.devices import detect
from ftlab.errors import FtlabError
from ftlab.job import Job
from ftlab.run import Run
from ftlab.train.__main__ import in_words
from ftlab.train.contenders import Contender
from ftlab.train.device import is_out_of_memory
from ftlab.train.loop import Prepared
from ftlab.train.shared import Shared
from ftlab.train.training import Asked

SHARE = 0.8
"""Of the memory that is free once the first arm has trained, for the others."""


class Turns:
    """Who is in memory, and whose turn it is."""

    def __init__(self, shared: Shared, job_of: Callable[[Run], Job], asked: Asked) -> None:
        self._shared, self._job_of, self._asked = shared, job_of, asked
        self._here = list[Contender]()
        """Those in memory."""
        self.room: int | None = None
        """How many may be there; not known before the first one has trained."""
        self.failed = dict[int, str]()
        """Arms that failed, and why."""

    def all_to(self, contenders: Sequence[Contender], step: int | None) -> None:
        """Train them until each is done with a step, or with its last one; a few steps at a time,
        so that all curves grow together. What is asked of one of them ends it."""
        while waiting := [c for c in contenders if not (c.has_ended or c.has_reached(step))]:
            for place, contender in enumerate(waiting):
                if self._asked() is not None:
                    return
                if place >= (self.room or 1):
                    break
                self._turn(contender, step)
                if contender.run.asked() and not contender.has_ended:
                    contender.end()

    def like(self, run: Run) -> Prepared:
        """What trains as an arm does, and is none."""
        return self._shared.prepared(self._job_of(run))

    def forget(self) -> None:
        """Arms that ended are in memory no more."""
        self._here = [contender for contender in self._here if contender.is_here]

    def _turn(self, contender: Contender, step: int | None) -> None:
        try:
            if not contender.is_here:
                self._make_room(contender)
                contender.come(self._shared.prepared, self._job_of(contender.run))
            contender.train(step)
            if contender.step:
                self.room = self.room or self._room_for(contender)
        except OSError:  # the disk is that of all arms
            raise
        except Exception as exc:
            self._went_wrong(contender, exc)

    def _make_room(self, contender: Contender) -> None:
        """Those that have waited longest rest first."""
        self.forget()
        while len(self._here) >= (self.room or 1):
            self._here.pop(0).rest()
            gc.collect()  # modules know themselves
        self._here.append(contender)

    def _room_for(self, contender: Contender) -> int:
        """How many like this one the memory has room for."""
        free = next((d.free_bytes for d in detect() if d.name == self._shared.device), None)
        others = SHARE * (free or 0) / contender.bytes_kept
        return 1 + int(others)

    def _went_wrong(self, contender: Contender, problem: Exception) -> None:
        """Where memory did not suffice for several, fewer go on from their checkpoints; otherwise
        the arm fails, and it alone."""
        contender.leave()
        self.forget()
        if is_out_of_memory(problem) and self._here:
            self.room = len(self._here)
            return
        is_known = isinstance(problem, FtlabError)
        if not is_known:
            traceback.print_exception(problem)
        text = str(problem) if is_known else in_words(problem)
        contender.fail(text)
        self.failed[contender.number] = text
