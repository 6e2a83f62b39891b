"""Tables that other tools write: what stands in a CSV, JSON or JSONL file, as they name it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ftlab.errors import UnreadableData
from ftlab.html import visible

LARGEST = 64_000_000  # bytes that are read whole; the curve of a million steps has fewer
LONGEST = 4_000_000  # characters of a line
MOST_ROWS = 1_000_000  # of a file that is read in part
SUMMARY = ("train_runtime", "train/train_runtime")
"""In the last row of transformers, where train_loss is the mean of the whole run and no point."""
Row = Mapping[str, Any]


def read_text(path: Path, takes: str) -> str:
    """What is in a file; `takes` says what can be read. Raises UnreadableData."""
    try:
        size = path.stat().st_size
        if size <= LARGEST:
            return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, exc, takes) from exc
    raise UnreadableData(
        f"{visible(str(path))} has {size:,} bytes; up to {LARGEST:,} are read. Export fewer "
        "columns, or fewer steps."
    )


def _unreadable(path: Path, exc: Exception, takes: str) -> UnreadableData:
    return UnreadableData(
        f"{visible(str(path))} can't be read ({exc}); {takes}. Name one of these, or a run."
    )


def read_csv(path: Path, takes: str, wanted: Container[str] = ()) -> list[dict[str, Any]]:
    """The rows of a CSV; cells beyond its columns are left out. Where some columns are `wanted`
    (in lower case), a file of any size is read, and of the rows after the first those alone.
    Raises UnreadableData."""
    try:
        if not wanted:
            return [*_cells(io.StringIO(read_text(path, takes)))]
        with opened(path, takes) as lines:
            return _few(path, _cells(lines), wanted)
    except csv.Error as exc:
        raise UnreadableData(
            f"{visible(path.name)} is no CSV that can be read ({exc}); a cell has up to "
            f"{csv.field_size_limit():,} characters, and {takes}. Leave out columns of text."
        ) from exc


def read_lines(path: Path, takes: str, wanted: Container[str]) -> list[dict[str, Any]]:
    """The rows of a JSONL file of any size, as `read_csv` reads those of a CSV."""
    try:
        with opened(path, takes) as lines:
            return _few(path, (json.loads(line) for line in lines if line.strip()), wanted)
    except (ValueError, RecursionError, AttributeError) as exc:
        if isinstance(exc, UnreadableData):
            raise
        raise UnreadableData(
            f"{visible(path.name)} is no JSONL that can be read ({exc}); {takes}. Write one of "
            "these, or give the id of a run."
        ) from exc


@contextmanager
def opened(path: Path, takes: str) -> Iterator[Iterator[str]]:
    """The lines of a file of text. Raises UnreadableData, also while it is read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield _lines(path, file)
    except (OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, exc, takes) from exc


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise UnreadableData(
                f"{visible(path.name)} has a line of more than {LONGEST:,} characters; up to so "
                "many are read. Leave out columns of text."
            )
        yield line


def _cells(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for row in csv.DictReader(lines):
        yield {k: v for k, v in row.items() if k is not None}


def _few(path: Path, rows: Iterable[Row], wanted: Container[str]) -> list[dict[str, Any]]:
    """The first row, which says what there is, and of the others what is wanted."""
    found = list[dict[str, Any]]()
    for row in rows:
        if len(found) == MOST_ROWS:
            raise UnreadableData(
                f"{visible(path.name)} has more than {MOST_ROWS:,} rows; up to so many are read. "
                "Export every tenth step."
            )
        is_kept = [not found or str(name).strip().lower() in wanted for name in row]
        found.append({k: row[k] for k, kept in zip(row, is_kept, strict=True) if kept})
    return found


def read_json(path: Path, takes: str) -> Any:
    """What a JSON file holds, or the list of what its lines hold. Raises UnreadableData."""
    text = read_text(path, takes)
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as exc:
        raise UnreadableData(
            f"{visible(path.name)} is no JSON that can be read ({exc}); {takes}. Write one of "
            "these, or give the id of a run."
        ) from exc


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line) for line in lines]


def plain(row: Row) -> dict[str, Any]:
    """With names in lower case, as tools differ in that alone."""
    return {str(name).strip().lower(): value for name, value in row.items()}


def is_summary(row: Row) -> bool:
    """Whether it sums up a whole run."""
    return any(row.get(name) not in (None, "") for name in SUMMARY)
