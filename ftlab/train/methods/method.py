"""What a training method says of its rows and its loss, and what all losses are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch.nn import functional

from ftlab.data.chat import IGNORED, Tokens
from ftlab.spec import JobSpec
from ftlab.train.batches import Batch, Row

Pieces = Iterator[list[Any]]
"""The rows of a step in pieces that fit in memory."""


class Loss(NamedTuple):
    """Of some rows; a step adds those of its pieces up and divides by `Method.divisor`."""

    total: torch.Tensor
    sums: dict[str, float]
    """Other figures by the name of their metric, summed over the rows."""


class Method(Protocol):
    """One way to train."""

    needs_reference: bool
    """Whether `refer` has to see every row before the weights that it starts from change."""

    def __init__(self, spec: JobSpec) -> None: ...

    def read(self, sequences: tuple[Tokens, ...], longest: int) -> Row:
        """A row of the file as it trains, cut at `longest` tokens. Raises UnreadableData for rows
        of another method."""
        ...

    def divisor(self, rows: Sequence[Any]) -> int:
        """What the loss of these rows together is the mean over."""
        ...

    def refer(self, model: Any, pieces: Pieces, pad_id: int, device: str) -> None:
        """Note what the model says before any training; nothing for methods without a reference."""
        ...

    def loss(self, model: Any, rows: Sequence[Any], pad_id: int, device: str) -> Loss:
        """The loss of one piece."""
        ...


class Losses(NamedTuple):
    """Of every trained token of a batch."""

    values: torch.Tensor
    """(trained tokens,), cross-entropy in nats."""
    row: torch.Tensor
    """(trained tokens,), place of the token's row in the batch."""


def token_losses(model: Any, batch: Batch) -> Losses:
    """Cross-entropy of the trained tokens alone."""
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    targets = batch.labels[:, 1:]
    trained = targets != IGNORED
    values = functional.cross_entropy(
        logits[:, :-1][trained].float(), targets[trained], reduction="none"
    )
    return Losses(values, trained.nonzero()[:, 0])
