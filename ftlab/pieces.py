"""How a step is cut into pieces that fit in memory: one rule for the trainer and the estimates.

The rows of a piece lie end to end; a few models can't take them so, and theirs are padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

PIECE_TOKENS = 4096
"""A step is cut into pieces of at most so many tokens to bound the memory; of a pair both answers
count."""


class Piece(NamedTuple):
    """Rows that go through the model at once."""

    tokens: float
    squares: float
    """Tokens × tokens of each row, added up: what attention goes through, twice over."""
    longest: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Piece:
        """The piece of rows of these lengths."""
        rows = list(lengths)
        return cls(sum(rows), sum(length * length for length in rows), max(rows, default=0))


def piece_sizes(
    lengths: Sequence[int],
    max_rows: int | None = None,
    max_tokens: int = PIECE_TOKENS,
    *,
    padded: bool = False,
) -> list[int]:
    """Rows of each piece, for the lengths of a step's rows in their order.

    A piece takes rows as long as all of them stay within `max_tokens`, padding included; a longer
    row goes alone. What is padded comes in falling order.
    """
    sizes: list[int] = []
    tokens = first = 0
    for length in lengths:
        taken = first if padded else length
        if sizes and tokens + taken <= max_tokens and sizes[-1] != max_rows:
            sizes[-1] += 1
            tokens += taken
        else:
            sizes.append(1)
            tokens = first = length
    return sizes


def typical_pieces(
    lengths: Mapping[int, int], rows: int, max_rows: int | None = None
) -> tuple[Piece, float]:
    """A piece as most are, and how many of them a step of so many rows makes.

    `lengths` is length → sequences of the file, of which there is one at least.
    """
    n_rows = sum(lengths.values())
    tokens = sum(length * n for length, n in lengths.items()) / n_rows
    squares = sum(length * length * n for length, n in lengths.items()) / n_rows
    most = min(rows, max_rows or rows, max(PIECE_TOKENS / max(tokens, 1), 1))
    piece = Piece(most * tokens, most * squares, round(tokens))
    return piece, rows / most


def largest_piece(
    lengths: Mapping[int, int], rows: int, max_rows: int | None = None, steps: int = 1
) -> Piece:
    """The piece that takes most memory, of `steps` steps of so many rows: the longest row alone, or
    rows that happen to be long together.

    Of n draws of a sum the largest is about √(2 ln n) standard deviations above the mean.
    """
    longest, n_rows = max(lengths, default=0), max(sum(lengths.values()), 1)
    most = min(rows, max_rows or rows, n_rows)
    mean = sum(length * n for length, n in lengths.items()) / n_rows
    spread = sum((length - mean) ** 2 * n for length, n in lengths.items()) / n_rows
    drawn = most * mean + math.sqrt(2 * math.log(max(steps, 1)) * most * spread)
    highest = min(drawn, _of_longest(lengths, most), PIECE_TOKENS)
    if highest <= longest:
        return Piece(longest, longest * longest, longest)
    return Piece(highest, highest * longest, longest)


def _of_longest(lengths: Mapping[int, int], rows: int) -> float:
    """Tokens of so many of the longest rows."""
    tokens, left = 0.0, rows
    for length in sorted(lengths, reverse=True):
        taken = min(lengths[length], left)
        tokens, left = tokens + taken * length, left - taken
    return tokens
