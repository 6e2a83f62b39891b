"""Files as people name them, and what is in them."""

from __future__ import annotations

import hashlib
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
