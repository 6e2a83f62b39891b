"""Room on a disk, looked for before something large is written and while it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from ftlab.errors import FtlabError
from ftlab.units import in_bytes

RESERVE = 2**26
"""Bytes of a disk that are left to others."""


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raise FtlabError where the disk of a folder has not so many bytes free, and a reserve."""
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise FtlabError(
            f"{what} takes {in_bytes(needed)} and leaves {in_bytes(RESERVE)} to others, and the "
            f"disk of {folder} has {in_bytes(free)} free. Make room, then ask again: what has come "
            "already is kept."
        )
