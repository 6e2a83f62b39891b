"""The loss of rows that don't train, by all processes of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from ftlab.events import Metrics, RowLosses
from ftlab.train.batches import Examples, Row
from ftlab.train.cutting import in_memory
from ftlab.train.methods.method import Loss, added
from ftlab.train.sent import Scores, as_loss
from ftlab.train.steps import batched, rounded
from ftlab.train.trainer import Trainer


def evaluated(
    trainer: Trainer, step: int, rows: Examples | Sequence[Row], ends: Callable[[], bool]
) -> Iterator[Metrics | RowLosses]:
    """The mean loss (SFT: per trained token, in nats; DPO: per pair), then that of each row;
    nothing when it `ends` before it is known."""
    everything = [rows[i] for i in range(len(rows))]
    divisor = max(trainer.method.divisor(everything), 1)
    parts, lines = list[Loss](), list[int]()
    trainer.model.eval()
    try:
        for some in batched(trainer.pieces(everything), trainer.room.size):
            if ends():
                return
            trainer.refer([row for piece in some for row in piece])
            trainer.room.tell("score", some, divisor=divisor)
            parts.append(scored(trainer, some[0], divisor))
            parts += [as_loss(one, trainer.device) for one in trainer.room.replies(Scores)]
            lines += [row.line for piece in some for row in piece]
    finally:
        trainer.model.train()
    found = added(parts)
    means = {f"eval_{name}": value.item() for name, value in found.sums.items()}
    yield Metrics(step=step, values={"eval_loss": found.total.item(), **means})
    losses = tuple(map(rounded, found.rows.tolist()))
    yield RowLosses(step=step, file="validation", lines=tuple(lines), losses=losses)


def scored(trainer: Trainer, rows: Sequence[Row], divisor: int) -> Loss:
    """What the rows add to the mean loss of an evaluation."""
    return in_memory(trainer, rows, lambda: _scored(trainer, rows, divisor))


@torch.no_grad()
def _scored(trainer: Trainer, rows: Sequence[Row], divisor: int) -> Loss:
    found = [(piece, trainer.loss(piece) / divisor) for piece in trainer.rounds(rows)]
    return trainer.of_all(rows, [one for one in found if one[0] is not trainer.nothing])
