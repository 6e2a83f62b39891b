"""Rows of tables as JSON: CSV records, DataFrames, and objects whose columns all rows share."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from ftlab.data import source_problems
from ftlab.data.problems import Problem
from ftlab.data.rows import BOM

BATCH = 256
"""Rows that are in memory at a time."""
LONGEST_CELL = 1 << 24
"""Characters. A longer cell is a quote that was never closed."""
SHOWN = 1000
"""Characters kept of a record that could not be read."""
# Columns whose cells hold JSON, where a table has no other way to say it.
NESTED = ("messages", "conversations", "tools", "preferred_output", "non_preferred_output")
# Tables give every object the keys of all others; only in these does an empty value say something.
_OF_MESSAGES = frozenset({"role", "content", "from", "value"})
_OF_ROWS = frozenset({"text", "prompt", "completion", "messages", "conversations", "input"})
_OF_PAIRS = frozenset({"preferred_output", "non_preferred_output", "chosen", "rejected"})
MAY_BE_NULL = _OF_MESSAGES | _OF_ROWS | _OF_PAIRS | {"instruction", "output"}


def as_line(row: Any, errors: str = "strict") -> bytes:
    """A value as JSON on one line. Raises TypeError, ValueError or RecursionError."""
    if isinstance(row, Mapping) and not isinstance(row, dict):
        row = dict(row)
    text = json.dumps(row, ensure_ascii=False, default=_plain)
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return json.dumps(row, default=_plain).encode()


def pruned(value: Any) -> Any:
    """Without the empty keys that a table invents."""
    if isinstance(value, dict):
        return {
            key: pruned(inner)
            for key, inner in value.items()
            if inner is not None or key in MAY_BE_NULL
        }
    return [pruned(inner) for inner in value] if isinstance(value, list) else value


def frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a DataFrame, read in slices; a missing value is none."""
    names = [str(name) for name in frame.columns]
    for start in range(0, len(frame), BATCH):
        part = frame.iloc[start : start + BATCH]
        missing = part.isna().to_numpy()
        cells = [part.iloc[:, place].tolist() for place in range(len(names))]
        for gone, *values in zip(missing, *cells, strict=True):
            present = (None if none else value for none, value in zip(gone, values, strict=True))
            yield pruned(dict(zip(names, present, strict=True)))


def csv_rows(
    lines: Iterator[bytes], note: Callable[[Problem], None], *, name: str
) -> Iterator[bytes]:
    """An object per record; a record that does not fit the header is an array of its cells, and
    one that can't be read is its text."""
    first = next(lines, b"").removeprefix(BOM)
    counts = {mark: first.count(mark.encode()) for mark in ",;\t|"}
    records = _records(chain([first], lines), max(counts, key=counts.__getitem__))
    names = next(records, "")
    if isinstance(names, str) or not any(column.strip() for column in names):
        note(source_problems.no_header(name))
        return
    if len(set(names)) < len(names):
        note(source_problems.names_twice(name, names))
    for number, cells in enumerate(records, start=1):
        if isinstance(cells, str):
            note(source_problems.bad_record(name, number, cells))
            yield as_line(cells, "surrogateescape")
        elif len(cells) != len(names):
            note(source_problems.ragged(name, number, len(cells), len(names)))
            yield as_line(cells, "surrogateescape")
        else:
            row = dict(zip(names, map(_nested, names, cells), strict=True))
            yield as_line(row, "surrogateescape")  # bytes that were no UTF-8 come back


def _records(lines: Iterable[bytes], mark: str) -> Iterator[list[str] | str]:
    """Lists of cells; of a record that can't be read, why and how it begins."""
    begins: list[str] = []

    def texts() -> Iterator[str]:
        for line in lines:
            text = line.decode("utf-8", "surrogateescape")
            if len(begins) < 3:
                begins.append(text[:SHOWN])
            yield text

    reader = csv.reader(texts(), delimiter=mark, strict=True)
    while True:
        begins.clear()
        before = csv.field_size_limit(LONGEST_CELL)  # of the whole process, so only for one record
        try:
            cells: list[str] | str = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            cells = f"{exc}: {''.join(begins)[:SHOWN]}"
        finally:
            csv.field_size_limit(before)
        if cells:
            yield cells


def _nested(name: str, cell: str) -> Any:
    """What a cell says: JSON in the columns that can only hold that, else its text."""
    if name not in NESTED or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _plain(value: Any) -> Any:
    """What JSON has for the values that tables hold."""
    if isinstance(value, Mapping):
        return dict(value)
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
