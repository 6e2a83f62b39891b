"""What the folder of a run tells: its events, and where the run stands.

The state is computed from the event log and from whether a process holds the lock, never from
memory: a run outlives the cell, the page and the kernel.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ftlab import attempts
from ftlab.about import About, read_about
from ftlab.asking import Request, asked
from ftlab.endings import how_it_ended
from ftlab.errors import RunError
from ftlab.eventlog import EventReader, History
from ftlab.events import ENDED, Event, RowLosses, RunStatus
from ftlab.processes import is_locked
from ftlab.row_losses import counted, frame, newest_first
from ftlab.run_folder import RunFolder

if TYPE_CHECKING:
    from pandas import DataFrame

POLL = 0.1  # seconds
LAST_WORDS = 400  # characters of the log that a dead run shows
LEFT = "nobody follows it now; resume it, with the key, to follow it again"


class RunState(NamedTuple):
    """Where a run stands, and why."""

    status: RunStatus
    detail: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class RunRecord(RunFolder):
    """Of one run. Reading is safe from any thread and any process."""

    processes: ClassVar[Mapping[str, str]] = attempts.PROCESSES
    """Provider → the module whose process runs it."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(Path(path))
        if not self._job_file.is_file():
            raise RunError(self._what_else())
        self._unread = EventReader(self.event_file)
        self._reader = EventReader(self.event_file)
        self._history = History()
        self._mutex = threading.Lock()

    def _what_else(self) -> str:
        """What this folder is, where it is none."""
        if arms := sorted(self.path.glob("arms/*")):
            return (
                f"{self.path} is a sweep; this takes one run, and each of its {len(arms)} arms is "
                f"one. Give the folder of an arm, as {arms[0]}; `ftlab attach {self.id}` shows "
                "which is best."
            )
        what, file = type(self).__name__.lower(), self._job_file.name
        return (
            f"{self.path} is not a {what}; a {what} is a folder with a {file}. "
            f"Give the folder of a {what}, or its id to ftlab.attach()."
        )

    # --- what it has told ---------------------------------------------------------------------

    def new_events(self) -> list[Event]:
        """Events since the last call on this object."""
        with self._mutex:
            return self._unread.new_events()

    @property
    def history(self) -> History:
        """What all events up to now add up to."""
        with self._mutex:
            for event in self._reader.new_events():
                self._history.add(event)
            return self._history

    def follow(self, poll: float = POLL) -> Iterator[Event]:
        """Events as they come, from those not read yet, until the run has ended or paused."""
        while True:
            ended = not self.is_alive
            yield from self.new_events()
            if ended:
                return
            time.sleep(poll)

    def metrics(self) -> DataFrame:
        """All metrics by step, as a pandas DataFrame."""
        import pandas as pd

        frame = pd.DataFrame(self.history.series).sort_index()
        return frame.rename_axis("step")

    def row_losses(self) -> DataFrame:
        """The losses of rows by step, file ("training" or "validation") and line, as a pandas
        DataFrame: of each training step the three highest, of each evaluation all rows."""
        return frame(self.told_of_rows())

    def told_of_rows(self) -> Iterator[RowLosses]:
        """The same as plain data, the newest step first; each is read when it is asked for."""
        return counted(newest_first(self.row_file), self.history.statuses)

    # --- where it stands ----------------------------------------------------------------------

    @property
    def state(self) -> RunState:
        """Queued, running, completed, … A process that died in the middle has failed; but a job at
        a service goes on without one, and is what was last known of it."""
        alive = self.is_alive  # before the log: whoever is dead by now has written its last event
        last = self.history.status
        if last is None:
            return RunState("queued") if alive else RunState("failed", self._last_words())
        if last.status in ENDED or last.status == "paused" or alive:
            return RunState(last.status, last.detail)
        if self.is_hosted:
            known = last.detail not in ("", last.status)
            return RunState(last.status, f"{last.detail}; {LEFT}" if known else LEFT)
        return RunState("failed", self._last_words())

    @property
    def status(self) -> RunStatus:
        return self.state.status

    @property
    def is_alive(self) -> bool:
        """Whether a process holds the run's lock; the system drops it when that process dies."""
        return is_locked(self.lock_file)

    @property
    def is_paused(self) -> bool:
        return self.state.status == "paused"

    def wait(self, timeout: float | None = None) -> RunState:
        """Block until the run has ended or paused. Raises TimeoutError after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive and not self.state.ended:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(
                    f"Run {self.id} is {self.status} after {timeout} s; wait() ends when it has "
                    "ended or paused. It goes on: wait longer, or stop it."
                )
            time.sleep(POLL)
        return self.state

    def asked(self) -> Request | None:
        """The strongest request to the present process: cancel, then stop, then pause."""
        return asked(self.request_file)

    @property
    def why_not_resume(self) -> str:
        """Why the run can't go on now; empty when it can."""
        return attempts.why_not_resume(self)

    def _last_words(self) -> str:
        """How a process that wrote no end has ended, and what can be done."""
        ending = how_it_ended(self.lock_file)
        words = "" if ending.is_clear else self._end_of_log()
        return f"{ending.text} {self._way_on}{words}"

    def _end_of_log(self) -> str:
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        return f" Its log ends with: {text[-LAST_WORDS:]}" if text else ""

    @property
    def _way_on(self) -> str:
        if attempts.module_of(self) is None:
            return "Such a run can't go on from here. Start a new one."
        return f"A run can go on {self.resumes_from}. Resume it, or start a new one."

    # --- its job at a service -----------------------------------------------------------------

    @property
    def is_hosted(self) -> bool:
        """Whether its job is that of a service."""
        return attempts.is_hosted(self)

    @property
    def job_id(self) -> str | None:
        """The service's id of its job; None where it has none."""
        return self.hosted.job_id or None

    @property
    def is_left(self) -> bool:
        """Whether its job at a service goes on, or may, and no process follows it."""
        if not self.is_hosted or self.is_alive:
            return False
        last = self.history.status
        return last is not None and last.status not in ENDED

    @property
    def why_nothing_tuned(self) -> str:
        """Why what it tuned is not there, and what to do; only where its adapter is missing."""
        steps = ", ".join(map(str, self.steps_on_disk))
        named = f", or name the step of a checkpoint ({steps})" if steps else ""
        if self.status == "completed":
            return (
                f"Run {self.id} is {self.status}, but {self.adapter} is not there, where what it "
                f"tuned belongs. Put that folder back, or train again{named}."
            )
        ways = {"failed": "Resume it", "cancelled": "Train again"}
        return (
            f"Run {self.id} is {self.status} and has kept nothing yet; what it tuned is saved when "
            f"it ends or is stopped. {ways.get(self.status, 'Wait, or stop it')}{named}."
        )

    @property
    def leaves_nothing(self) -> bool:
        """Whether its job at a service has left nothing yet that could be kept if it ended now."""
        return self.is_hosted and not self.state.ended and not self.history.checkpoints

    @property
    def has_ended_there(self) -> bool:
        """Whether a service has refused or failed its job, with which nobody can go on."""
        return attempts.has_ended_there(self)

    # --- what a person says of it ------------------------------------------------------------

    @property
    def about(self) -> About:
        """Its name, notes and tags, as they are on disk now; empty where nobody gave any."""
        return read_about(self.about_file)

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def notes(self) -> str:
        return self.about.notes

    @property
    def tags(self) -> tuple[str, ...]:
        return self.about.tags

    def __repr__(self) -> str:
        history = self.history
        of = f" of {history.n_steps}" if history.n_steps else ""
        return f"<Run {self.id}: {self.status}, step {history.last_step}{of}>"
