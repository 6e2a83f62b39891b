"""All sequences in one call of torch's flex attention, as transformers calls it: compiled for what
a model asks for, capped scores and sinks among it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from ftlab.train.kernels.kernel import Call, Kernel, older_than_ampere
from ftlab.train.segments import Segments


def _lacks(call: Call) -> str:
    if call.dropout:
        return "attention has dropout"
    return older_than_ampere(call.query.device)


def attend(row: Segments, call: Call) -> torch.Tensor:
    """A token sees those before it in its own segment and in the one that this stands behind."""
    from transformers.integrations.flex_attention import flex_attention_forward

    found, _ = flex_attention_forward(
        call.module,
        call.query,
        call.key,
        call.value,
        row.once(("blocks", call.window), lambda: blocks(row, call.window, call.query.device)),
        scaling=call.scaling,
        softcap=call.softcap,
        s_aux=call.sinks,
    )
    return found


def blocks(row: Segments, window: int | None, device: torch.device) -> Any:
    """Which blocks of scores are computed at all, and which of a block's scores count."""
    own, behind, place = row.owners(device)

    def seen(_batch: Any, _head: Any, query: Any, key: Any) -> Any:
        together = (own[key] == own[query]) | (own[key] == behind[query])
        before = place[key] <= place[query]
        if window is not None:
            before = before & (place[query] - place[key] < window)
        return together & before

    n = row.n_tokens
    return _made_by(device.type)(seen, None, None, n, n, device=str(device))


@cache
def _made_by(kind: str) -> Any:
    """On a GPU compiled, so that the pairs of a long row are never all there."""
    from torch.nn.attention.flex_attention import create_block_mask

    return torch.compile(create_block_mask) if kind == "cuda" else create_block_mask


FLEX = Kernel("ftlab_blocks", "torch's flex attention", _lacks, attend)
