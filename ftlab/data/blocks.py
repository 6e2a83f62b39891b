"""A source as blocks of lines, so that memory stays flat and other threads have work in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
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
"""Stands for such a line; another that says the same is another object."""


def file_blocks(path: Path, size: int = BLOCK_SIZE) -> Iterator[Block]:
    """The blocks of a JSONL file. Raises OSError."""
    number, end, rest, too_long = 1, 0, b"", False
    with path.open("rb", buffering=0) as stream:
        while data := stream.read(size):
            end += len(data)
            if too_long:
                cut = data.find(b"\n") + 1
                if not cut:
                    continue
                data, too_long = data[cut:], False
                yield Block(number, [TOO_LONG], b"", end - len(data))
                number += 1
            if b"\n" not in data:
                rest += data
                too_long = len(rest) > LONGEST_LINE
                rest = b"" if too_long else rest
                continue
            lines = BytesIO(rest + data).readlines()
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield Block(number, lines, b"".join(lines), end - len(rest))
            number += len(lines)
    if too_long:
        yield Block(number, [TOO_LONG], b"", end)
    elif rest:
        yield Block(number, [rest], rest, end)


def line_blocks(lines: Iterable[tuple[int, bytes]], size: int = BLOCK_SIZE) -> Iterator[Block]:
    """The blocks of numbered lines that come from elsewhere (an array, a table, an iterable)."""
    first, held, length, end = 1, [], 0, 0
    for number, line in lines:
        if held and (length >= size or number != first + len(held)):
            end += length
            yield Block(first, held, b"".join(held), end)
            held, length = [], 0
        if not held:
            first = number
        held.append(line if line is TOO_LONG else line + b"\n")
        length += len(held[-1])
    if held:
        yield Block(first, held, b"".join(held), end + length)
