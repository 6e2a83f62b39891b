"""Supervised fine-tuning: cross-entropy of the trained tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftlab.data.chat import Tokens
from ftlab.errors import UnreadableData
from ftlab.spec import JobSpec
from ftlab.train.batches import NOTHING, Example
from ftlab.train.device import sent
from ftlab.train.methods.method import Loss, Pieces
from ftlab.train.scoring import Scorer


class Sft:
    """The loss is the sum over trained tokens of (row's weight × cross-entropy in nats), divided by
    the trained tokens of the whole step, so that cutting a step into pieces changes nothing."""

    figures: tuple[str, ...] = ()
    nothing = NOTHING
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

    def refer(self, scorer: Scorer, pieces: Pieces) -> None:
        """Nothing: the answers are the reference."""

    def loss(self, scorer: Scorer, rows: Sequence[Example]) -> Loss:
        """The weighted sum."""
        losses = scorer.losses([[row] for row in rows])
        weights = sent(torch.tensor([row.weight for row in rows]), scorer.device)
        total = (losses.values * weights[losses.sequence]).sum()
        return Loss(total, {}, losses.means(len(rows)))
