"""Rows that are tokens already: `input_ids`, and `labels` with -100 where nothing trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from ftlab.data.chat import IGNORED
from ftlab.data.problems import LOCAL, NOBODY, Problem
from ftlab.data.stats import TokenStats

FORMAT = "tokenized"


class _Row(msgspec.Struct, gc=False):
    input_ids: list[int]
    labels: list[int] | None = None


_decode = msgspec.json.Decoder(_Row).decode


class TokenizedRows:
    """Counts of such rows."""

    def __init__(self) -> None:
        self.n_rows = self.n_bad_rows = self.loss_tokens = 0
        self.lengths, self.first, self.last = Counter[int](), Counter[int](), Counter[int]()
        self.starts, self.ends = Counter[int](), Counter[int]()

    def read(
        self, lines: Iterable[tuple[int, bytes]], max_seq_length: int | None
    ) -> Iterator[tuple[int, Problem]]:
        """Count all rows; yields (row, what is wrong with it)."""
        for number, line in lines:
            self.n_rows += 1
            try:
                row = _decode(line)
            except msgspec.DecodeError as exc:
                self.n_bad_rows += 1
                yield number, _bad_row(exc)
                continue
            labels = row.input_ids if row.labels is None else row.labels
            if len(labels) != len(row.input_ids):
                self.n_bad_rows += 1
                yield number, _uneven(len(row.input_ids), len(labels))
                continue
            self._count(labels, max_seq_length)
            if all(label == IGNORED for label in labels[1:]):
                yield number, _nothing_trained()

    def _count(self, labels: list[int], max_seq_length: int | None) -> None:
        self.lengths[len(labels)] += 1
        trains = [at for at in range(1, len(labels)) if labels[at] != IGNORED]
        if not trains:
            return
        self.first[trains[0]] += 1
        self.last[trains[-1] + 1] += 1
        self.loss_tokens += sum(max_seq_length is None or at < max_seq_length for at in trains)
        for place, at in enumerate(trains):
            if place == 0 or trains[place - 1] != at - 1:
                self.starts[at] += 1
            if place == len(trains) - 1 or trains[place + 1] != at + 1:
                self.ends[at + 1] += 1

    def stats(self) -> TokenStats:
        """The counts as the figures of a report."""
        total = sum(length * n for length, n in self.lengths.items())
        return TokenStats(
            lengths=dict(self.lengths),
            by_role={FORMAT: total},
            run_starts=dict(self.starts),
            run_ends=dict(self.ends),
            first_trained=dict(self.first),
            last_trained=dict(self.last),
        )


TEXT_ONLY = Problem(
    "tokenized",
    "input_ids",
    "The rows are tokens already; the embedded trainer takes text and makes the tokens itself. "
    "Train this file on the hosted service, or give the rows as text.",
    blocks=LOCAL,
)


def _bad_row(exc: Exception) -> Problem:
    return Problem(
        "bad_tokens",
        "input_ids",
        f"The row can't be read as tokens ({exc}); input_ids and labels are lists of whole numbers "
        "of one length. Write the row anew.",
    )


def _uneven(n_ids: int, n_labels: int) -> Problem:
    return Problem(
        "uneven_labels",
        "labels",
        f"The row has {n_ids:,} input_ids and {n_labels:,} labels; there is one label for each "
        "token. Write the row anew.",
        blocks=LOCAL,
    )


def _nothing_trained() -> Problem:
    return Problem(
        "nothing_trained",
        "labels",
        "No token of this row would train; a row needs at least one label that is not -100. "
        "Give it labels, or take the row out.",
        blocks=NOBODY,
    )
