"""A source as blocks of lines, so that memory stays flat and other threads have work in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO, FileIO
from pathlib import Path
from typing import NamedTuple

BLOCK_SIZE = 1 << 19
"""Bytes: half a megabyte stays in a processor's cache and holds hundreds of rows."""
LONGEST_LINE = 1 << 26
"""Bytes. A longer line is no training row; it is passed over in pieces and reported."""


class Block(NamedTuple):
    """Consecutive lines of a source."""

    first: int
    """Number of the first line, from 1."""
    lines: list[bytes]
    """With their newlines. A line that was too long is `TOO_LONG`."""
    data: bytes
    """The lines as they stand in the file."""
    end: int
    """Bytes of the source up to here."""


TOO_LONG = b"\x00ftlab: line too long"


def file_blocks(path: Path, size: int = BLOCK_SIZE) -> Iterator[Block]:
    """The blocks of a JSONL file. Raises OSError."""
    number, end, rest = 1, 0, b""
    with path.open("rb", buffering=0) as stream:
        while data := stream.read(size):
            end += len(data)
            lines = BytesIO(data).readlines()
            last = b"" if lines[-1].endswith(b"\n") else lines.pop()
            if not lines:
                rest += last
                if len(rest) > LONGEST_LINE:
                    skipped, rest = _skip_line(stream, size)
                    end += skipped
                    yield Block(number, [TOO_LONG], b"", end - len(rest))
                    number += 1
                continue
            lines[0] = rest + lines[0]
            rest = last
            yield Block(number, lines, b"".join(lines), end - len(rest))
            number += len(lines)
    if rest:
        yield Block(number, [rest], rest, end)


def _skip_line(stream: FileIO, size: int) -> tuple[int, bytes]:
    """Read on to the next newline: (bytes read, what stands behind the newline)."""
    skipped = 0
    while data := stream.read(size):
        skipped += len(data)
        cut = data.find(b"\n") + 1
        if cut:
            return skipped, data[cut:]
    return skipped, b""


def line_blocks(lines: Iterable[tuple[int, bytes]], size: int = BLOCK_SIZE) -> Iterator[Block]:
    """The blocks of numbered lines that come from elsewhere (an array, a table, an iterable)."""
    first, held, length, end = 1, [], 0, 0
    for number, line in lines:
        if not held:
            first = number
        held.append(line + b"\n")
        length += len(held[-1])
        if length >= size or number - first + 1 > len(held):
            end += length
            yield Block(first, held, b"".join(held), end)
            held, length = [], 0
    if held:
        yield Block(first, held, b"".join(held), end + length)
