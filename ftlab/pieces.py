"""How a step is cut into pieces that fit in memory: one rule for the trainer and the estimates."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

PIECE_TOKENS = 4096
"""A step is cut into pieces of at most so many tokens, padding included, to bound the memory; of
pairs, so many for the preferred and as many for the other answers."""
TYPICAL_ROWS = 128  # of a step that are looked at; more say nothing new about its padding


class Piece(NamedTuple):
    """Rows that go through the model at once, padded to the longest."""

    rows: int
    length: int
    filled: float = 1.0
    """Part of its places that hold a token, 0 to 1; the rest is padding."""

    @property
    def tokens(self) -> int:
        """Places, padding among them."""
        return self.rows * self.length

    @property
    def lengths(self) -> list[int]:
        """Its rows: the longest, and the others as long as fills it."""
        others = (self.filled * self.tokens - self.length) / max(self.rows - 1, 1)
        return [self.length, *[max(round(others), 1)] * (self.rows - 1)]


def piece_sizes(
    lengths: Sequence[int], max_rows: int | None = None, max_tokens: int = PIECE_TOKENS
) -> list[int]:
    """Rows of each piece, for the lengths of a step's rows in falling order.

    A piece takes rows as long as all of them, padded to its first, stay within `max_tokens`.
    """
    sizes: list[int] = []
    longest = 0
    for length in lengths:
        fits = sizes and (sizes[-1] + 1) * longest <= max_tokens and sizes[-1] != max_rows
        if fits:
            sizes[-1] += 1
        else:
            sizes.append(1)
            longest = length
    return sizes


def cut(lengths: Sequence[int], max_rows: int | None = None) -> list[Piece]:
    """The pieces of a step, from the lengths of its rows in falling order."""
    found: list[Piece] = []
    start = 0
    for size in piece_sizes(lengths, max_rows):
        found.append(_of_rows(lengths[start : start + size]))
        start += size
    return found


def _of_rows(lengths: Sequence[int]) -> Piece:
    """The longest comes first."""
    places = len(lengths) * lengths[0]
    return Piece(len(lengths), lengths[0], sum(lengths) / max(places, 1))


def typical_step(lengths: Mapping[int, int], rows: int) -> list[int]:
    """Lengths of a step's rows in falling order: evenly spread over those of the file.

    `lengths` is length → sequences, of which there is one at least; of a large step so many rows
    are given as say all about its padding.
    """
    ordered = sorted(lengths)
    seen = list(accumulate(lengths[length] for length in ordered))
    wanted = min(rows, TYPICAL_ROWS)
    places = ((i + 0.5) / wanted * seen[-1] for i in range(wanted - 1, -1, -1))
    return [ordered[bisect_left(seen, place)] for place in places]


def largest_pieces(
    lengths: Mapping[int, int], rows: int, max_rows: int | None = None
) -> list[Piece]:
    """The pieces that may take most memory, of all steps of so many rows.

    The longest row alone, and as many rows as make the most places: in a run of some length nearly
    every length comes first in a piece once. `lengths` is length → sequences of the file.
    """
    ordered = sorted(lengths)
    if not ordered:
        return []
    most = min(rows, max_rows or rows, PIECE_TOKENS // max(ordered[0], 1))
    places = ((n, bisect_right(ordered, PIECE_TOKENS // n)) for n in range(2, most + 1))
    several = [(n * ordered[place - 1], n, ordered[place - 1]) for n, place in places if place]
    alone = Piece(1, ordered[-1])
    if not several:
        return [alone]
    _, n, longest = max(several)
    return [alone, _of_rows(_behind(longest, n, typical_step(lengths, rows), rows))]


def _behind(longest: int, n: int, typical: Sequence[int], rows: int) -> list[int]:
    """`n` rows of a step of `rows` of which the first is so long: those that would come next."""
    start = next((i for i, length in enumerate(typical) if length <= longest), len(typical) - 1)
    share = len(typical) / rows  # of a large step only some rows are known
    others = (typical[min(start + int(i * share), len(typical) - 1)] for i in range(1, n))
    return [longest, *(min(length, longest) for length in others)]
