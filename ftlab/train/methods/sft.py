"""Supervised fine-tuning: cross-entropy of the trained tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftlab.data.chat import Tokens
from ftlab.errors import UnreadableData
from ftlab.spec import JobSpec
from ftlab.train.batches import Example, collate
from ftlab.train.methods.method import Loss, Pieces, token_losses


class Sft:
    """The loss is the sum over trained tokens of (row's weight × cross-entropy in nats), divided by
    the trained tokens of the whole step, so that cutting a step into pieces changes nothing."""

    needs_reference = False

    def __init__(self, spec: JobSpec) -> None:
        pass

    def read(self, sequences: tuple[Tokens, ...], longest: int) -> Example:
        """The row's one sequence."""
        if len(sequences) != 1:
            raise UnreadableData(
                "The row is a preference; SFT takes rows with one answer. "
                "Use training_method dpo, or another file."
            )
        return Example.of(sequences[0], longest)

    def divisor(self, rows: Sequence[Example]) -> int:
        """The trained tokens."""
        return sum(row.n_trained for row in rows)

    def refer(self, model: Any, pieces: Pieces, pad_id: int, device: str) -> None:
        """Nothing: the answers are the reference."""

    def loss(self, model: Any, rows: Sequence[Example], pad_id: int, device: str) -> Loss:
        """The weighted sum."""
        batch = collate(rows, pad_id, device)
        losses = token_losses(model, batch)
        return Loss((losses.values * batch.weights[losses.row]).sum(), {})
