"""Models in the hub's cache on this machine: which, how large, when last used, complete or not.

Reads folders only; the hub's client is not loaded.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

INDEX = "model.safetensors.index.json"
"""Names the parts of weights that lie in several files."""


class CachedModel(NamedTuple):
    """A model of the hub that is on this machine, or a part of it."""

    name: str
    n_bytes: int
    """On disk, of all its revisions, with what downloads that broke off have left."""
    last_used: datetime
    """When one of its files was read or written last, by the file system; some keep days only."""
    is_whole: bool
    """Whether a revision has its configuration and all its weights."""
    folder: Path


def list_models() -> tuple[CachedModel, ...]:
    """The models of the hub on this machine, those that are whole first, then by name."""
    found = (_described(folder) for folder in cache_folder().glob("models--*--*"))
    models = (model for model in found if model is not None)
    return tuple(sorted(models, key=lambda model: (not model.is_whole, model.name)))


def cache_folder() -> Path:
    """Where the hub's client keeps what it fetched: HF_HUB_CACHE, or a part of HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def repo_folder(model: str) -> Path:
    """The folder of one model in the cache."""
    return cache_folder() / f"models--{model.replace('/', '--')}"


def free_bytes() -> int:
    """Room on the disk of the cache."""
    folder = cache_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def has_weights(folder: Path) -> bool:
    """Whether all the safetensors files are there that the index names, or one without an index."""
    index = folder / INDEX
    if not index.is_file():
        return any(folder.glob("*.safetensors"))
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / str(part)).is_file() for part in parts)


def _described(folder: Path) -> CachedModel | None:
    """None for a folder that holds nothing yet, or that goes while it is looked at."""
    _, owner, *rest = folder.name.split("--")
    try:
        files = [file.stat() for file in (folder / "blobs").iterdir()]
        revisions = list((folder / "snapshots").glob("*/config.json"))
    except OSError:
        return None
    if not files:
        return None
    return CachedModel(
        name=f"{owner}/{'--'.join(rest)}",
        n_bytes=sum(file.st_size for file in files),
        last_used=datetime.fromtimestamp(max(max(f.st_atime, f.st_mtime) for f in files), UTC),
        is_whole=any(has_weights(config.parent) for config in revisions),
        folder=folder,
    )
