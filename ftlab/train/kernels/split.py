"""Sequence by sequence through torch's scaled_dot_product_attention: on every device."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from ftlab.train.kernels import amx
from ftlab.train.kernels.kernel import Call, Kernel
from ftlab.train.segments import Segments


def _lacks(call: Call) -> str:
    if call.softcap is not None:
        return "scores are capped"
    return "attention has sinks" if call.sinks is not None else ""


def attend(row: Segments, call: Call) -> torch.Tensor:
    """One after another."""
    query, key, value = call.query, call.key, call.value
    # Split, not sliced: the way back of a slice is a whole tensor of zeros for each.
    parts = [part.split(row.lengths, dim=2) for part in (query, key, value)]
    found = list[torch.Tensor]()
    for segment, own, keys, values in zip(row.all, *parts, strict=True):
        if segment.behind is not None:
            keys = torch.cat((parts[1][segment.behind], keys), dim=2)
            values = torch.cat((parts[2][segment.behind], values), dim=2)
        mask = row.mask(own.shape[2], keys.shape[2], call.window, own.device)
        found.append(_attend_in(own, keys, values, mask, call).transpose(1, 2))
    return torch.cat(found, dim=1)


def _attend_in(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    call: Call,
) -> torch.Tensor:
    """Of one sequence. A CPU's own attention is slower in bfloat16 than in float32. On a GPU heads
    that share keys get copies of them: all but the newest of torch's kernels there would give way
    to one that writes every score down."""
    if amx.takes(query, keys, values, is_plain=mask is None and not call.dropout):
        return amx.attend(query, keys, values, call.scaling)
    given = query.dtype
    if query.device.type == "cpu":
        query, keys, values = query.float(), keys.float(), values.float()
    shared = query.shape[1] // keys.shape[1]
    if shared > 1 and query.is_cuda:
        keys, values = (part.repeat_interleave(shared, dim=1) for part in (keys, values))
    found = scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=mask,
        dropout_p=call.dropout,
        is_causal=mask is None,
        scale=call.scaling,
        enable_gqa=keys.shape[1] != query.shape[1],
    )
    return found.to(given)


SPLIT = Kernel("ftlab_split", "torch's scaled_dot_product_attention", _lacks, attend)
