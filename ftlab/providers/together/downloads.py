"""What a job made: its checkpoints, and its adapter as a folder that loads anywhere."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ftlab.adapter_files import CONFIG
from ftlab.errors import FtlabError, UnreadableData
from ftlab.processes import try_lock
from ftlab.providers.together.archives import unpack
from ftlab.providers.together.fetching import Told, fetch, is_begun
from ftlab.providers.together.jobs import path_of
from ftlab.providers.together.tuned import is_full, tuned_in

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

DOWNLOAD = "/v1/finetune/download"
INTERMEDIATE = "intermediate"
STAGED = ".ftlab-download-"
CONTENT, FILES = "archive", "files"


class RemoteCheckpoint(NamedTuple):
    """A state of a job that the service has kept."""

    step: int
    ref: str
    """What `from_checkpoint` takes: `JOB:STEP`, or the job for its end."""
    label: str
    """How the service calls it, such as “Intermediate” or “Final Adapter”."""
    created_at: str
    """As the service writes it; empty where it says nothing."""


def checkpoints(client: Client, job_id: str) -> list[RemoteCheckpoint]:
    """What can be downloaded of a job, or gone on from, the oldest first. Raises ServiceError."""
    path = f"{path_of(job_id)}/checkpoints"
    listed = client.json("GET", path, f"the checkpoints of {job_id} were listed").get("data")
    entries = listed if isinstance(listed, list) else []
    found = [_checkpoint(client, job_id, entry) for entry in entries if _has_step(entry)]
    return sorted(found, key=lambda one: one.step)


def _has_step(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("step")) is int


def _checkpoint(client: Client, job_id: str, entry: Mapping[str, Any]) -> RemoteCheckpoint:
    step, label = entry["step"], client.cleaned(entry.get("checkpoint_type") or "")
    ref = f"{job_id}:{step}" if INTERMEDIATE in label.lower() else job_id
    return RemoteCheckpoint(step, ref, label, client.cleaned(entry.get("created_at") or ""))


class Tuned(NamedTuple):
    """What a job has made, on this machine."""

    folder: Path
    notes: tuple[str, ...] = ()
    """What can't be done with it here, for a person."""


def download_adapter(
    client: Client,
    job: Mapping[str, Any],
    into: Path,
    told: Told = lambda _: None,
    *,
    step: int | None = None,
    model: Path | None = None,
) -> Tuned:
    """Fetch what a job of the service tuned into a folder, whole or not at all: its adapter, or
    a whole model, which goes into `model` if that is given; of that step, or else the last.

    Comes back at once where the folder is there, and goes on with what is there of a download that
    ended early. Raises ServiceError, UnreadableData for an archive that is not taken or holds no
    such thing, FtlabError where it can't be written.
    """
    there = next((place for place in (into, model) if place is not None and place.exists()), None)
    if there is not None:
        return Tuned(there)
    doing, asked = f"what {job['id']} tuned was downloaded", _asked(job, step)
    with _beside(into, asked) as place:
        fetch(client, DOWNLOAD, asked, place / CONTENT, doing, told)
        found, notes = _unpacked(place, job)
        target = model if model is not None and not (found / CONFIG).is_file() else into
        found.rename(target)
    return Tuned(target, notes)


def _unpacked(place: Path, job: Mapping[str, Any]) -> tuple[Path, tuple[str, ...]]:
    """The folder with what was tuned. Raises UnreadableData, after which it must come anew."""
    files = place / FILES
    try:
        return tuned_in(files, unpack(place / CONTENT, files), job)
    except UnreadableData:
        (place / CONTENT).unlink()
        raise


def download_file(client: Client, file_id: str, into: Path, told: Told = lambda _: None) -> None:
    """Fetch the content of a file of the account into a new file, whole or not at all. Raises as
    `fetch` does."""
    path = f"/v1/files/{quote(file_id, safe='')}/content"
    with _beside(new_place(into), {"file": file_id}) as place:
        fetch(client, path, {}, place / CONTENT, f"{file_id} was downloaded", told)
        (place / CONTENT).rename(new_place(into))


@contextlib.contextmanager
def _beside(into: Path, asked: Mapping[str, str]) -> Iterator[Path]:
    """A folder on the same disk for what is not whole yet, which one process has at a time. In it
    is what came before of the same; it stays where that can be gone on with. Raises FtlabError
    where nothing can be written there."""
    prefix = f".{into.name}{STAGED}"
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    place = into.with_name(prefix + name)
    for left in into.parent.glob(f"{glob.escape(prefix)}*"):
        if left != place:
            shutil.rmtree(left, ignore_errors=True)
    is_done = False
    try:
        with _held(place, into):
            yield place
            is_done = True
    except OSError as exc:
        raise FtlabError(
            f"{into} can't be written ({exc.strerror or type(exc).__name__}); a download needs a "
            "folder with room that is yours to write. Choose another, or make room, then ask again."
        ) from exc
    finally:
        shutil.rmtree(place / FILES, ignore_errors=True)
        if is_done or not is_begun(place / CONTENT):
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _held(place: Path, into: Path) -> Iterator[None]:
    """Make a folder and lock it. Raises FtlabError where another process has it."""
    place.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not try_lock(handle):
            raise FtlabError(
                f"{into} is being downloaded by another process; one does that at a time. Wait for "
                "it, or end it."
            )
        yield
    finally:
        os.close(handle)


def new_place(into: Path) -> Path:
    """The same path. Raises FtlabError where something is there."""
    if not into.exists():
        return into
    raise FtlabError(
        f"{into} is there already; nothing is written over. Name another place, or move it away."
    )


def _asked(job: Mapping[str, Any], step: int | None) -> dict[str, str]:
    """Which of a job's artefacts; a step comes before the kind."""
    kind = {"checkpoint": "model_output_path" if is_full(job) else "adapter"}
    return {"ft_id": str(job["id"]), **(kind if step is None else {"checkpoint_step": str(step)})}
