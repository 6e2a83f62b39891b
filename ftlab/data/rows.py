"""The rows of a JSONL file: one line at a time, or any one of them by its place."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ftlab.data.formats import Problem
from ftlab.errors import UnreadableData

BOM = b"\xef\xbb\xbf"
READ_SIZE = 1 << 20


class BadLine(UnreadableData):
    """A line that is no JSON object; `.problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_line(line: bytes) -> dict[str, Any]:
    """The row on a line. Raises BadLine."""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise BadLine(
            Problem(
                "not_utf8",
                "",
                f"Byte {exc.start + 1} of the line is {line[exc.start]:#04x}, which is not UTF-8; "
                "a file is UTF-8 throughout. Save it with that encoding.",
            )
        ) from exc
    except (ValueError, RecursionError) as exc:
        reason = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise BadLine(
            Problem(
                "not_json",
                "",
                f"The line is not JSON ({reason}); each line takes one JSON object. "
                "Correct it or take it out.",
            )
        ) from exc
    if not isinstance(row, dict):
        raise BadLine(
            Problem(
                "not_object",
                "",
                f"The line is a JSON {type(row).__name__}; each line takes one JSON object. "
                'Write {"messages": …}, {"prompt": …, "completion": …} or {"text": …}.',
            )
        )
    return row


def iter_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, raw line) of a file, blank lines included."""
    with path.open("rb", buffering=READ_SIZE) as stream:
        yield from enumerate(stream, start=1)


class Rows:
    """The non-blank lines of a JSONL file, each readable by its place without the others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array("q")
        self._numbers = array("q")
        self._version = _version(path)
        position = 0
        for number, line in iter_lines(path):
            if line.removeprefix(BOM if position == 0 else b"").strip():
                self._starts.append(position)
                self._numbers.append(number)
            position += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def line_number(self, index: int) -> int:
        """The line in the file, from 1."""
        return self._numbers[index]

    def line(self, index: int) -> bytes:
        """The raw line, without a byte order mark at the start of the file.

        Raises UnreadableData when the file has changed since its lines were counted.
        """
        if _version(self.path) != self._version:
            raise UnreadableData(
                f"{self.path.name} was changed while it was read; its rows must stay as they are "
                "until then. Start again."
            )
        with self.path.open("rb") as stream:
            stream.seek(self._starts[index])
            return stream.readline().removeprefix(BOM if self._starts[index] == 0 else b"")

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The row. Raises BadLine."""
        return parse_line(self.line(index))


def _version(path: Path) -> tuple[int, ...]:
    """Differs when a file was written to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def split(rows: Rows, share: float) -> tuple[list[int], list[int]]:
    """Places of the (training, validation) rows. Decided by each row's own content, so that equal
    rows stay on one side and adding rows moves none of the others."""
    sides: tuple[list[int], list[int]] = ([], [])
    for index in range(len(rows)):
        sides[_unit_hash(rows.line(index).strip()) < share].append(index)
    return sides


def _unit_hash(data: bytes) -> float:
    """A number from 0 to 1 that depends on nothing but the bytes."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") / 2**64
