"""Run: a folder with a job and its events. Everything that displays a run reads this folder.

A run outlives the cell, the page and the kernel; its state is computed from its event log and
from whether a process holds its lock, never from memory.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ftlab.errors import RunError
from ftlab.eventlog import EventReader, EventWriter, History
from ftlab.events import ENDED, Event, RunStatus, Status
from ftlab.html import curves, escaped, facts, short
from ftlab.job import Job
from ftlab.processes import is_locked, try_lock

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER_VARIABLE = "FTLAB_RUNS"
DEFAULT_FOLDER = "ftlab-runs"
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
POLL = 0.1  # seconds
LOCK_PATIENCE = 1.0  # seconds; who only looks whether a run lives holds its lock for an instant
LAST_WORDS = 400  # characters of the log that a dead run shows

Request = Literal["stop", "cancel"]


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
        return is_locked(self.path / "lock")

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
        """Block until the run has ended. Raises TimeoutError after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not (state := self.state).ended:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"Run {self.id} is still {state.status} after {timeout} s.")
            time.sleep(POLL)
        return state

    def _last_words(self) -> str:
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            text = ""
        words = f" Its log ends with: {text[-LAST_WORDS:]}" if text else ""
        return f"The process ended without saying why; it may have been killed.{words}"

    # --- asking ------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the run to end after the present step and keep what it has learned."""
        self._ask("stop")

    def cancel(self) -> None:
        """Ask the run to end after the present step and keep nothing."""
        self._ask("cancel")

    def _ask(self, request: Request) -> None:
        if self.state.ended:
            raise RunError(
                f"Run {self.id} is {self.status} already; only a live run takes requests. "
                "Start a new one."
            )
        # A line break in front too: after a torn line, this one still stands on its own.
        line = "\n" + json.dumps({"request": request, "time": time.time()}) + "\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(self._request_file, flags, 0o600)
        os.write(handle, line.encode())
        os.close(handle)

    def asked(self) -> Request | None:
        """The strongest request so far: cancel, then stop."""
        try:
            lines = self._request_file.read_bytes().splitlines()
        except FileNotFoundError:
            return None
        wanted = {_request_on(line) for line in lines}
        return "cancel" if "cancel" in wanted else "stop" if "stop" in wanted else None

    # --- being the process -------------------------------------------------------------------

    def lock(self) -> int:
        """Take the run's lock and return its file handle, which a child process may inherit.

        Raises RunError when a process has it.
        """
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        patience = time.monotonic() + LOCK_PATIENCE
        while not try_lock(handle):
            if time.monotonic() < patience:
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
        return EventWriter(self._event_file)

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
        return _as_html(self)


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


def _request_on(line: bytes) -> str | None:
    """What a line asks for; None for a blank or torn one."""
    try:
        return json.loads(line)["request"]
    except (ValueError, KeyError, TypeError):
        return None


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__)


def _as_html(run: Run) -> str:
    """A summary and the curves, without scripts."""
    try:
        spec = run.job.spec
    except RunError as exc:
        return f"<div>{escaped(run.id)}: {escaped(exc)}</div>"
    history, state = run.history, run.state
    of = f" of {history.n_steps:,}" if history.n_steps else ""
    values = {
        "run": run.id,
        "status": state.status + (f": {state.detail}" if state.detail else ""),
        "model": spec.model or spec.from_checkpoint or "",
        "data": spec.training_file or "",
        "step": f"{history.last_step:,}{of}",
    }
    for name in ("train_loss", "eval_loss"):
        if (points := history.series.get(name)) is not None:
            first, last = next(iter(points.values())), next(reversed(points.values()))
            values[name] = f"{short(first)} → {short(last)}"
    drawn = {
        name: list(history.series[name].items())
        for name in ("train_loss", "eval_loss")
        if name in history.series
    }
    return f"<div>{facts(values)}{curves(drawn)}</div>"
