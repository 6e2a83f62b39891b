"""Run: a folder with a job and its events. Everything that displays a run reads this folder.

A run outlives the cell, the page and the kernel; its state is computed from its event log and
from whether a process holds its lock, never from memory.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import SecretStr

from ftlab import attempts, upkeep
from ftlab.about import About, change_about, read_about
from ftlab.adapter_files import keep_adapter
from ftlab.asking import Request, ask, asked
from ftlab.endings import how_it_ended
from ftlab.errors import RunError
from ftlab.eventlog import EventReader, EventWriter, History
from ftlab.events import ENDED, Event, Log, RowLosses, RunStatus, Status
from ftlab.files import replace_file
from ftlab.job import Job
from ftlab.processes import is_locked
from ftlab.row_losses import counted, frame, newest_first
from ftlab.run_folder import CHECKPOINT as CHECKPOINT
from ftlab.run_folder import ORIGIN, RunFolder, new_folder
from ftlab.run_folder import checkpoint_steps as checkpoint_steps
from ftlab.run_html import run_html
from ftlab.trackers import starting

if TYPE_CHECKING:
    from pandas import DataFrame

    from ftlab.answers.asked import Comparison
    from ftlab.answers.served import Served
    from ftlab.diagnosis import Diagnosis
    from ftlab.exports.kept import Exported
    from ftlab.scores import Scores

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


class Run(RunFolder):
    """One run. Reading is safe from any thread and any process; only its process writes events."""

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

    @classmethod
    def create(cls, job: Job, folder: Path) -> Run:
        """A new run folder, not started yet."""
        return cls.at(new_folder(folder, job.spec.suffix or "run", job.created_at), job)

    @classmethod
    def at(cls, path: Path, job: Job) -> Run:
        """A run, not started yet, in a folder that is empty."""
        if source := job.spec.from_checkpoint:
            keep_adapter(source, path / ORIGIN)
        replace_file(path / "job.json", job.model_dump_json(indent=1).encode())
        return cls(path)

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

    # --- reading -----------------------------------------------------------------------------

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
    def is_hosted(self) -> bool:
        """Whether its job is that of a service."""
        return attempts.is_hosted(self)

    @property
    def is_left(self) -> bool:
        """Whether its job at a service goes on, or may, and no process follows it."""
        if not self.is_hosted or self.is_alive:
            return False
        last = self.history.status
        return last is not None and last.status not in ENDED

    @property
    def job_id(self) -> str | None:
        """The service's id of its job; None where it has none."""
        return self.hosted.job_id or None

    @property
    def status(self) -> RunStatus:
        return self.state.status

    @property
    def is_alive(self) -> bool:
        """Whether a process holds the run's lock; the system drops it when that process dies."""
        return is_locked(self.lock_file)

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

    def diagnosis(self) -> Diagnosis:
        """What its curve means so far, how sure that is, and what to do."""
        from ftlab.diagnosis import diagnose
        from ftlab.diagnosis.reading import curve_of_run

        return diagnose(curve_of_run(self))

    def ask(self, prompt: str | Sequence[Mapping[str, Any]], **options: Any) -> Comparison:
        """What its base and what it tuned answer, side by side; `ftlab.ask` says the options."""
        from ftlab.answers import ask as ask_both

        return ask_both(self, prompt, **options)

    def serve(self, port: int = 0) -> Served:
        """Let programs of this machine ask it as they ask OpenAI, until `stop()`; port 0 takes a
        free one."""
        from ftlab.answers.served import serve

        return serve(self, port)

    def export(
        self, path: str | Path | None = None, kind: str = "adapter", **options: Any
    ) -> Exported:
        """Write what it has tuned into a new folder (as "adapter", "merged", "gguf", or on the
        "hub") and prove that it says the same; see `ftlab.export` for the options."""
        from ftlab.exports import export

        return export(self, path, kind, **options)

    @property
    def exported(self) -> list[Exported]:
        """What was exported of it, the newest first, each with its proof."""
        from ftlab.exports import exports_of

        return exports_of(self)

    def scores(self, file: Path | str | None = None, **options: Any) -> Scores:
        """How good its base and its tuned model are on the rows of a file, or on those that it is
        measured on; `options` are those of `ftlab.score`."""
        from ftlab.scores import score

        return score(self, file, **options)

    def follow(self, poll: float = POLL) -> Iterator[Event]:
        """Events as they come, from those not read yet, until the run has ended or paused."""
        while True:
            ended = not self.is_alive
            yield from self.new_events()
            if ended:
                return
            time.sleep(poll)

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

    def siblings(self) -> Iterator[Run]:
        """The other runs of its folder."""
        for job in self.path.absolute().parent.glob("*/job.json"):
            if job.parent.name != self.id:
                yield Run(job.parent)

    # --- asking ------------------------------------------------------------------------------

    def pause(self) -> None:
        """Ask the run to save its state after the present step and end its process."""
        if self.is_hosted:
            raise RunError(
                f"Run {self.id} runs at {self.job.provider}, which can't pause a job; there a job "
                "can be stopped or cancelled. Leave it going, or stop it."
            )
        self._ask("pause")

    def stop(self, key: str | SecretStr | None = None) -> None:
        """Ask the run to end after the present step and keep what it has learned. `key` is that of
        the account at a service, as for `resume`; it takes one where nobody follows the job."""
        secret = SecretStr(key) if isinstance(key, str) else key
        key = None  # so that no traceback shows it
        resting = self.status in ("paused", "failed")
        if self.is_left or (resting and attempts.module_of(self) and self.has_checkpoint):
            attempts.start(self, "stop", key=secret)
        else:
            self._ask("stop")

    def cancel(self, key: str | SecretStr | None = None) -> None:
        """Ask the run to end after the present step and keep nothing. `key` is as for `stop`."""
        secret = SecretStr(key) if isinstance(key, str) else key
        key = None  # so that no traceback shows it
        if self.is_left:
            attempts.start(self, "cancel", key=secret)
        elif not (self.is_paused and attempts.cancel(self)):
            self._ask("cancel")

    def resume(self, key: str | SecretStr | None = None, *, pay_up_to: float | None = None) -> Run:
        """Go on in a new process from the newest whole checkpoint, or from the beginning where
        there is none; the same run, bit for bit where the machine computes the same.

        A run at a service is followed again, and never started a second time; `key` is that of
        the account, if it is not in the environment or the keyring. Where it was refused for its
        price, `pay_up_to` (US dollars) agrees to that.
        """
        secret = SecretStr(key) if isinstance(key, str) else key
        key = None  # so that no traceback shows it
        if self.why_not_resume:
            raise RunError(self.why_not_resume)
        if pay_up_to is not None:
            attempts.agree(self, pay_up_to)
        attempts.start(self, key=secret)
        return self

    @property
    def leaves_nothing(self) -> bool:
        """Whether its job at a service has left nothing yet that could be kept if it ended now."""
        return self.is_hosted and not self.state.ended and not self.history.checkpoints

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
    def is_paused(self) -> bool:
        return self.state.status == "paused"

    @property
    def has_ended_there(self) -> bool:
        """Whether a service has refused or failed its job, with which nobody can go on."""
        return attempts.has_ended_there(self)

    @property
    def why_not_resume(self) -> str:
        """Why the run can't go on now; empty when it can."""
        return attempts.why_not_resume(self)

    def _ask(self, request: Request) -> None:
        state = self.state
        if state.ended or state.status == "paused":
            raise RunError(
                f"Run {self.id} is {state.status} already; only a live run takes requests. "
                "Start a new one, or resume it if it is paused or failed."
            )
        ask(self.request_file, request)

    def asked(self) -> Request | None:
        """The strongest request to the present process: cancel, then stop, then pause."""
        return asked(self.request_file)

    def track(self, *trackers: str, project: str | None = None) -> None:
        """Mirror it in trackers ("wandb", "mlflow", "tensorboard", "trackio") from its first step,
        now that it has begun or ended; a process of its own does it. Raises RunError for what is
        missing here."""
        starting.track(self, trackers, project)

    # --- being kept --------------------------------------------------------------------------

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

    def rename(self, name: str) -> None:
        """Give it a name for people; its id and its folder stay. An empty name takes it away."""
        change_about(self.about_file, name=name)

    def note(self, notes: str) -> None:
        """Replace its notes."""
        change_about(self.about_file, notes=notes)

    def tag(self, *tags: str) -> None:
        """Replace its tags; without any, it has none."""
        change_about(self.about_file, tags=tags)

    def tidy(self, keep: upkeep.Keep = "best") -> int:
        """Keep only its best or its last checkpoint, or both where it can go on; the bytes that
        this freed. Raises RunError while it is live."""
        return upkeep.tidy(self, keep).frees

    def delete(self) -> int:
        """Take it away for good; the bytes that this freed. Raises RunError while it is live."""
        return upkeep.delete(self)

    # --- being the process -------------------------------------------------------------------

    def start(self, key: SecretStr | None = None) -> None:
        """Start the run's process, which holds the run's lock from birth."""
        attempts.start(self, key=key)

    def begin(self) -> int:
        """Begin another attempt in this process, and return the handle of the lock that it took.
        Raises RunError when a process has it, or the run is over."""
        return attempts.begin(self)

    def lock(self) -> int:
        """Take the run's lock and return its file handle, which a child process may inherit.

        Raises RunError when a process has it.
        """
        return attempts.lock(self)

    def writer(self) -> EventWriter:
        """The log's writer; hold the lock."""
        return EventWriter(self.event_file, max(self.history.attempt, 1))

    def row_writer(self) -> EventWriter:
        """The writer of the losses of rows; hold the lock. They may be lost with the machine."""
        return EventWriter(self.row_file, max(self.history.attempt, 1), math.inf)

    def say(self, status: RunStatus, detail: str = "") -> None:
        """Write one status event; hold the lock."""
        writer = self.writer()
        writer.append(Status(status=status, detail=detail))
        writer.close()

    def warn(self, text: str) -> None:
        """Write a warning into the log of a run that has no process yet."""
        writer = EventWriter(self.event_file, self.history.attempt)
        writer.append(Log(level="warning", text=text))
        writer.close()

    # --- being seen --------------------------------------------------------------------------

    def __repr__(self) -> str:
        history = self.history
        of = f" of {history.n_steps}" if history.n_steps else ""
        return f"<Run {self.id}: {self.status}, step {history.last_step}{of}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return run_html(self)
