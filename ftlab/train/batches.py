"""The rows of a job as they train; which of them a step sees follows from seed and epoch alone."""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ftlab.data.chat import IGNORED, Tokens
from ftlab.data.rows import Rows
from ftlab.data.template import CannotRender
from ftlab.errors import UnreadableData
from ftlab.packs import packed
from ftlab.pieces import PIECE_TOKENS, piece_sizes


class Example(NamedTuple):
    """A sequence as the model sees it, cut to max_seq_length."""

    ids: array[int]
    labels: array[int]
    weight: float
    was_cut: bool
    line: int = 0
    """Of its file, from 1; 0 for what is of none."""

    @classmethod
    def of(cls, tokens: Tokens, longest: int) -> Example:
        """The first `longest` tokens of a sequence."""
        cut = tokens.cut(longest)
        return cls(array("i", cut.ids), array("i", cut.labels), cut.weight, cut is not tokens)

    @property
    def n_trained(self) -> int:
        """Tokens that add to the loss."""
        return sum(label != IGNORED for label in self.labels[1:])

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def n_tokens(self) -> int:
        return len(self.ids)

    @property
    def places(self) -> int:
        """Places that it takes where rows are padded to its length."""
        return len(self.ids)

    def at(self, line: int) -> Example:
        """The same, as of that line."""
        return self._replace(line=line)

    def stretched(self, length: int) -> Example:
        """As long as that, by going through its tokens again."""
        times = -(-length // len(self.ids))
        ids, labels = (array("i", list(part) * times)[:length] for part in self[:2])
        return self._replace(ids=ids, labels=labels)


NOTHING = Example(array("i", [0, 0]), array("i", [0, 0]), 0.0, was_cut=False)
"""A token that trains, without weight."""


@dataclass(slots=True)
class Pair:
    """Two answers to the same input."""

    chosen: Example
    rejected: Example
    reference: tuple[float, float] | None = None
    """Log-probabilities of both before training, once they are known."""
    line: int = 0
    """Of its file, from 1; 0 for what is of none."""

    @property
    def weight(self) -> float:
        return self.chosen.weight

    @property
    def was_cut(self) -> bool:
        return self.chosen.was_cut or self.rejected.was_cut

    @property
    def n_trained(self) -> int:
        """Tokens that add to the loss."""
        return self.chosen.n_trained + self.rejected.n_trained

    @property
    def length(self) -> int:
        """Of the longer one."""
        return max(self.chosen.length, self.rejected.length)

    @property
    def n_tokens(self) -> int:
        return self.chosen.n_tokens + self.rejected.n_tokens

    @property
    def places(self) -> int:
        """Places that both take where rows are padded to the longer one."""
        return 2 * self.length

    def at(self, line: int) -> Pair:
        """The same, as of that line."""
        return replace(self, line=line)

    def stretched(self, length: int) -> Pair:
        """Both as long as that."""
        return Pair(self.chosen.stretched(length), self.rejected.stretched(length))


Row = Example | Pair
"""A row of the file as it trains."""


class Packs:
    """Rows packed into sequences; as many of them in every epoch, of other rows."""

    def __init__(self, lengths: Sequence[int], longest: int) -> None:
        self._lengths, self._longest = lengths, longest
        self.n = len(packed(lengths, longest))

    def order(self, seed: int, epoch: int) -> list[list[int]]:
        """The packs of an epoch in their order, each with its rows' indices."""
        rows = order(len(self._lengths), seed, epoch)
        packs = packed([self._lengths[row] for row in rows], self._longest)
        random.Random(f"{seed}:{epoch}:packs").shuffle(packs)
        return [[rows[place] for place in pack] for pack in packs]


class Examples:
    """Some rows of a file as they train; each is tokenised when it is first used."""

    def __init__(
        self, rows: Rows, places: Sequence[int], read: Callable[[dict[str, Any]], Row]
    ) -> None:
        """`read` tokenises a row and cuts it."""
        self._rows, self._places, self._as_trained = rows, list(places), read
        self._known: dict[int, Row] = {}
        self._packs: Packs | None = None

    def pack(self, longest: int) -> None:
        """From now on a step takes sequences of up to `longest` tokens, of several rows each;
        tokenises all rows."""
        self._packs = Packs([self[i].n_tokens for i in range(len(self))], longest)

    @property
    def n_sequences(self) -> int:
        """What an epoch is made of: rows, or packs of them."""
        return self._packs.n if self._packs else len(self)

    def order(self, seed: int, epoch: int) -> list[list[int]]:
        """The rows of each sequence of an epoch (from 0); depends on nothing else."""
        if self._packs:
            return self._packs.order(seed, epoch)
        return [[row] for row in order(len(self), seed, epoch)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Row:
        if index not in self._known:
            self._known[index] = self._read(self._places[index])
        return self._known[index]

    def largest(self, n: int) -> list[Row]:
        """Up to `n` rows that take most room in the file, which are not counted as seen."""
        by_size = heapq.nlargest(n, self._places, key=self._rows.size)
        return [self._read(place) for place in by_size]

    @property
    def n_cut(self) -> int:
        """Examples so far that lost their end."""
        return sum(example.was_cut for example in self._known.values())

    def too_long(self) -> list[int]:
        """Lines of the file that are longer than max_seq_length; reads all rows."""
        return [self.line(i) for i in range(len(self)) if self[i].was_cut]

    def without_too_long(self) -> Examples:
        """Only the rows that fit."""
        kept = [place for i, place in enumerate(self._places) if not self[i].was_cut]
        return Examples(self._rows, kept, self._as_trained)

    def line(self, index: int) -> int:
        """The line in the file, from 1."""
        return self._rows.line_number(self._places[index])

    def _read(self, place: int) -> Row:
        number = self._rows.line_number(place)
        try:
            return self._as_trained(self._rows[place]).at(number)
        except (CannotRender, UnreadableData) as exc:
            raise UnreadableData(f"{self._rows.path.name} line {number}: {exc}") from exc


def order(n_rows: int, seed: int, epoch: int) -> list[int]:
    """The order of the rows in an epoch (from 0); depends on nothing but the arguments."""
    indices = list(range(n_rows))
    random.Random(f"{seed}:{epoch}").shuffle(indices)
    return indices


def some_rows(places: Sequence[int], at_most: int | None, seed: int) -> list[int]:
    """At most so many of the rows, drawn by the seed, in the order of the file."""
    if at_most is None or at_most >= len(places):
        return list(places)
    return sorted(random.Random(f"{seed}:rows").sample(list(places), at_most))


def steps_of_epoch(
    examples: Examples, per_step: int, seed: int, epoch: int, start: int = 0
) -> Iterator[list[Row]]:
    """The rows of each step from the `start`-th (from 0) on; the last one takes what is left."""
    sequences = examples.order(seed, epoch)
    for first in range(start * per_step, len(sequences), per_step):
        yield [examples[i] for rows in sequences[first : first + per_step] for i in rows]


def pieces(
    rows: Sequence[Row],
    max_rows: int | None,
    max_tokens: int = PIECE_TOKENS,
    *,
    padded: bool = False,
) -> Iterator[list[Row]]:
    """Cut a step so that each piece fits in memory, by the rule of `ftlab.pieces`.

    Rows that are padded go with others of like length; the order within a step does not change its
    gradient.
    """
    ordered = sorted(rows, key=lambda row: row.length, reverse=True) if padded else list(rows)
    sizes = [row.places if padded else row.n_tokens for row in ordered]
    start = 0
    for size in piece_sizes(sizes, max_rows, max_tokens, padded=padded):
        yield ordered[start : start + size]
        start += size
