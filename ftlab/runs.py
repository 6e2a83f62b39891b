"""Run: a folder with a job and its events. Everything that displays a run reads this folder.

A run outlives the cell, the page and the kernel; its state is computed from its event log and
from whether a process holds its lock, never from memory.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.asking import Request, ask, asked, forget
from ftlab.endings import how_it_ended, note_birth, note_exit, note_words
from ftlab.errors import RunError
from ftlab.eventlog import EventReader, EventWriter, History
from ftlab.events import ENDED, Event, RunStatus, Status
from ftlab.html import escaped
from ftlab.job import Job
from ftlab.processes import is_locked, spawn, try_lock
from ftlab.run_html import run_html

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER_VARIABLE = "FTLAB_RUNS"
DEFAULT_FOLDER = "ftlab-runs"
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
POLL = 0.1  # seconds
LOCK_PATIENCE = 1.0  # seconds; who only looks whether a run lives holds its lock for an instant
PROCESS_PATIENCE = 15.0  # seconds; a process that has paused still has torch to take down
LAST_WORDS = 400  # characters of the log that a dead run shows
CHECKPOINT = "step-{:08}"
"""The folder of the state after so many steps."""
PROCESSES = {"local": "ftlab.train"}
"""Provider → the module whose process goes on from a run's own checkpoints."""


class RunState(NamedTuple):
    """Where a run stands, and why."""

    status: RunStatus
    detail: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Run:
    """One run. Reading is safe from any thread and any process; only its process writes events."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self._job_file.is_file():
            raise RunError(
                f"{self.path} is not a run; a run is a folder with a job.json. "
                "Give the folder of a run, or its id to ftlab.attach()."
            )
        self._unread = EventReader(self._event_file)
        self._reader = EventReader(self._event_file)
        self._history = History()
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, job: Job, folder: Path) -> Run:
        """A new run folder, not started yet."""
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", (job.spec.suffix or "run").lower()).strip("-") or "run"
        stamp = job.created_at.astimezone().strftime("%Y%m%d-%H%M%S")
        path = folder / f"{stamp}-{name[:32]}-{secrets.token_hex(2)}"
        path.mkdir(mode=0o700)
        staged = path / "job.json.new"
        staged.write_text(job.model_dump_json(indent=1, exclude_unset=False), encoding="utf-8")
        staged.rename(path / "job.json")
        return cls(path)

    # --- the folder: only this class knows the names in it -----------------------------------

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def _job_file(self) -> Path:
        return self.path / "job.json"

    @property
    def _event_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def _request_file(self) -> Path:
        return self.path / "requests.jsonl"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        """The folder of the states of its training."""
        return self.path / "checkpoints"

    @property
    def log_file(self) -> Path:
        """What the run's process printed."""
        return self.path / "log.txt"

    @property
    def adapter(self) -> Path:
        """What was tuned: the adapter in peft's format, or the whole model where all weights
        train. It exists once the run has saved it."""
        with contextlib.suppress(RunError):  # a damaged job is told of where it is read
            if self.job.spec.lora is False:
                return self.path / "model"
        return self.path / "adapter"

    @property
    def tuned_in_words(self) -> str:
        """What was tuned and where it lies, for a person."""
        what = "The tuned model" if self.adapter.name == "model" else "The adapter"
        return f"{what} is in {self.adapter}"

    @cached_property
    def job(self) -> Job:
        """The job. Raises RunError when its file is damaged or of a newer ftlab."""
        try:
            return Job.model_validate_json(self._job_file.read_bytes())
        except (OSError, ValueError) as exc:
            raise RunError(
                f"{self._job_file} can't be read ({_first_line(exc)}); it holds a job as "
                "this ftlab or an older one writes it. Read it with the ftlab that wrote it, or "
                "move the run's folder away."
            ) from exc

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
        """Queued, running, completed, … A process that died in the middle has failed."""
        alive = self.is_alive  # before the log: whoever is dead by now has written its last event
        last = self.history.status
        if last is None:
            return RunState("queued") if alive else RunState("failed", self._last_words())
        if last.status in ENDED or last.status == "paused" or alive:
            return RunState(last.status, last.detail)
        return RunState("failed", self._last_words())

    @property
    def status(self) -> RunStatus:
        return self.state.status

    @property
    def is_alive(self) -> bool:
        """Whether a process holds the run's lock; the system drops it when that process dies."""
        return is_locked(self._lock_file)

    def metrics(self) -> DataFrame:
        """All metrics by step, as a pandas DataFrame."""
        import pandas as pd

        frame = pd.DataFrame(self.history.series).sort_index()
        return frame.rename_axis("step")

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
        while not (state := self.state).ended and (state.status != "paused" or self.is_alive):
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"Run {self.id} is still {state.status} after {timeout} s.")
            time.sleep(POLL)
        return state

    def _last_words(self) -> str:
        """How a process that wrote no end has ended, and what can be done."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            text = ""
        words = f" Its log ends with: {text[-LAST_WORDS:]}" if text else ""
        return f"{how_it_ended(self._lock_file)} {self._way_on}{words}"

    @property
    def _way_on(self) -> str:
        if self._module is None:
            return "Such a run can't go on from here. Start a new one."
        return f"A run can go on {self.resumes_from}. Resume it, or start a new one."

    @property
    def has_checkpoint(self) -> bool:
        """Whether a state of its training lies in its folder."""
        return bool(checkpoint_steps(self.checkpoints))

    @property
    def resumes_from(self) -> str:
        """From where it would go on, as the end of a sentence."""
        steps = checkpoint_steps(self.checkpoints)
        return f"from step {steps[-1]:,}" if steps else "from its beginning"

    # --- asking ------------------------------------------------------------------------------

    def pause(self) -> None:
        """Ask the run to save its state after the present step and end its process."""
        self._ask("pause")

    def stop(self) -> None:
        """Ask the run to end after the present step and keep what it has learned."""
        resting = self.status in ("paused", "failed")
        if resting and self._module and self.has_checkpoint:
            self._start("stop")
        else:
            self._ask("stop")

    def cancel(self) -> None:
        """Ask the run to end after the present step and keep nothing."""
        if not self.is_paused:
            self._ask("cancel")
            return
        handle = self.lock(PROCESS_PATIENCE)
        self.say("cancelled", "cancelled while it was paused")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        os.close(handle)

    def resume(self) -> Run:
        """Go on in a new process from the newest whole checkpoint, or from the beginning where
        there is none; the same run, bit for bit where the machine computes the same."""
        if self.why_not_resume:
            raise RunError(self.why_not_resume)
        self._start()
        return self

    @property
    def is_paused(self) -> bool:
        return self.state.status == "paused"

    @property
    def why_not_resume(self) -> str:
        """Why the run can't go on now; empty when it can."""
        status = self.status
        if status in ("completed", "cancelled"):
            return (
                f"Run {self.id} is {status} already; paused and failed runs can go on. "
                "Start a new one."
            )
        if status not in ("paused", "failed"):
            return (
                f"Run {self.id} is {status}; paused and failed runs can go on. "
                "Pause it first, or wait for it."
            )
        if self._module is None:
            return (
                f"Run {self.id} runs at {self.job.provider}; runs of {', '.join(PROCESSES)} can "
                "be resumed. Start a new one."
            )
        return ""

    def _ask(self, request: Request) -> None:
        state = self.state
        if state.ended or state.status == "paused":
            raise RunError(
                f"Run {self.id} is {state.status} already; only a live run takes requests. "
                "Start a new one, or resume it if it is paused or failed."
            )
        ask(self._request_file, request)

    def asked(self) -> Request | None:
        """The strongest request to the present process: cancel, then stop, then pause."""
        return asked(self._request_file)

    # --- being the process -------------------------------------------------------------------

    def start(self) -> None:
        """Start the run's process, which holds the run's lock from birth."""
        self._start()

    def _start(self, *requests: Request) -> None:
        """Start a process, which finds these requests."""
        assert self._module is not None, "a provider starts its own"
        handle = self.begin()
        try:
            for request in requests:
                ask(self._request_file, request)
            spawn(self._module, [str(self.path)], self.log_file, handle, self._note_exit)
        except OSError as exc:
            self.say("failed", f"The trainer could not be started ({exc}).")
            raise
        finally:
            os.close(handle)

    @property
    def _module(self) -> str | None:
        with contextlib.suppress(RunError):  # a damaged job is told of where it is read
            return PROCESSES.get(self.job.provider)
        return None

    def begin(self) -> int:
        """Begin another attempt: take the lock and return its handle. Raises RunError when a
        process has it, or the run is over."""
        handle = self.lock(PROCESS_PATIENCE if self.is_paused else LOCK_PATIENCE)
        try:
            self._begin_attempt()
        except BaseException as exc:
            os.close(handle)
            if isinstance(exc, OSError):
                raise RunError(
                    f"Run {self.id} could not begin ({exc.strerror}); its folder must take new "
                    "lines. Make room on the disk, and start it again."
                ) from exc
            raise
        return handle

    def _begin_attempt(self) -> None:
        last = self.history.status
        if last is not None and last.status in ("completed", "cancelled"):
            raise RunError(
                f"{self.id} is {last.status} already; a run runs once. Submit the job again."
            )
        forget(self._request_file)
        writer = EventWriter(self._event_file, self.history.attempt + 1)
        try:
            writer.append(Status(status="queued", detail="starting"))
        finally:
            writer.close()

    def note_birth(self) -> None:
        """Note that the present process runs the run; hold the lock."""
        note_birth(self._lock_file, os.getpid())

    def note_words(self, text: str) -> None:
        """Note why the process ends, where the log can't be written any more; hold the lock."""
        note_words(self._lock_file, text)

    def _note_exit(self, pid: int, status: int) -> None:
        with contextlib.suppress(OSError):  # the folder may be gone
            if not self.is_alive:
                note_exit(self._lock_file, pid, status)

    def lock(self, patience: float = LOCK_PATIENCE) -> int:
        """Take the run's lock and return its file handle, which a child process may inherit.

        Raises RunError when a process has it, and keeps it for `patience` seconds.
        """
        handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + patience
        while not try_lock(handle):
            if time.monotonic() < end:
                time.sleep(0.01)
                continue
            os.close(handle)
            raise RunError(
                f"Run {self.id} is being run by another process; a run has one at a time. "
                "Wait for it, or stop it."
            )
        return handle

    def writer(self) -> EventWriter:
        """The log's writer; hold the lock."""
        return EventWriter(self._event_file, max(self.history.attempt, 1))

    def say(self, status: RunStatus, detail: str = "") -> None:
        """Write one status event; hold the lock."""
        writer = self.writer()
        writer.append(Status(status=status, detail=detail))
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


class Runs:
    """A folder of runs: `ftlab-runs/` here, or where FTLAB_RUNS says."""

    def __init__(self, folder: Path | str | None = None) -> None:
        chosen = folder or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER
        self.folder = Path(chosen).absolute()

    def __iter__(self) -> Iterator[Run]:
        """Runs, the newest first; folders with another kind of name are none of ours."""
        jobs = self.folder.glob("*/job.json")
        names = sorted((job.parent.name for job in jobs), reverse=True)
        return (Run(self.folder / name) for name in names if ID_PATTERN.fullmatch(name))

    def __getitem__(self, run_id: str) -> Run:
        if not ID_PATTERN.fullmatch(run_id):
            raise RunError(
                f"{run_id!r} is no id of a run; ids are made of a-z, 0-9 and '-'. "
                "`ftlab runs` lists them."
            )
        return Run(self.folder / run_id)

    def latest(self) -> Run | None:
        """The newest run that is alive, or the newest of all."""
        newest = None
        for run in self:
            newest = newest or run
            if run.is_alive:
                return run
        return newest

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escaped(repr(run)[1:-1])}</li>" for run in self)
        return f"<div>Runs in {escaped(self.folder)}</div><ul>{items}</ul>"


def attach(run: str | Path | None = None, folder: Path | str | None = None) -> Run:
    """A run by id or path; without one the newest that is alive, or the newest of all."""
    if isinstance(run, Path) or (isinstance(run, str) and os.sep in run):
        return Run(run)
    runs = Runs(folder)
    found = runs[run] if run is not None else runs.latest()
    if found is None:
        raise RunError(
            f"There is no run in {runs.folder}; runs lie in {DEFAULT_FOLDER}/ beside the notebook, "
            f"or where {FOLDER_VARIABLE} says. Start one, or name the folder."
        )
    return found


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps whose states lie in a folder, rising; whether they are whole is not looked at."""
    found = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.glob("step-*"))
    return sorted(int(name[1]) for name in found if name)


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__)
