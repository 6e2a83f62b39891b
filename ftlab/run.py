"""Run: a folder with a job and its events, and what can be done with it. What the folder tells is
in `run_record`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab import attempts, upkeep
from ftlab.about import change_about
from ftlab.adapter_files import keep_adapter
from ftlab.asking import Request, ask
from ftlab.errors import RunError
from ftlab.eventlog import EventWriter
from ftlab.events import Log, RunStatus, Status
from ftlab.files import replace_file
from ftlab.job import Job
from ftlab.run_folder import CHECKPOINT as CHECKPOINT
from ftlab.run_folder import ORIGIN, new_folder
from ftlab.run_folder import checkpoint_steps as checkpoint_steps
from ftlab.run_html import run_html
from ftlab.run_record import RunRecord
from ftlab.run_record import RunState as RunState
from ftlab.trackers import starting

if TYPE_CHECKING:
    from ftlab.answers.asked import Comparison
    from ftlab.answers.served import Served
    from ftlab.diagnosis import Diagnosis
    from ftlab.exports.kept import Exported
    from ftlab.scores import Scores


class Run(RunRecord):
    """One run. Reading is safe from any thread and any process; only its process writes events."""

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

    # --- what comes of it --------------------------------------------------------------------

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

    def siblings(self) -> Iterator[Run]:
        """The other runs of its folder."""
        for job in self.path.absolute().parent.glob("*/job.json"):
            if job.parent.name != self.id:
                yield Run(job.parent)

    # --- pausing, stopping, going on ---------------------------------------------------------

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

    def _ask(self, request: Request) -> None:
        state = self.state
        if state.ended or state.status == "paused":
            raise RunError(
                f"Run {self.id} is {state.status} already; only a live run takes requests. "
                "Start a new one, or resume it if it is paused or failed."
            )
        ask(self.request_file, request)

    def track(self, *trackers: str, project: str | None = None) -> None:
        """Mirror it in trackers ("wandb", "mlflow", "tensorboard", "trackio") from its first step,
        now that it has begun or ended; a process of its own does it. Raises RunError for what is
        missing here."""
        starting.track(self, trackers, project)

    # --- being kept --------------------------------------------------------------------------

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

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return run_html(self)
