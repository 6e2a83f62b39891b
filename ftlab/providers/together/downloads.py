"""What a job made: its checkpoints, and its adapter as a folder that loads anywhere."""

from __future__ import annotations

import contextlib
import glob
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ftlab.adapter_files import CONFIG, WEIGHTS, read_adapter
from ftlab.errors import FtlabError, UnreadableData
from ftlab.providers.together.archives import unpack
from ftlab.providers.together.fetching import Told, fetch
from ftlab.providers.together.jobs import path_of

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

DOWNLOAD = "/v1/finetune/download"
MODEL_CONFIG = "config.json"
INTERMEDIATE = "intermediate"
STAGED = ".ftlab-download-"
NAMED = 8  # names of an archive's files in a message


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


def download_adapter(
    client: Client,
    job: Mapping[str, Any],
    into: Path,
    told: Told = lambda _: None,
    *,
    step: int | None = None,
) -> None:
    """Fetch what a job of the service tuned into a folder, whole or not at all: its adapter, or
    the model where all weights were trained; of that step, or else the last.

    Comes back at once where the folder is there. Raises ServiceError, UnreadableData for an
    archive that is not taken or holds no such thing, FtlabError where it can't be written.
    """
    if into.exists():
        return
    doing = f"what {job['id']} tuned was downloaded"
    with _beside(into) as place:
        archive, folder = place / "archive", place / "files"
        fetch(client, DOWNLOAD, _asked(job, step), archive, doing, told)
        names = unpack(archive, folder)
        found = _model_in(folder, names) if is_full(job) else _adapter_in(folder, names)
        found.rename(into)


def download_file(client: Client, file_id: str, into: Path, told: Told = lambda _: None) -> None:
    """Fetch the content of a file of the account into a new file, whole or not at all. Raises as
    `fetch` does."""
    path = f"/v1/files/{quote(file_id, safe='')}/content"
    with _beside(into) as place:
        content = place / "content"
        fetch(client, path, {}, content, f"{file_id} was downloaded", told)
        content.rename(new_place(into))


@contextlib.contextmanager
def _beside(into: Path) -> Iterator[Path]:
    """A folder for what is not whole yet, on the same disk; those of downloads that were killed
    go. Raises FtlabError where nothing can be written there."""
    prefix = f".{into.name}{STAGED}"
    for left in into.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=prefix) as place:
            yield Path(place)
    except OSError as exc:
        raise FtlabError(
            f"{into} can't be written ({exc.strerror or type(exc).__name__}); a download needs a "
            "folder with room that is yours to write. Choose another, or make room, then ask again."
        ) from exc


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


def is_full(job: Mapping[str, Any]) -> bool:
    """Whether a job of the service trains all weights."""
    given = job.get("training_type")
    kind = given.get("type") if isinstance(given, dict) else given
    return str(kind).lower() == "full"


def _adapter_in(folder: Path, names: list[str]) -> Path:
    """The folder of the one adapter nearest to the root. Raises UnreadableData."""
    places = [file.parent for file in folder.rglob(CONFIG) if (file.parent / WEIGHTS).is_file()]
    found = _nearest(places, f"{CONFIG} beside {WEIGHTS}", names)
    read_adapter(found)
    return found


def _model_in(folder: Path, names: list[str]) -> Path:
    places = [
        file.parent
        for file in folder.rglob(MODEL_CONFIG)
        if next(file.parent.glob("*.safetensors"), None)
    ]
    return _nearest(places, f"{MODEL_CONFIG} beside weights in *.safetensors", names)


def _nearest(places: list[Path], wanted: str, names: list[str]) -> Path:
    depth = min((len(place.parts) for place in places), default=0)
    nearest = [place for place in places if len(place.parts) == depth]
    if len(nearest) == 1:
        return nearest[0]
    held = f"{len(nearest)} times that" if nearest else ascii(", ".join(names[:NAMED]) or "nothing")
    raise UnreadableData(
        f"The archive holds {held}; it must hold {wanted}, once. Download another checkpoint, or "
        "look at the job's files at the service."
    )
