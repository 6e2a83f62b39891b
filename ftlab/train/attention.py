"""Attention within each sequence of a flat row, for any model that asks transformers for it.

transformers looks the function up by a name, and the function that would make its mask too. Which
sequences a row is made of is told beforehand (`attend_within`), because not every model hands on
what its caller gives; it stays so until the next batch, because checkpointing computes a layer
again on the way back.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

NAME = "ftlab_sequences"
NOT_HERE = ("softcap", "s_aux", "position_bias")
"""What some models give to attention and this one knows nothing of: such models stay padded."""


class Segment(NamedTuple):
    """A stretch of a flat row."""

    length: int
    behind: int | None
    """The segment that its sequence begins with, by its place; None for a whole sequence."""


class NotSupported(Exception):
    """The model asks for a kind of attention that is not here."""


class _Segments:
    """The segments of a row, and what follows from them, once for all layers."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.all = segments
        self._masks: dict[tuple[int, int, int | None], torch.Tensor] = {}

    @cached_property
    def lengths(self) -> list[int]:
        return [segment.length for segment in self.all]

    @cached_property
    def is_shared(self) -> bool:
        """Whether one segment stands behind another."""
        return any(segment.behind is not None for segment in self.all)

    def mask(self, queries: int, keys: int, window: int | None, device: Any) -> torch.Tensor | None:
        """(queries, keys), true where the last queries of a sequence look at its keys; None where
        each sees all before it and itself."""
        if queries == keys and (window is None or keys <= window):
            return None
        known = (queries, keys, window)
        if known not in self._masks:
            whole = torch.ones(queries, keys, dtype=torch.bool, device=device)
            seen = whole.tril(keys - queries)
            if window is not None:  # a token and the window - 1 before it
                seen &= whole.triu(keys - queries - window + 1)
            self._masks[known] = seen
        return self._masks[known]

    @cached_property
    def key_lengths(self) -> list[int]:
        """Keys of each segment, those that it stands behind among them."""
        return [
            s.length if s.behind is None else self.all[s.behind].length + s.length for s in self.all
        ]

    def key_places(self, device: Any) -> torch.Tensor:
        """Places of the keys of all segments in turn."""
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        starts = [end - length for end, length in zip(ends, self.lengths, strict=True)]
        parts = list[torch.Tensor]()
        for segment, start, end in zip(self.all, starts, ends, strict=True):
            if segment.behind is not None:
                parts.append(torch.arange(starts[segment.behind], ends[segment.behind]))
            parts.append(torch.arange(start, end))
        return torch.cat(parts).to(device)


_row = _Segments(())


def attend_within(segments: Sequence[Segment]) -> None:
    """Say what the next row is made of."""
    global _row
    _row = _Segments(segments)


def use(model: Any, name: str) -> None:
    """Let a model of transformers take its attention by a name; ours is known to it from now on."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, _no_mask)
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
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Of one row, (1, heads, tokens, width) to (1, tokens, heads, width); fewer key heads than
    heads are shared. Raises NotSupported for what it can't do."""
    if sliding_window is not None:
        _windows.told.add(sliding_window)
    asked = [name for name in NOT_HERE if others.get(name) is not None]
    if asked or query.shape[2] != sum(_row.lengths):
        raise NotSupported(f"attention with {asked} over {query.shape[2]} places")
    query, key, value = _in_one_format(query, key, value)
    way = _by_varlen if _is_fused(query, key, value, dropout) else _by_segment
    with torch.autocast(query.device.type, enabled=False):
        return way(query, key, value, dropout, scaling, sliding_window), None


def _in_one_format(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """That of autocast, where it is on: rotary positions leave only the values in it."""
    kind = parts[0].device.type
    if not torch.is_autocast_enabled(kind):
        return parts
    return tuple(part.to(torch.get_autocast_dtype(kind)) for part in parts)


def _is_fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    """Whether torch's own attention over sequences of unequal length takes it: on GPUs from Ampere
    on, in half precision, without dropout."""
    if not query.is_cuda or dropout or not _has_varlen():
        return False
    halves = (torch.bfloat16, torch.float16)
    in_halves = query.dtype in halves and query.dtype == key.dtype == value.dtype
    width = query.shape[-1]
    fits = width == value.shape[-1] <= 256 and width % 8 == 0
    return in_halves and fits and torch.cuda.get_device_capability(query.device) >= (8, 0)


@cache
def _has_varlen() -> bool:
    """Whether this torch has it, with all that is asked of it here."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"scale", "window_size", "enable_gqa"} <= inspect.signature(
        varlen_attn
    ).parameters.keys()


def _by_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """In one call; where keys are more than queries, the last of both are the same tokens."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    if _row.is_shared:
        places = _row.key_places(query.device)
        key, value = key[places], value[places]
    found = varlen_attn(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        _ends(_row.lengths, query.device),
        _ends(_row.key_lengths, query.device),
        max(_row.lengths),
        max(_row.key_lengths),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(found, torch.Tensor), "nothing else was asked for"
    return found[None]


def _ends(lengths: Sequence[int], device: Any) -> torch.Tensor:
    return torch.tensor([0, *lengths], device=device).cumsum(0).to(torch.int32)


def _by_segment(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """One after another. A CPU's attention is slower in bfloat16 than in float32."""
    given = query.dtype
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    # Split, not sliced: the way back of a slice is a whole tensor of zeros for each.
    parts = [part.split(_row.lengths, dim=2) for part in (query, key, value)]
    found = list[torch.Tensor]()
    for segment, own, keys, values in zip(_row.all, *parts, strict=True):
        if segment.behind is not None:
            keys = torch.cat((parts[1][segment.behind], keys), dim=2)
            values = torch.cat((parts[2][segment.behind], values), dim=2)
        mask = _row.mask(own.shape[2], keys.shape[2], window, own.device)
        found.append(
            scaled_dot_product_attention(
                own,
                keys,
                values,
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=keys.shape[1] != own.shape[1],
            ).transpose(1, 2)
        )
    return torch.cat(found, dim=1).to(given)
