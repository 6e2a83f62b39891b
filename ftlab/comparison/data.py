"""The files that runs trained on: whether they are the same, and which rows only one has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from ftlab.comparison.track import DataFile, Track
from ftlab.data.rows import BOM, is_blank, iter_lines
from ftlab.data.splits import said
from ftlab.files import existing, sha256_of

TITLES = ("training file", "runs", "sha256", "rows", "only there", "the first lines")
LINES = 5
GONE = "gone or changed since"

RowLines = dict[bytes, int]
"""What a row says → the first line on which it stands."""


class FileFound(NamedTuple):
    """A training file of some of the runs."""

    file: DataFile
    runs: list[str]
    n_rows: int | None
    """None where it is not as it was."""
    only_here: list[int]
    """Lines of the rows that no other file has."""

    def cells(self) -> tuple[str, ...]:
        """In words, in the order of TITLES."""
        lines = ", ".join(f"{line:,}" for line in self.only_here[:LINES])
        known = self.n_rows is not None
        return (
            Path(self.file.path).name,
            ", ".join(self.runs),
            self.file.sha256[:12],
            f"{self.n_rows:,}" if known else GONE,
            f"{len(self.only_here):,}" if known else "",
            lines + (", …" if len(self.only_here) > LINES else ""),
        )


def files_of(tracks: Sequence[Track]) -> list[FileFound]:
    """Each training file once, with the rows that no other has; reads all of them."""
    runs: dict[str, list[str]] = {}
    files: dict[str, DataFile] = {}
    for track in tracks:
        if track.data is not None:
            files.setdefault(track.data.sha256, track.data)
            runs.setdefault(track.data.sha256, []).append(track.name)
    rows = {digest: _rows(file) for digest, file in files.items()}
    return [
        FileFound(file, runs[digest], *_compared(digest, rows)) for digest, file in files.items()
    ]


def _compared(
    digest: str, rows: dict[str, dict[bytes, int] | None]
) -> tuple[int | None, list[int]]:
    own = rows[digest]
    if own is None:
        return None, []
    others = [other for key, other in rows.items() if key != digest and other is not None]
    alone = own.keys() - set[bytes]().union(*others) if others else set[bytes]()
    return len(own), sorted(own[row] for row in alone)


def _rows(file: DataFile) -> RowLines | None:
    """Row → the first line on which it stands; None where the file is not as it was."""
    path = existing(file.path)
    if path is None or not path.is_file():
        return None
    found = path.stat()
    return _read(path, file.sha256, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, sha256: str, _size: int, _stamp: int) -> RowLines | None:
    if sha256_of(path) != sha256:
        return None
    rows: RowLines = {}
    for number, line in iter_lines(path):
        line = line.removeprefix(BOM if number == 1 else b"")
        if not is_blank(line):
            rows.setdefault(blake2b(said(line), digest_size=8).digest(), number)
    return rows
