"""The folder of a run: what lies in it, and under which names."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.errors import RunError
from ftlab.files import bytes_in, existing, replace_file
from ftlab.job import Job

ORIGIN = "origin"
RECORDED = "recorded.safetensors"
"""What the model said when it was saved: beside the result, and in each checkpoint."""
CHECKPOINT = "step-{:08}"
"""The folder of the state after so many steps."""


class Hosted(NamedTuple):
    """What a run's folder says of its job at a service."""

    address: str = ""
    tag: str = ""
    """Stands in the job's suffix; where there is one, the job may have been asked for."""
    job_id: str = ""
    ended: str = ""
    """How the job has ended; empty as long as it may go on."""
    file: str = ""
    """The id of its training file there."""
    price: str = ""
    """US dollars that have to be agreed to before it is asked for, "inf" where nobody knows; empty
    where nothing is left to agree to."""


class RunFolder:
    """A folder with a job. Only this class knows the names in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether there is a job in it."""
        return self._job_file.is_file()

    @property
    def _job_file(self) -> Path:
        return self.path / "job.json"

    @property
    def event_file(self) -> Path:
        """What its process has reported."""
        return self.path / "events.jsonl"

    @property
    def row_file(self) -> Path:
        """The losses of its rows."""
        return self.path / "rows.jsonl"

    @property
    def request_file(self) -> Path:
        """What people ask of it."""
        return self.path / "requests.jsonl"

    @property
    def commit_file(self) -> Path:
        """The commit of its model on the hub that its first process found."""
        return self.path / "commit.txt"

    @property
    def commit(self) -> str | None:
        """What that file says; None before."""
        file = existing(self.commit_file)
        return None if file is None else file.read_text(encoding="utf-8")

    @property
    def hosted(self) -> Hosted:
        """Its job at a service; empty where nobody asked for one. Raises RunError when the file is
        damaged: there may be a job."""
        try:
            found = json.loads(self._hosted_file.read_bytes())
            return Hosted(*(str(found.get(name, "")) for name in Hosted._fields))
        except FileNotFoundError:
            return Hosted()
        except (OSError, ValueError, AttributeError) as exc:
            raise RunError(
                f"{self._hosted_file} can't be read ({_first_line(exc)}); it says which job at the "
                "service is that of the run, so that none is paid for twice. Put it back from a "
                "copy, or adopt the job from the account's list (ftlab account) as another run."
            ) from exc

    def note_hosted(self, **known: str) -> None:
        """Write down what is known of its job at a service, on disk for good."""
        found = {**self.hosted._asdict(), **known}
        replace_file(self._hosted_file, json.dumps(found).encode() + b"\n")

    @property
    def _hosted_file(self) -> Path:
        return self.path / "hosted.json"

    @property
    def said_file(self) -> Path:
        """What the service has said, word by word, but without secrets."""
        return self.path / "hosted.jsonl"

    @property
    def origin(self) -> Path:
        """Its own copy of the adapter that it goes on from, where there is one."""
        return self.path / ORIGIN

    @property
    def lock_file(self) -> Path:
        """Held by its process, and what is known of that one."""
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        """The folder of the states of its training."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The folder of the state after so many steps."""
        return self.checkpoints / CHECKPOINT.format(step)

    def recorded(self, step: int | None = None) -> Path:
        """The file of what the model said after so many steps, or at its end."""
        return (self.path if step is None else self.checkpoint(step)) / RECORDED

    @property
    def exports(self) -> Path:
        """The folder of what was made of it to be taken away, and of the proofs of that."""
        return self.path / "exports"

    @property
    def score_folder(self) -> Path:
        """The folder of what its models were found to be worth."""
        return self.path / "scores"

    @property
    def about_file(self) -> Path:
        """What a person says about it."""
        return self.path / "about.json"

    def mirror(self, tracker: str) -> Path:
        """The folder of its mirror in a tracker, and what that keeps there."""
        return self._mirrors / tracker

    @property
    def tracked(self) -> list[str]:
        """The trackers in which it has a mirror."""
        return sorted(path.name for path in self._mirrors.glob("*/") if path.is_dir())

    @property
    def _mirrors(self) -> Path:
        return self.path / "trackers"

    @property
    def log_file(self) -> Path:
        """What the run's process printed."""
        return self.path / "log.txt"

    @property
    def adapter(self) -> Path:
        """What was tuned: the adapter in peft's format, or the whole model where all weights
        train. It exists once the run has saved it."""
        meant, other = self.places
        with contextlib.suppress(RunError):  # a damaged job is told of where it is read
            if self.job.spec.lora is False:
                meant, other = other, meant
        return other if other.exists() and not meant.exists() else meant

    @property
    def places(self) -> tuple[Path, Path]:
        """Where an adapter lies, and where a whole model does."""
        return self.path / "adapter", self.path / "model"

    @property
    def is_whole_model(self) -> bool:
        """Whether what was tuned is a whole model; a service may send one for an adapter."""
        return self.adapter.name == "model"

    @property
    def tuned_in_words(self) -> str:
        """What was tuned and where it lies, for a person."""
        what = "The tuned model" if self.is_whole_model else "The adapter"
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

    def note_options(self, **changed: Any) -> None:
        """Write down other options of its job, whose spec stays."""
        job = self.job
        found = job.model_copy(update={"options": {**job.options, **changed}})
        replace_file(self._job_file, found.model_dump_json(indent=1).encode())
        vars(self).pop("job", None)  # as it was read

    @property
    def has_checkpoint(self) -> bool:
        """Whether a state of its training lies in its folder."""
        return bool(self.steps_on_disk)

    @property
    def steps_on_disk(self) -> list[int]:
        """The steps whose states lie in its folder, rising."""
        return checkpoint_steps(self.checkpoints)

    @property
    def resumes_from(self) -> str:
        """From where it would go on, as the end of a sentence."""
        with contextlib.suppress(RunError):  # a damaged file is told of when it goes on
            if job_id := self.hosted.job_id:
                return f"with {job_id}, its job at the service"
        steps = self.steps_on_disk
        return f"from step {steps[-1]:,}" if steps else "from its beginning"

    @property
    def bytes_on_disk(self) -> int:
        """What its folder takes."""
        return bytes_in(self.path)


def new_folder(among: Path, name: str, created_at: datetime) -> Path:
    """A new folder among the runs, whose name begins with its time and sorts by it."""
    among.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
    stamp = created_at.astimezone().strftime("%Y%m%d-%H%M%S")
    while True:
        path = among / f"{stamp}-{plain[:32]}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):  # of many in a second, two may draw one name
            path.mkdir(mode=0o700)
            return path


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps whose states lie in a folder, rising; whether they are whole is not looked at."""
    found = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.glob("step-*"))
    return sorted(int(name[1]) for name in found if name)


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__)
