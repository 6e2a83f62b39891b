"""Attention within each sequence of a flat row, for any model that asks transformers for it.

transformers looks the function up by a name, and the function that would make its mask too. Which
sequences a row is made of is told beforehand (`attend_within`), because not every model hands on
what its caller gives; it stays so until the next batch, because checkpointing computes a layer
again on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from ftlab.train.kernels.kernel import Call, Kernel
from ftlab.train.segments import Segment, Segments


class NotSupported(Exception):
    """The model asks for a kind of attention that is not here."""


_row = Segments(())


def attend_within(segments: Sequence[Segment]) -> None:
    """Say what the next row is made of."""
    global _row
    _row = Segments(segments)


def use(model: Any, by: Kernel | str, *, noting: bool = False) -> None:
    """Let a model of transformers take its attention from a kernel of ours, or by a name that
    transformers knows. `noting` which windows its masks would have takes another name: where there
    is a function for masks, transformers reads the positions for it, and waits for a GPU."""
    from transformers import AttentionInterface, AttentionMaskInterface

    name = by
    if isinstance(by, Kernel):
        name = f"{by.key}_noting" if noting else by.key
        AttentionInterface.register(name, partial(attention, by))
        if noting:
            AttentionMaskInterface.register(name, _no_mask)
    model.set_attn_implementation(name)


class _Windows:
    """How far back attention was to look: as masks would have said, and as it was told."""

    def __init__(self) -> None:
        self.of_masks = set[int]()
        self.told = set[int]()


_windows = _Windows()


def forget_windows() -> None:
    """Begin to note anew what the model asks for."""
    global _windows
    _windows = _Windows()


def windows_are_told() -> bool:
    """Whether attention was told of every window since then; some models leave it to the mask."""
    return _windows.of_masks <= _windows.told


def _no_mask(*_: Any, local_size: int | None = None, **__: Any) -> None:
    """In place of a mask of transformers: attention knows its sequences."""
    if local_size is not None:
        _windows.of_masks.add(local_size)


def attention(
    kernel: Kernel,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Of one row, (1, heads, tokens, width) to (1, tokens, heads, width); fewer key heads than
    heads are shared. Raises NotSupported for what the kernel can't do."""
    if sliding_window is not None:
        _windows.told.add(sliding_window)
    if position_bias is not None:
        raise NotSupported("scores depend on positions")
    if query.shape[2] != _row.n_tokens:
        raise NotSupported(f"attention goes over {query.shape[2]} of {_row.n_tokens} places")
    query, key, value = _in_one_format(query, key, value)
    call = Call(module, query, key, value, scaling, dropout, sliding_window, softcap, s_aux)
    if lacks := kernel.lacks(call):
        raise NotSupported(lacks)
    with torch.autocast(query.device.type, enabled=False):
        return kernel.attend(_row, call), None


def _in_one_format(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """That of autocast, where it is on: rotary positions leave only the values in it."""
    kind = parts[0].device.type
    if not torch.is_autocast_enabled(kind):
        return parts
    return tuple(part.to(torch.get_autocast_dtype(kind)) for part in parts)
