"""Smaller pieces of a step where the memory did not suffice: nothing is lost, and nothing but its
time changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ftlab.train.batches import Row
from ftlab.train.device import is_out_of_memory, random_state, set_random_state

if TYPE_CHECKING:
    from ftlab.train.trainer import Trainer

Made = TypeVar("Made")


def in_memory(trainer: Trainer, rows: Sequence[Row], work: Callable[[], Made]) -> Made:
    """What the work on these rows makes: in smaller pieces, from now on, when the memory did not
    suffice."""
    while True:
        before = random_state(trainer.device)
        try:
            return work()
        except RuntimeError as problem:  # torch's own kind of it is one
            alone = not trainer.scorer.is_sharded  # else the others are in the middle of a layer
            if not (alone and is_out_of_memory(problem) and _halve(trainer, rows)):
                raise
        # Only out here is what the failed attempt held let go.
        trainer.optimizer.zero_grad(set_to_none=True)
        set_random_state(before, trainer.device)


def agree_on_pieces(trainer: Trainer, tokens: int) -> None:
    """Take as small pieces as the process whose memory had room for least."""
    before, trainer.piece_tokens = trainer.piece_tokens, tokens
    if tokens < before:
        _note_less(trainer, before)


def _halve(trainer: Trainer, rows: Sequence[Row]) -> bool:
    """Take smaller pieces from now on; False when they are single rows already."""
    before = [len(piece) for piece in trainer.pieces(rows)]
    if max(before) == 1:
        return False
    tokens = trainer.piece_tokens
    while [len(piece) for piece in trainer.pieces(rows)] == before:
        trainer.piece_tokens //= 2
    _note_less(trainer, tokens)
    return True


def _note_less(trainer: Trainer, before: int) -> None:
    trainer.notes.append(
        f"The memory did not suffice for pieces of up to {before:,} tokens; a step is now cut "
        f"into pieces of at most {trainer.piece_tokens:,}, which changes nothing but its time. "
        "To begin so, lower micro_batch_size."
    )
