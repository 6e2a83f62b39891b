"""Cuts JSON that is not one value per line (an array, pretty-printed objects) into its values.

Nothing is decoded: a value stays the bytes that it is in the file, so that the fault of one row
(NaN, a doubled key, a number of 10,000 digits) is found by whoever reads it and stops no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Literal

from ftlab.data.blocks import LONGEST_LINE, TOO_LONG
from ftlab.data.problems import Problem, about_whole
from ftlab.data.rows import BOM

READ_SIZE = 1 << 20
Shape = Literal["lines", "array", "values"]

# Without possessive quantifiers, which Python 3.11.2 gets wrong in groups; none of these fails
# after a match, so there is nothing to go back to.
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_INSIDE = re.compile(rb'(?:[^"\[\]{}]+|' + _STRING + rb")*", re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]+|' + _STRING + rb")*", re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)


def shape_of(head: bytes, suffix: str) -> Shape:
    """How the values stand in a text, by its first megabyte: one per line, in an array, or one
    after the other over several lines."""
    text = head.removeprefix(BOM).lstrip()
    first, _, rest = text.partition(b"\n")
    if _is_json(first):
        return "array" if text.startswith(b"[") and not rest.strip() else "lines"
    if text.startswith(b"["):
        return "array"
    if not text.startswith(b"{"):
        return "lines"
    value = next(_Cutter(in_array=False).feed(text), None)
    if value is None:
        return "values" if suffix == ".json" else "lines"
    return "values" if _is_json(value) and not first.startswith(value) else "lines"


def elements(
    stream: IO[bytes], note: Callable[[Problem], None], *, name: str, in_array: bool
) -> Iterator[bytes]:
    """The values of a text, each on one line. `note` is told when the text ends too early, or
    goes on behind its array."""
    cutter = _Cutter(in_array=in_array)
    start = _after_mark(stream, in_array=in_array)
    while chunk := start or stream.read(READ_SIZE):
        start = b""
        yield from cutter.feed(chunk)
        if cutter.ended:
            if cutter.rest.strip() or _has_more(stream):
                note(_goes_on(name, cutter.count))
            return
    if in_array or cutter.depth:
        note(_not_closed(name, cutter.count))
    if last := cutter.last():
        yield last


def _after_mark(stream: IO[bytes], *, in_array: bool) -> bytes:
    """The first bytes of the text, behind a byte order mark and the bracket of the array."""
    start = stream.read(READ_SIZE).removeprefix(BOM).lstrip()
    return start[1:] if in_array else start


def _has_more(stream: IO[bytes]) -> bool:
    while chunk := stream.read(READ_SIZE):
        if chunk.strip():
            return True
    return False


class _Cutter:
    """Follows brackets and quotes through chunks, and gives each value when it ends."""

    def __init__(self, *, in_array: bool) -> None:
        self.base = self.depth = int(in_array)
        self.count = 0
        """Values given."""
        self.ended = False
        self.rest = b""
        """What stood in the last chunk behind the end of the array."""
        self._in_string = self._escaped = self._too_long = False
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        start, at = 0, int(self._escaped)
        self._escaped = False
        while (at := self._skip(chunk, at)) < len(chunk):
            letter = chunk[at : at + 1]
            at += 1
            if not self._ends_value(letter):
                continue
            if value := self._take(
                chunk[start : at if self.base == 0 and letter != b"," else at - 1]
            ):
                yield value
            start = at
            if self.ended:
                self.rest = chunk[at:]
                return
        self._keep(chunk[start:])

    def last(self) -> bytes:
        """What stands behind the last value that ended."""
        return self._take(b"")

    def _skip(self, chunk: bytes, at: int) -> int:
        """The next place where the depth may change, a string is cut, or a value may end."""
        if self._in_string:
            pattern = _REST_OF_STRING
        else:
            pattern = _BETWEEN if self.depth == self.base else _INSIDE
        found = pattern.match(chunk, at)
        return found.end() if found else at

    def _ends_value(self, letter: bytes) -> bool:
        if letter == b"\\":
            self._escaped = True  # the chunk ends between it and what it escapes
        elif letter == b'"':
            self._in_string = not self._in_string
        elif letter == b",":
            return True
        elif letter in b"[{":
            self.depth += 1
        elif self.depth > self.base:
            self.depth -= 1
            return self.depth == self.base == 0
        elif self.base and letter == b"]":
            self.ended = True
            return True
        return False

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LONGEST_LINE:
            self._too_long = True
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def _take(self, piece: bytes) -> bytes:
        self._keep(piece)
        value = TOO_LONG if self._too_long else _on_one_line(b"".join(self._pieces).strip())
        self._pieces.clear()
        self._size, self._too_long = 0, False
        self.count += bool(value)
        return value


def _on_one_line(value: bytes) -> bytes:
    """Without line breaks, where it is JSON: there they can only stand between its parts."""
    if b"\n" not in value and b"\r" not in value:
        return value
    return value.translate(_BREAKS) if _is_json(value) else value


_BREAKS = bytes(32 if byte in b"\r\n" else byte for byte in range(256))


def _is_json(value: bytes) -> bool:
    try:
        json.loads(value.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return False
    return True


def _not_closed(name: str, count: int) -> Problem:
    return about_whole(
        "json_not_closed",
        f"{name} ends inside its JSON, after {count:,} whole values; every bracket and quote that "
        "opens must close. Get the whole file, or mend the row after those.",
    )


def _goes_on(name: str, count: int) -> Problem:
    return about_whole(
        "json_goes_on",
        f"{name} goes on behind its array of {count:,} values; nothing may follow it, and what "
        "does was not read. Write one JSON object per line.",
    )
