"""A model's last layer at the places that count alone: what it makes of the others goes nowhere
but through their keys and values, which come before.

A fifth to a half of the tokens of a chat train; of a model with few layers the last one is a good
part. What is left out are the parts that look at one place at a time: queries, the projection
behind attention, and the feed-forward part. Which places count is told beforehand (`look_at`), and
stays so until the next batch, because checkpointing computes a layer again on the way back.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from ftlab.pieces import NARROW

FEED_FORWARD = ("mlp", "feed_forward", "block_sparse_moe")
OF_ATTENTION = ("q_proj", "o_proj", "out_proj", "c_proj", "dense")
ATTENTION = ("self_attn", "attn", "attention")


class _Look(NamedTuple):
    """The places of a row that count."""

    places: torch.Tensor
    n_tokens: int


_look: _Look | None = None
_left_out = 0.0
"""What stands at the places that are left out."""


def look_at(places: torch.Tensor | None, n_tokens: int = 0) -> None:
    """Say which places of the next row count, each once; None for all."""
    global _look
    _look = None
    if places is not None and 0 < len(places) <= NARROW * n_tokens:
        _look = _Look(places, n_tokens)


@contextlib.contextmanager
def trying() -> Iterator[None]:
    """Let what is left out show wherever it goes."""
    global _left_out
    _left_out = math.nan
    try:
        yield
    finally:
        _left_out = 0.0


def narrow(model: Any) -> bool:
    """Let the last layer of a model of transformers leave out what it is told not to look at;
    whether it has parts that can."""
    layers = getattr(model.get_decoder(), "layers", None) or getattr(model.get_decoder(), "h", None)
    if not isinstance(layers, torch.nn.ModuleList) or not len(layers):
        return False
    last = layers[-1]
    parts = [getattr(last, name, None) for name in FEED_FORWARD]
    for attention in (getattr(last, name, None) for name in ATTENTION):
        parts += [getattr(attention, name, None) for name in OF_ATTENTION]
    found = [part for part in parts if isinstance(part, torch.nn.Module)]
    for part in found:
        if _few not in part._forward_pre_hooks.values():
            part.register_forward_pre_hook(_few, with_kwargs=True)
            part.register_forward_hook(_all)
    return bool(found)


def _few(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What goes into a part: the places that count."""
    if _look is None or len(args) != 1 or kwargs or args[0].shape[:-1] != (1, _look.n_tokens):
        return None
    return (args[0].index_select(1, _look.places),), kwargs


def _all(_: Any, args: tuple[Any, ...], found: Any) -> Any:
    """What comes out of it: a whole row again."""
    if _look is None or len(args) != 1 or args[0].shape[:-1] != (1, len(_look.places)):
        return None
    if isinstance(found, tuple):  # experts that tell beside it who was chosen
        return (_whole(found[0], _look), *found[1:])
    return _whole(found, _look)


def _whole(found: torch.Tensor, look: _Look) -> torch.Tensor:
    whole = found.new_full((look.n_tokens, found.shape[-1]), _left_out)
    return whole.index_put((look.places,), found[0])[None]  # index_copy would keep what it copies
