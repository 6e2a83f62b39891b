"""All sequences in one call of torch's own attention over sequences of unequal length."""

from __future__ import annotations

import inspect
from functools import cache

import torch

from ftlab.train.kernels.kernel import Call, Kernel, not_for_flash
from ftlab.train.segments import Segments

ASKED = {"scale", "window_size", "enable_gqa"}


def _lacks(call: Call) -> str:
    if not _is_there():
        return f"torch {torch.__version__} has none"
    if call.dropout:
        return "attention has dropout"
    return "scores are capped" if call.softcap is not None else not_for_flash(call)


@cache
def _is_there() -> bool:
    """Whether this torch has it, with all that is asked of it here."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return inspect.signature(varlen_attn).parameters.keys() >= ASKED


def attend(row: Segments, call: Call) -> torch.Tensor:
    """Where keys are more than queries, the last of both are the same tokens."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (part[0].transpose(0, 1) for part in (call.query, call.key, call.value))
    device = query.device
    if row.is_shared:
        places = row.key_places(device)
        key, value = key[places], value[places]
    found = varlen_attn(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        row.ends(device),
        row.key_ends(device),
        max(row.lengths),
        max(row.key_lengths),
        scale=call.scaling,
        window_size=(-1 if call.window is None else call.window - 1, 0),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(found, torch.Tensor), "nothing else was asked for"
    return found[None]


VARLEN = Kernel("ftlab_varlen", "torch's varlen_attn", _lacks, attend)
