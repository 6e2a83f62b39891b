"""Models in the hub's cache on this machine: which, how large, when last used, complete or not.

Reads folders only; the hub's client is not loaded.
"""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

TOKENIZER = "tokenizer.json"
NO_MODEL = re.compile(r"^adapter_model|-\d+-of-\d+\.")
"""Files of weights that alone are no model."""
INDEX = "model.safetensors.index.json"
"""Names the parts of weights that lie in several files."""


class CachedModel(NamedTuple):
    """A model of the hub that is on this machine, or a part of it."""

    name: str
    n_bytes: int
    """Of the files of one revision: one that is whole, or else the one with most."""
    last_used: datetime
    """When one of its files was read or written last, by the file system; some keep days only."""
    is_whole: bool
    """Whether a revision has its configuration, its tokenizer and all its weights."""
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
    """Whether all the safetensors files are there that the index names, or without an index one
    that is neither an adapter nor a part of several."""
    index = folder / INDEX
    if not index.is_file():
        files = (file for file in folder.glob("*.safetensors") if file.is_file())
        return any(not NO_MODEL.search(file.name) for file in files)
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(parts) and all((folder / str(part)).is_file() for part in parts)


def _described(folder: Path) -> CachedModel | None:
    """None for a folder that holds nothing yet, or that goes while it is looked at."""
    _, owner, *rest = folder.name.split("--")
    try:
        files = [file.stat() for file in (folder / "blobs").iterdir()]
        revisions = [_revision(place) for place in (folder / "snapshots").iterdir()]
    except OSError:
        return None
    if not files or not revisions:
        return None
    is_whole, n_bytes = max(revisions)
    return CachedModel(
        name=f"{owner}/{'--'.join(rest)}",
        n_bytes=n_bytes,
        last_used=datetime.fromtimestamp(max(max(f.st_atime, f.st_mtime) for f in files), UTC),
        is_whole=is_whole,
        folder=folder,
    )


def _revision(folder: Path) -> tuple[bool, int]:
    """Whether it is whole, and its size in bytes."""
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    has_both = all((folder / name).is_file() for name in ("config.json", TOKENIZER))
    return has_both and has_weights(folder), n_bytes
