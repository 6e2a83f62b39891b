"""Tables that other tools write: what stands in a CSV, JSON or JSONL file, as they name it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.html import visible

LARGEST = 64_000_000  # bytes; the curve of a million steps has fewer
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
        raise UnreadableData(
            f"{visible(str(path))} can't be read ({exc}); {takes}. Name one of these, or a run."
        ) from exc
    raise UnreadableData(
        f"{visible(str(path))} has {size:,} bytes; up to {LARGEST:,} are read. Export fewer "
        "columns, or fewer steps."
    )


def read_csv(path: Path, takes: str) -> list[dict[str, Any]]:
    """The rows of a CSV; cells beyond its columns are left out. Raises UnreadableData."""
    lines = io.StringIO(read_text(path, takes))
    try:
        return [{k: v for k, v in row.items() if k is not None} for row in csv.DictReader(lines)]
    except csv.Error as exc:
        raise UnreadableData(
            f"{visible(path.name)} is no CSV that can be read ({exc}); a cell has up to "
            f"{csv.field_size_limit():,} characters, and {takes}. Leave out columns of text."
        ) from exc


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
