"""How a step is cut into pieces that fit in memory: one rule for the trainer and the estimates.

The rows of a piece lie end to end; a few models can't take them so, and theirs are padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple

PIECE_TOKENS = 4096
"""A step is cut into pieces of at most so many tokens to bound the memory; of a pair both answers
count."""
LOGITS = 2**23
"""Values of the output head that are there at once, 32 MiB in float32."""
NARROW = 0.9
"""Share of the tokens of a piece that train, up to which the last layer leaves out the others."""
LONG = 192
"""Tokens from which on a CPU attends within a sequence in bfloat16, where it computes so; in
float32 it is quicker with fewer."""
GRADIENTS = 2**25
"""Values that several processes sum in one go, out of a copy: 128 MiB in float32."""


class Piece(NamedTuple):
    """Rows that go through the model at once."""

    tokens: float
    squares: float
    """Tokens × tokens of each sequence, added up: what attention goes through, twice over."""
    behind: float = 0.0
    """Tokens of sequences that stand behind a beginning they share, each with all of it."""
    masked: float = 0.0
    """Pairs of tokens that a mask is made for: those of them with all before."""

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Piece:
        """The piece of sequences of these lengths."""
        rows = list(lengths)
        return cls(sum(rows), sum(length * length for length in rows))


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


@dataclass(frozen=True)
class StepRows:
    """What the steps of a job are drawn from."""

    lengths: Mapping[int, int]
    """Length in tokens → sequences of the file, cut as the trainer cuts them."""
    per_step: int
    """Rows per step."""
    max_rows: int | None = None
    """Most rows per piece."""
    sequences: int = 1
    """Of a row: 2 for the answers of a pair, taken for equally long."""
    shared: float = 0.0
    """Of all tokens, those that a piece leaves out because the answers of a pair begin alike."""
    longest_of: int | None = None
    """Rows per step of all processes, where these are a share: the first has the longest of all."""

    @cached_property
    def n_rows(self) -> float:
        return max(sum(self.lengths.values()), 1) / self.sequences

    @cached_property
    def tokens(self) -> float:
        """Of a row, on average; of a pair both answers count whole."""
        return sum(length * n for length, n in self.lengths.items()) / self.n_rows

    @property
    def rows_per_piece(self) -> float:
        """As most pieces are."""
        fitting = max(PIECE_TOKENS / max(self.tokens, 1), 1)
        return min(self.per_step, self.max_rows or self.per_step, fitting)

    def piece(self, tokens: float, squares: float) -> Piece:
        """The piece of rows with so many tokens. Where a beginning of p tokens is there once, so
        are its p² pairs."""
        once, own = 1 - self.shared, 1 - 2 * self.shared
        if not self.shared:
            return Piece(tokens, squares)
        return Piece(tokens * once, squares * (1 - 2 * self.shared**2), tokens, own * squares)


def typical_piece(rows: StepRows) -> Piece:
    """A piece as most are; of the file there is a row at least."""
    squares = sum(length * length * n for length, n in rows.lengths.items()) / rows.n_rows
    return rows.piece(rows.rows_per_piece * rows.tokens, rows.rows_per_piece * squares)


def largest_piece(rows: StepRows, steps: int = 1) -> Piece:
    """The piece with most tokens, of so many steps: the longest row alone, or rows that happen to
    be long together.

    Of n draws the largest is where (n − 3/8) / (n + 1/4) of the distribution lie below (Blom,
    1958), which for sums of rows is a normal one.
    """
    each, longest = rows.sequences, _longest_drawn(rows, steps)
    most, mean = _most_rows(rows), rows.tokens
    spread = sum((each * length - mean) ** 2 * n for length, n in rows.lengths.items())
    deviation = math.sqrt(most * spread / max(sum(rows.lengths.values()), 1))
    above = NormalDist().inv_cdf(_blom(steps * max(rows.per_step / most, 1)))
    drawn = most * mean + above * deviation
    tokens = max(min(drawn, _of_longest(rows, most), PIECE_TOKENS), each * longest)
    return rows.piece(tokens, tokens * longest)


def _blom(n: float) -> float:
    return (n - 3 / 8) / (n + 1 / 4)


def _longest_drawn(rows: StepRows, steps: int) -> int:
    """Length of the longest sequence in so many steps; of the file, once they see all of it."""
    n, left = steps * (rows.longest_of or rows.per_step), 0.0
    if n < rows.n_rows:
        left = (1 - _blom(n * rows.sequences)) * sum(rows.lengths.values())
    for length in sorted(rows.lengths, reverse=True):
        left -= rows.lengths[length]
        if left <= 0:
            return length
    return 0


def _most_rows(rows: StepRows) -> int:
    """Rows that may meet in a piece."""
    shortest = rows.sequences * max(min(rows.lengths, default=1), 1)
    fitting = max(PIECE_TOKENS // shortest, 1)
    return min(rows.per_step, rows.max_rows or fitting, fitting, math.ceil(rows.n_rows))


def _of_longest(rows: StepRows, n_rows: int) -> float:
    """Tokens of so many of the longest rows."""
    tokens, left = 0.0, n_rows * rows.sequences
    for length in sorted(rows.lengths, reverse=True):
        taken = min(rows.lengths[length], left)
        tokens, left = tokens + taken * length, left - taken
    return tokens
