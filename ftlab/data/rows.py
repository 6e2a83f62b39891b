"""The rows of a JSONL file: one line at a time, or any one of them by its place."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ftlab.data.almost_json import as_rows
from ftlab.data.formats import detect, repeated_keys, row_problems
from ftlab.data.problems import (
    BOTH,
    LOCAL,
    NOBODY,
    TOGETHER,
    Parsed,
    Problem,
    Repeated,
    about_whole,
    refused_by,
)
from ftlab.errors import UnreadableData

BOM = b"\xef\xbb\xbf"
READ_SIZE = 1 << 20


class BadLine(UnreadableData):
    """A line that is no JSON object; `.problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def is_blank(line: bytes) -> bool:
    """Whether a line holds white space only, of whatever kind, as the hosted service sees it."""
    rest = line.strip()
    if not rest or 0x20 < rest[0] < 0x80:
        return not rest
    return not line.decode("utf-8", "replace").strip()


def parse_line(line: bytes) -> dict[str, Any]:
    """The row on a line, `Parsed` where its line has faults that its values do not show.

    Raises BadLine.
    """
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise BadLine(_not_utf8(line, exc)) from exc
    if not text:
        raise BadLine(BLANK_LINE)
    try:
        row = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        pieces = _split_at_returns(text)
        raise BadLine(_returns_between(pieces) if pieces else _not_json(text, exc)) from exc
    if not isinstance(row, dict):
        raise BadLine(_not_object(row))
    problems = [repeated_keys(row.names, "")] if isinstance(row, Repeated) else []
    if "\r" in text:
        problems.append(RETURN_INSIDE)
    if problems:
        row = Parsed(row)
        row.problems = tuple(problems)
    return row


def row_or_text(line: bytes) -> Any:
    """The row on a line, or the line itself where it holds none."""
    try:
        return parse_line(line)
    except BadLine:
        return line.decode("utf-8", "replace").rstrip("\n")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that remembers the keys that stood twice."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    counts = Counter(key for key, _ in pairs)
    repeated = Repeated(found)
    repeated.names = tuple(key for key, n in counts.items() if n > 1)
    return repeated


def _split_at_returns(text: str) -> list[dict[str, Any]]:
    """The rows of what should be one line, where a lone carriage return ends each; else none."""
    if "\r" not in text:
        return []
    try:
        rows = [parse_line(piece.encode()) for piece in text.split("\r") if piece.strip()]
    except UnreadableData:
        return []
    return rows


# --- what can be wrong with a line -----------------------------------------------------------


BLANK_LINE = about_whole(
    "blank_line",
    "The line is blank; each line holds one row. Nothing is lost, it is passed over.",
    blocks=NOBODY,
    level="tip",
    fix="blank_line",
)
RETURN_INSIDE = about_whole(
    "carriage_return",
    "The row holds a carriage return between its values, which ends a line for the hosted service; "
    "a row stands on one line. Take the carriage returns out.",
    blocks=TOGETHER,
    fix="line_endings",
)


def _returns_between(rows: list[dict[str, Any]]) -> Problem:
    """The hosted service takes them for lines, and so refuses only what is wrong with the rows."""
    refused = len({known.name for row in rows if (known := detect(row))}) > 1 or any(
        refused_by("together", row_problems(row)) for row in rows
    )
    return about_whole(
        "rows_on_one_line" if refused else "return_as_newline",
        f"The line holds {len(rows)} rows with a carriage return between them; a newline ends a "
        "row. Save the file with newlines.",
        blocks=BOTH if refused else LOCAL,
        fix="line_endings",
    )


def _not_utf8(line: bytes, exc: UnicodeDecodeError) -> Problem:
    return about_whole(
        "not_utf8",
        f"Byte {exc.start + 1} of the line is {line[exc.start]:#04x}, which is not UTF-8; "
        "a file is UTF-8 throughout. Save it with that encoding.",
        fix="encoding",
    )


def _not_json(text: str, exc: ValueError | RecursionError) -> Problem:
    cure = _cure(text) if isinstance(exc, json.JSONDecodeError) else ""
    advice = "What it means is certain: repair the file." if cure else "Correct it or take it out."
    return about_whole(
        "not_json",
        f"The line is not JSON ({_reason(text, exc)}); each line takes one JSON object. {advice}",
        value=cure,
        fix=cure,
    )


def _cure(text: str) -> str:
    """The repair that makes JSON of a line, where one does."""
    if _is_object(text.lstrip("\ufeff")):
        return "byte_order_mark"
    if _is_object(text, strict=False):
        return "control_characters"
    return "" if as_rows(text) is None else "json_syntax"


def _is_object(text: str, *, strict: bool = True) -> bool:
    try:
        return isinstance(json.loads(text, strict=strict), dict)
    except (ValueError, RecursionError):
        return False


def _reason(text: str, exc: ValueError | RecursionError) -> str:
    """Why a text is no JSON, in words of those who write it."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if not isinstance(exc, json.JSONDecodeError):
        return "a number in it has more than 4,300 digits"
    at, here = exc.pos, text[exc.pos : exc.pos + 1]
    if text.startswith("\ufeff"):
        return "it starts with a byte order mark, as where two files were joined"
    if exc.msg.startswith("Extra data"):
        return f"more follows the first value, from column {at + 1}"
    if exc.msg.startswith("Unterminated string") or not here:
        return "it ends in the middle, as where a file was cut or a text has a raw newline"
    if here == "'":
        return f"a single quote at column {at + 1}; JSON has double quotes"
    if here < " ":
        return f"a raw control character, {ord(here):#04x}, at column {at + 1}"
    return f"{exc.msg} at column {at + 1}"


def _not_object(value: Any) -> Problem:
    kinds = {list: "list", str: "text", bool: "true or false", type(None): "null"}
    return about_whole(
        "not_object",
        f"The line is a JSON {kinds.get(type(value), 'number')}; each line takes one JSON object. "
        'Write {"messages": …}, {"prompt": …, "completion": …} or {"text": …}.',
    )


# --- files -----------------------------------------------------------------------------------


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
        self._version = version(path)
        position = 0
        for number, line in iter_lines(path):
            if not is_blank(line.removeprefix(BOM if position == 0 else b"")):
                self._starts.append(position)
                self._numbers.append(number)
            position += len(line)
        self._end = position

    def __len__(self) -> int:
        return len(self._starts)

    def place_of(self, line: int) -> int:
        """The row on a line, or the next one after it, or the last."""
        return min(bisect_left(self._numbers, line), len(self) - 1)

    def size(self, index: int) -> int:
        """Bytes from this row to the next."""
        after = self._starts[index + 1] if index + 1 < len(self) else self._end
        return after - self._starts[index]

    def some(self, lines: list[int] | None, n: int) -> list[tuple[int, Any]]:
        """(line, row) of at most `n` rows, of those on `lines` where given. What is no row comes
        as its text."""
        places = range(len(self)) if lines is None else [self.place_of(line) for line in lines]
        return [(self._numbers[at], row_or_text(self.line(at))) for at in list(places)[:n]]

    def line_number(self, index: int) -> int:
        """The line in the file, from 1."""
        return self._numbers[index]

    def line(self, index: int) -> bytes:
        """The raw line, without a byte order mark at the start of the file.

        Raises UnreadableData when the file has changed since its lines were counted.
        """
        if version(self.path) != self._version:
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


def version(path: Path) -> tuple[int, ...]:
    """Differs when a file was written to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def split(rows: Rows, share: float) -> tuple[list[int], list[int]]:
    """Places of the (training, validation) rows. Decided by each row's own content, so that equal
    rows stay on one side and adding rows moves none of the others."""
    sides: tuple[list[int], list[int]] = ([], [])
    for index, found in enumerate(unit_hashes(rows.path)):
        sides[found < share].append(index)
    return sides


def unit_hashes(path: Path) -> Iterator[float]:
    """A number from 0 to 1 for each row of a file, in its order; those below a share are held
    back. Raises OSError."""
    return (_unit_hash(row.strip()) for row in row_lines(path))


def row_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that are rows, as Rows has them. Raises OSError."""
    for number, line in iter_lines(path):
        row = line.removeprefix(BOM) if number == 1 else line
        if not is_blank(row):
            yield row


def _unit_hash(data: bytes) -> float:
    """A number from 0 to 1 that depends on nothing but the bytes."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") / 2**64
