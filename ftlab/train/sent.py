"""Rows and losses as a run's processes send them to each other, and who gets which rows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeVar

import torch

from ftlab.train.batches import Example, Pair, Row
from ftlab.train.methods.method import Loss

Kind = TypeVar("Kind", bound=Row)
Sent = tuple[bytes, bytes, float]
"""Token ids, labels and weight."""
Shared = tuple[list[Sent], tuple[float, float] | None]
"""A row: one sequence, or two and what the model said of them before training."""
Scores = tuple[float, dict[str, float], list[float]]
"""A loss as plain numbers."""


def as_numbers(loss: Loss) -> Scores:
    """A loss that another process can read."""
    sums = {name: value.item() for name, value in loss.sums.items()}
    return loss.total.item(), sums, loss.rows.tolist()


def as_loss(scores: Scores, device: str) -> Loss:
    """Back from `as_numbers`."""
    total, sums, rows = scores
    doubles = {n: torch.tensor(x, dtype=torch.float64, device=device) for n, x in sums.items()}
    return Loss(torch.tensor(total, device=device), doubles, torch.tensor(rows, device=device))


def packed(row: Row) -> Shared:
    """A row as bytes, without its line."""
    if isinstance(row, Pair):
        return [_as_bytes(row.chosen), _as_bytes(row.rejected)], row.reference
    return [_as_bytes(row)], None


def unpacked(row: Shared) -> Row:
    """Back from `packed`."""
    (first, *other), reference = row
    if not other:
        return _of_bytes(first)
    return Pair(_of_bytes(first), _of_bytes(other[0]), reference)


def _as_bytes(example: Example) -> Sent:
    return example.ids.tobytes(), example.labels.tobytes(), example.weight


def _of_bytes(sent: Sent) -> Example:
    ids, labels, weight = sent
    return Example(array("i", ids), array("i", labels), weight, was_cut=False)


def dealt(rows: Sequence[Kind], n: int) -> list[list[Kind]]:
    """The rows of each of `n` processes, about as many tokens for all; the first has one at least.

    The longest rows are dealt first, each to whoever has least.
    """
    if n == 1:
        return [list(rows)]
    shares, tokens = [list[int]() for _ in range(n)], [0] * n
    for i in sorted(range(len(rows)), key=lambda i: -rows[i].n_tokens):
        least = tokens.index(min(tokens))
        shares[least].append(i)
        tokens[least] += rows[i].n_tokens
    return [[rows[i] for i in sorted(share)] for share in shares]
