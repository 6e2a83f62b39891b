"""Rows to batches of tensors. Which rows a step sees is a pure function of seed and epoch."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ftlab.data.chat import IGNORED, Tokens
from ftlab.data.rows import Rows
from ftlab.data.template import CannotRender
from ftlab.errors import UnreadableData
from ftlab.pieces import piece_sizes


class Example(NamedTuple):
    """A sequence as the model sees it, cut to max_seq_length."""

    ids: array[int]
    labels: array[int]
    weight: float
    was_cut: bool

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

    def stretched(self, length: int) -> Example:
        """As long as that, by going through its tokens again."""
        times = -(-length // len(self.ids))
        ids, labels = (array("i", list(part) * times)[:length] for part in self[:2])
        return self._replace(ids=ids, labels=labels)


@dataclass(slots=True)
class Pair:
    """Two answers to the same input."""

    chosen: Example
    rejected: Example
    reference: tuple[float, float] | None = None
    """Log-probabilities of both before training, once they are known."""

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

    def stretched(self, length: int) -> Pair:
        """Both as long as that."""
        return Pair(self.chosen.stretched(length), self.rejected.stretched(length))


Row = Example | Pair
"""A row of the file as it trains."""


class Examples:
    """Some rows of a file as they train; each is tokenised when it is first used."""

    def __init__(
        self, rows: Rows, places: Sequence[int], read: Callable[[dict[str, Any]], Row]
    ) -> None:
        """`read` tokenises a row and cuts it."""
        self._rows, self._places, self._as_trained = rows, list(places), read
        self._known: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Row:
        if index not in self._known:
            self._known[index] = self._read(self._places[index])
        return self._known[index]

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
        try:
            return self._as_trained(self._rows[place])
        except (CannotRender, UnreadableData) as exc:
            number = self._rows.line_number(place)
            raise UnreadableData(f"{self._rows.path.name} line {number}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, padded on the right to the longest of them."""

    ids: torch.Tensor
    """(rows, tokens), token ids."""
    labels: torch.Tensor
    """(rows, tokens), -100 where nothing trains; not shifted."""
    mask: torch.Tensor
    """(rows, tokens), 1 for tokens and 0 for padding."""
    weights: torch.Tensor
    """(rows,), what each row's loss is multiplied with."""


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
    examples: Examples, rows_per_step: int, seed: int, epoch: int, skipped: int = 0
) -> Iterator[Any]:
    """The examples of each step but the first `skipped`; the last step takes what is left."""
    indices = order(len(examples), seed, epoch)
    for start in range(skipped * rows_per_step, len(indices), rows_per_step):
        yield [examples[i] for i in indices[start : start + rows_per_step]]


def pieces(examples: Sequence[Row], max_rows: int | None) -> Iterator[list[Row]]:
    """Cut a step so that each piece fits in memory, by the rule of `ftlab.pieces`.

    Rows of like length go together; the order within a step does not change its gradient.
    """
    ordered = sorted(examples, key=lambda e: e.length, reverse=True)
    start = 0
    for size in piece_sizes([example.length for example in ordered], max_rows):
        yield ordered[start : start + size]
        start += size


def collate(examples: Sequence[Example], pad_id: int, device: str) -> Batch:
    """Tensors of examples, padded on the right."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), pad_id, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(examples):
        n = len(example.ids)
        ids[row, :n] = torch.tensor(example.ids)
        labels[row, :n] = torch.tensor(example.labels)
        mask[row, :n] = 1
    weights = torch.tensor([example.weight for example in examples])
    return Batch(*(tensor.to(device) for tensor in (ids, labels, mask, weights)))
