"""The largest piece that a run may meet, there and back before the first step: where the memory
does not suffice, that shows at once and not after hours."""

from __future__ import annotations

from dataclasses import replace

import torch

from ftlab.errors import FtlabError
from ftlab.train.batches import Examples, Pair, Row
from ftlab.train.cutting import in_memory
from ftlab.train.device import is_out_of_memory, random_state, set_random_state
from ftlab.train.reading import sequences_per_step
from ftlab.train.trainer import Trainer

PACKED = 64  # rows of packs that are looked at; fewer of the longest fill a piece
STATES = {"adamw": 8, "adamw_8bit": 2, "sgd": 0}
"""Bytes that an optimizer keeps for each value that trains, from its first step on."""


def rehearsed(trainer: Trainer, rows: Examples) -> None:
    """Cut steps into smaller pieces where the longest rows need that. Changes nothing else: no
    random number is drawn, no gradient is left. Raises FtlabError where a row of the run does not
    fit by itself."""
    piece = _longest(trainer, rows)
    before = random_state(trainer.device)
    kept = _room_for_states(trainer)
    try:
        in_memory(trainer, piece, lambda: trainer.backward(piece, 1))
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        text = _too_long(max(piece, key=lambda row: row.n_tokens))
        if not trainer.spec.max_steps:
            raise FtlabError(f"{text} No step was taken.") from problem
        trainer.notes.append(text)  # it may be that no step meets it
    finally:
        del kept
        trainer.optimizer.zero_grad(set_to_none=True)
        set_random_state(before, trainer.device)


def _longest(trainer: Trainer, rows: Examples) -> list[Row]:
    """As many of the longest rows as may meet in a piece, or the longest alone."""
    spec = trainer.spec
    most = PACKED if spec.packing else -(-sequences_per_step(spec) // trainer.room.size)
    found = [_with_reference(row) for row in rows.largest(most)]
    found.sort(key=lambda row: row.n_tokens, reverse=True)
    return next(trainer.pieces(found))


def _with_reference(row: Row) -> Row:
    """What the model said of it before training is not known yet, and takes no more memory."""
    return replace(row, reference=(0.0, 0.0)) if isinstance(row, Pair) else row


def _room_for_states(trainer: Trainer) -> torch.Tensor | None:
    """As much memory as the optimizer's states will take, unless they are there."""
    optimizer = trainer.optimizer
    if optimizer.state:
        return None
    n_values = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    size = n_values * STATES[trainer.spec.optimizer]
    return torch.empty(size, dtype=torch.uint8, device=trainer.device)


def _too_long(row: Row) -> str:
    return (
        f"The memory does not suffice for line {row.line}, one of the longest, with {row.length:,} "
        "tokens; a step takes each row whole. Lower max_seq_length, turn gradient_checkpointing "
        "on, or leave such rows out."
    )
