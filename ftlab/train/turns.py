"""Arms that train in turns on one device, as many at once as its memory has room for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ftlab.devices import detect
from ftlab.errors import FtlabError
from ftlab.files import replace_file
from ftlab.job import Job
from ftlab.run import Run
from ftlab.train.__main__ import in_words
from ftlab.train.contenders import Contender
from ftlab.train.device import is_out_of_memory
from ftlab.train.ramp import losses_along
from ftlab.train.shared import Shared
from ftlab.train.training import Asked

SHARE = 0.8
"""Of the memory that is free once the first arm has trained, for the others."""


class Turns:
    """Who is in memory, and whose turn it is."""

    def __init__(
        self, shared: Shared, job_of: Callable[[Run], Job], asked: Asked, crowd: Path | None = None
    ) -> None:
        """`crowd` is a file that tells how many were in memory where a process was killed."""
        self._crowd = crowd
        self._most = _half_of(crowd)
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
                request = contender.run.asked()
                if request and not contender.has_ended:
                    contender.end(request=request)

    def losses_along(self, contender: Contender, rates: Sequence[float]) -> list[float]:
        """Of a training like that of an arm, whose rate rises at every step."""
        ready = self._shared.prepared(self._job_of(contender.run))
        return losses_along(ready, rates, self._asked)

    def forget(self) -> None:
        """Arms that ended are in memory no more."""
        self._here = [contender for contender in self._here if contender.is_here]

    def _turn(self, contender: Contender, step: int | None) -> None:
        try:
            if not contender.is_here:
                self._make_room(contender)
                contender.come(self._shared.prepared, self._job_of(contender.run))
            if not contender.hopeless:
                contender.train(step)
            if contender.step:
                self.room = self.room or min(self._room_for(contender), self._most)
            if why := contender.hopeless:
                contender.end(why)
        except Exception as exc:
            if not _is_its_own(exc):
                raise
            self._went_wrong(contender, exc)

    def _make_room(self, contender: Contender) -> None:
        """Those that have waited longest rest first."""
        self.forget()
        while len(self._here) >= (self.room or 1):
            self._here.pop(0).rest()
            gc.collect()  # modules know themselves
        self._here.append(contender)
        if self._crowd and len(self._here) > 1:
            replace_file(self._crowd, str(len(self._here)).encode())

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
        text = str(problem) if isinstance(problem, FtlabError) else in_words(problem)
        contender.fail(text)
        self.failed[contender.number] = text


def _half_of(crowd: Path | None) -> int:
    """How many may be in memory after a process was killed with so many there, most likely for
    want of it; endless where none was."""
    if crowd is None or not crowd.is_file():
        return sys.maxsize
    return max(int(crowd.read_bytes()) // 2, 1)


def _is_its_own(problem: Exception) -> bool:
    """Whether it is the arm's alone: the disk, the device and what nobody foresaw are of all."""
    is_known = isinstance(problem, FtlabError)
    return is_known or (is_out_of_memory(problem) and not isinstance(problem, OSError))
