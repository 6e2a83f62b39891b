"""Sizes of files and lengths of time in words."""

from __future__ import annotations

import time

DAY = 86400  # seconds


def in_bytes(n: float) -> str:
    """16.4 GB, 320 kB, 700 bytes; thousands are powers of ten, as disks and the hub count."""
    size, unit = _byte_unit(n)
    return f"{n / size:,.3g} {unit}"


def share_of_bytes(part: float, whole: float) -> str:
    """3.2 of 16.4 GB: both in the unit of the whole, with digits that don't dance."""
    size, unit = _byte_unit(whole)
    return f"{part / size:,.1f} of {whole / size:,.1f} {unit}"


def _byte_unit(n: float) -> tuple[float, str]:
    units = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    return next(((size, unit) for size, unit in units if n >= size), (1, "bytes"))


def duration(seconds: float) -> str:
    """40 s, 5 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def age(since: float | None) -> str:
    """How long ago a time (in seconds since the epoch) was: 40 s, 5 min, 2.5 h, 12 days."""
    if since is None:
        return ""
    seconds = max(time.time() - since, 0)
    if seconds < DAY:
        return duration(seconds)
    days = round(seconds / DAY)
    return f"{days:,} day{'s' * (days > 1)}"
