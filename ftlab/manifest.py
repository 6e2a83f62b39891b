"""Folders written whole or not at all, with a manifest: the size and the hash of each file."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab.files import sha256_of

MANIFEST = "manifest.json"
STAGED, GONE = ".tmp-", ".gone-"


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A new folder to fill. It takes the place of `folder` when everything in it is on disk for
    good, and leaves nothing behind when something goes wrong."""
    staged = folder.with_name(STAGED + folder.name)
    shutil.rmtree(staged, ignore_errors=True)
    try:
        with as_os_error():
            staged.mkdir()
            yield staged
            _write_manifest(staged)
        for path in (*staged.rglob("*"), staged):
            _sync(path)
        if folder.exists():
            remove(folder)
        staged.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)  # on a full disk it takes room
        raise


def remove(folder: Path) -> None:
    """Out of sight first: a process that is killed here leaves no half of it under its name."""
    gone = folder.with_name(GONE + folder.name)
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


def manifest_of(folder: Path) -> str:
    """The text of a folder's manifest."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return _as_text({file.relative_to(folder).as_posix(): _described(file) for file in files})


def damage(folder: Path) -> str:
    """What of a folder is not as it was written, as the rest of a sentence; empty if all is."""
    try:
        text = (folder / MANIFEST).read_bytes().decode()
        listed = json.loads(text)
        if _as_text(listed) != text or not listed:
            return f"its {MANIFEST} is not as it was written"
        changed = [name for name, entry in listed.items() if _described(folder / name) != entry]
    except FileNotFoundError as exc:
        return f"its {Path(exc.filename).name} is missing"
    except (OSError, ValueError, AttributeError):
        return f"its {MANIFEST} can't be read"
    return f"its {changed[0]} is not as it was written" if changed else ""


def looks_whole(folder: Path) -> bool:
    """Whether its files are as long as its manifest says, and those that were written after it
    are what it says: what `damage` finds without reading all."""
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())
        since = (folder / MANIFEST).stat().st_mtime_ns
        return all(_looks_like(entry, folder / name, since) for name, entry in listed.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _looks_like(entry: dict[str, Any], file: Path, since: int) -> bool:
    found = file.stat()
    if found.st_size != entry["bytes"]:
        return False
    return found.st_mtime_ns <= since or _hash_at(file, found.st_mtime_ns) == entry["sha256"]


@functools.lru_cache(maxsize=64)
def _hash_at(file: Path, _written_at: int) -> str:
    """Read once for each time that it was written."""
    return sha256_of(file)


def _as_text(manifest: Any) -> str:
    return json.dumps(manifest, indent=1)


def _described(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _write_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text(manifest_of(folder), encoding="utf-8")


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """safetensors wraps the system's errors in one of its own."""
    try:
        yield
    except Exception as exc:
        found = re.search(r"(?:os error|Os \{ code:) (\d+)", str(exc))
        if not found or isinstance(exc, OSError):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from exc


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
