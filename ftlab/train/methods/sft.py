"""Supervised fine-tuning: cross-entropy of the trained tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from ftlab.data.chat import IGNORED
from ftlab.train.batches import Batch


def loss_sum(model: Any, batch: Batch) -> torch.Tensor:
    """Sum over the trained tokens of (row's weight × cross-entropy in nats).

    The caller divides by the trained tokens of the whole step, so that cutting a step into
    pieces changes nothing.
    """
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    targets = batch.labels[:, 1:]
    trained = targets != IGNORED
    losses = functional.cross_entropy(
        logits[:, :-1][trained].float(), targets[trained], reduction="none"
    )
    weights = batch.weights[:, None].expand_as(targets)[trained]
    return (losses * weights).sum()
