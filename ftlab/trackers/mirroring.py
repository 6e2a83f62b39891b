"""One run in one tracker: what is new in the log goes there, and what it has already does not."""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Iterable, Iterator

from ftlab.eventlog import EventReader
from ftlab.events import ENDED, Event, Status
from ftlab.run import Run
from ftlab.trackers import TRACKERS, Copy, Line
from ftlab.trackers.hidden import without_secrets
from ftlab.trackers.states import Mirrored, MirrorFolder
from ftlab.trackers.told import Axes, ending_of, step_of, told_of

CHUNK = 1 << 20
"""Bytes of the log that are taken at once: what waits for a tracker waits in the log."""
SAY_EVERY = 2.0  # seconds between two lines about how far it is


class Mirror:
    """Opens the run's copy when there is something to tell, and again after a failure."""

    def __init__(self, run: Run, tracker: str, project: str | None) -> None:
        self.run, self.tracker, self.project = run, tracker, project
        self.folder = MirrorFolder(run, tracker)
        self._state = self.folder.state._replace(project=project, problem="", is_whole=False)
        self._copy: Copy | None = None
        self._written, self._said = self._state, 0.0
        self.is_closed = False
        self._rewind()

    def _rewind(self) -> None:
        """Before the first line of the log."""
        self._reader, self._axes, self._n_read = EventReader(self.run.event_file), Axes(), 0
        self._cuts: dict[int, int] = {}

    # --- what a process does with it -----------------------------------------------------------

    def advance(self) -> bool:
        """Hand over what is new; whether there was anything. Raises what the tracker raises, and
        begins anew the next time."""
        if self._copy is None and not self._begin():
            return False
        assert self._copy is not None
        try:
            events = self._reader.new_events(CHUNK)
            if not self._cut_off(events):
                lines = [*self._lines(events)]
                self._copy.add(lines)
                self._say(step=max(_steps(lines), default=self._state.step))
        except BaseException:
            self._copy = None
            raise
        return bool(events)

    def close(self) -> None:
        """Tell the end, and wait until all has arrived. Raises what the tracker raises."""
        if self._copy is None and not self._begin():
            return
        copy, self._copy = self._copy, None
        assert copy is not None
        copy.close(self.run.status, ending_of(self.run, self._axes.history))
        self.is_closed = True
        self._say(is_whole=True, at_once=True)

    @property
    def has_ended(self) -> bool:
        """Whether what it has read ends with an end."""
        last = self._axes.history.status
        return last is not None and last.status in ENDED

    def fail(self, problem: str) -> None:
        """Say why it does not go on."""
        self._say(problem=without_secrets(problem), at_once=True)

    # --- how -----------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Open the copy; False where a closed one has nothing new."""
        if self.is_closed and not self._reader.new_events(1):
            return False
        self.is_closed = False
        self._rewind()
        self._cuts = _all_cuts(EventReader(self.run.event_file))
        told = told_of(self.run, self.tracker, self.project)
        copy = pkgutil.resolve_name(TRACKERS[self.tracker])(told)
        self._copy = copy
        self._say(link=without_secrets(copy.link), step=0, at_once=True)
        return True

    def _cut_off(self, events: list[Event]) -> bool:
        """Whether an attempt overtakes steps that the copy has and loses when it is written anew;
        then it is closed, to be opened again."""
        found = _cuts_in(events, self._n_read)
        late = found.keys() - self._cuts.keys()
        assert self._copy is not None
        if self._copy.rewrites and any(found[n] < self._state.step for n in late):
            copy, self._copy = self._copy, None
            copy.close("running", {})
            return True
        self._cuts |= found
        return False

    def _lines(self, events: list[Event]) -> Iterator[Line]:
        """Those that still count."""
        for number, event in enumerate(events, start=self._n_read):
            if not self._is_overtaken(number, step_of(event)):
                yield Line(number, event, self._axes.add(event))
        self._n_read += len(events)

    def _is_overtaken(self, number: int, step: int | None) -> bool:
        if step is None:
            return False
        return any(number < cut and step > until for cut, until in self._cuts.items())

    def _say(self, *, at_once: bool = False, **known: object) -> None:
        """Keep what is known, and write it down now and then."""
        fresh = {"problem": "", "is_whole": False, **known}
        self._state = Mirrored(**{**self._state._asdict(), **fresh})
        is_due = self._state != self._written and time.monotonic() - self._said > SAY_EVERY
        if at_once or is_due:
            self._said, self._written = time.monotonic(), self._state
            self.folder.say(self._state)


def _steps(lines: Iterable[Line]) -> Iterator[int]:
    return (step for line in lines if (step := step_of(line.event)) is not None)


def _cuts_in(events: Iterable[Event], first: int) -> dict[int, int]:
    """The lines with which an attempt resumed, and from which step."""
    return {
        number: event.from_step
        for number, event in enumerate(events, start=first)
        if isinstance(event, Status) and event.from_step is not None
    }


def _all_cuts(reader: EventReader) -> dict[int, int]:
    """The same of a whole log."""
    found, n_read = dict[int, int](), 0
    while events := reader.new_events(CHUNK):
        found |= _cuts_in(events, n_read)
        n_read += len(events)
    return found
