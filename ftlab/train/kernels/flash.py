"""All sequences in one call of flash-attn, as transformers calls it, where that is installed."""

from __future__ import annotations

from functools import cache

import torch

from ftlab.train.kernels.kernel import Call, Kernel, not_for_flash
from ftlab.train.segments import Segments

HOPPER = 9
OLD, NEW = "flash_attention_2", "flash_attention_3"


def _lacks(call: Call) -> str:
    if not (version := _installed(call.query.device.index or 0)):
        return "not installed"
    if version == NEW and call.dropout:
        return "attention has dropout"
    return not_for_flash(call)


@cache
def _installed(index: int) -> str:
    """The newest that the GPU of that number can use, as transformers names it; empty without."""
    from transformers.utils.import_utils import (
        is_flash_attn_2_available,
        is_flash_attn_3_available,
    )

    is_hopper = torch.cuda.is_available() and torch.cuda.get_device_capability(index)[0] == HOPPER
    if is_hopper and is_flash_attn_3_available():
        return NEW
    return OLD if is_flash_attn_2_available() else ""


def attend(row: Segments, call: Call) -> torch.Tensor:
    """Where keys are more than queries, the last of both are the same tokens."""
    from transformers.modeling_flash_attention_utils import _flash_attention_forward

    query, key, value = (part.transpose(1, 2) for part in (call.query, call.key, call.value))
    device = query.device
    if row.is_shared:
        places = row.key_places(device)
        key, value = key[:, places], value[:, places]
    return _flash_attention_forward(
        query,
        key,
        value,
        None,
        query_length=query.shape[1],
        is_causal=True,
        dropout=call.dropout,
        softmax_scale=call.scaling,
        sliding_window=call.window,
        softcap=call.softcap,
        cu_seq_lens_q=row.ends(device),  # pyright: ignore[reportArgumentType]
        cu_seq_lens_k=row.key_ends(device),  # pyright: ignore[reportArgumentType]
        max_length_q=max(row.lengths),
        max_length_k=max(row.key_lengths),
        attn_implementation=_installed(device.index or 0),
    )


FLASH = Kernel("ftlab_fa", "flash-attn", _lacks, attend)
