"""Files as people name them, and what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def existing(path: str | Path) -> Path | None:
    """The path with `~` written out if something is there; None also when it can be no path."""
    try:
        found = Path(path).expanduser()
        return found if found.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user's ~, a NUL in it
        return None


def sha256_of(file: Path) -> str:
    """Of what is in the file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace_file(file: Path, data: bytes) -> None:
    """Write a small file that others see old or new, never half, and that its owner alone reads.

    Raises OSError where it can't be written; the old one is then as it was.
    """
    staged = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        staged.rename(file)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else who asks for the same changes small files of the folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def bytes_in(folder: Path) -> int:
    """What the files of a folder take; links are not followed, and what goes meanwhile is 0."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
