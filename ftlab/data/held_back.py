"""How many rows of a scanned file a share holds back, without another scan."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path

from ftlab.data.report import DataReport
from ftlab.data.rows import unit_hashes, version
from ftlab.files import existing

COUNTED = 2**24
"""Bytes of a file whose rows are counted; of a larger one the share is near enough."""


def n_held_back(report: DataReport, share: float) -> int:
    """As the trainer divides them; where that is not counted, or the file is not there as it was
    scanned, by the share alone."""
    file = existing(report.path)
    if file is not None and file.is_file() and report.n_bytes <= COUNTED:
        hashes = _hashes(file, version(file))
        if len(hashes) == report.n_rows:
            return bisect_left(hashes, share)
    return round(share * report.n_rows)


@lru_cache(maxsize=4)  # the form asks with every key that is pressed
def _hashes(file: Path, _seen: tuple[int, ...]) -> array[float]:
    """Rising; none where the file can't be read."""
    try:
        return array("d", sorted(unit_hashes(file)))
    except OSError:
        return array("d")
