"""What a training method says of its rows and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch

from ftlab.data.chat import Tokens
from ftlab.spec import JobSpec
from ftlab.train.batches import Row
from ftlab.train.scoring import Scorer

Pieces = Iterator[list[Any]]
"""The rows of a step in pieces that fit in memory."""


class Loss(NamedTuple):
    """Of some rows; a step adds those of its pieces up and divides by `Method.divisor`."""

    total: torch.Tensor
    sums: dict[str, torch.Tensor]
    """Other figures by the name of their metric, summed over the rows."""
    rows: torch.Tensor
    """(rows,) mean loss of each by itself, without its weight and without a way back."""

    def __truediv__(self, divisor: float) -> Loss:
        """What is summed divided, in float64 where nothing is derived from it."""
        sums = {n: _precise(v) / divisor for n, v in self.sums.items()}
        return Loss(self.total / divisor, sums, self.rows)

    @classmethod
    def none(cls, names: Sequence[str], device: str) -> Loss:
        """Of no rows, with the same figures."""
        zero = torch.zeros((), device=device)
        return cls(zero, dict.fromkeys(names, zero), torch.zeros(0, device=device))


def added(losses: Sequence[Loss]) -> Loss:
    """All pieces together, without the way back to the weights."""
    totals = _precise(torch.stack([loss.total.detach() for loss in losses]))
    sums = {n: torch.stack([one.sums[n] for one in losses]).sum() for n in losses[0].sums}
    return Loss(totals.sum(), sums, torch.cat([one.rows for one in losses]))


def _precise(values: torch.Tensor) -> torch.Tensor:
    """In float64, which Apple's GPUs don't have."""
    return values.float() if values.device.type == "mps" else values.double()


class Method(Protocol):
    """One way to train."""

    figures: tuple[str, ...]
    """Names of the sums of its losses, in their order."""

    needs_reference: bool
    """Whether `refer` has to see every row before the weights that it starts from change."""

    def __init__(self, spec: JobSpec) -> None: ...

    @property
    def nothing(self) -> Row:
        """A row that adds nothing to a loss."""
        ...

    def read(self, sequences: tuple[Tokens, ...], longest: int) -> Row:
        """A row of the file as it trains, cut at `longest` tokens. Raises UnreadableData for rows
        of another method."""
        ...

    def divisor(self, rows: Sequence[Any]) -> int:
        """What the loss of these rows together is the mean over."""
        ...

    def refer(self, scorer: Scorer, pieces: Pieces) -> None:
        """Note what the model says before any training; nothing for methods without a reference."""
        ...

    def loss(self, scorer: Scorer, rows: Sequence[Any]) -> Loss:
        """The loss of one piece."""
        ...
