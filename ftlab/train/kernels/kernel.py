"""What computes attention within the sequences of a flat row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ftlab.train.segments import Segments

HALVES = (torch.bfloat16, torch.float16)
WIDEST = 256  # values of a head that flash attention takes
AMPERE = (8, 0)


class Call(NamedTuple):
    """The attention that one layer asks for."""

    module: Any
    query: torch.Tensor
    """(1, heads, tokens, width)"""
    key: torch.Tensor
    """(1, heads or fewer, tokens, width)"""
    value: torch.Tensor
    scaling: float | None = None
    dropout: float = 0.0
    window: int | None = None
    """A token sees itself and so many before it, less one."""
    softcap: float | None = None
    """Scores go through softcap × tanh(score / softcap)."""
    sinks: torch.Tensor | None = None
    """(heads,) scores that take a share of every token's attention and give nothing."""


class Kernel(NamedTuple):
    """One way to compute it."""

    key: str
    """What transformers looks it up by."""
    title: str
    lacks: Callable[[Call], str]
    """Why it can't do what is asked; empty where it can."""
    attend: Callable[[Segments, Call], torch.Tensor]
    """(1, tokens, heads, width)"""


def not_for_flash(call: Call) -> str:
    """Why flash attention, whoever built it, can't take a call; empty where it can."""
    query, key, value = call.query, call.key, call.value
    if query.dtype not in HALVES or not query.dtype == key.dtype == value.dtype:
        return f"numbers are {str(query.dtype).removeprefix('torch.')}"
    width = query.shape[-1]
    if not width == value.shape[-1] <= WIDEST or width % 8:
        return f"heads have {width} and {value.shape[-1]} values"
    if call.sinks is not None:
        return "attention has sinks"
    return older_than_ampere(query.device)


def older_than_ampere(device: torch.device) -> str:
    """Why kernels for newer GPUs can't run on a device; empty where they can."""
    if device.type != "cuda":
        return f"the device is {device.type}"
    capability = torch.cuda.get_device_capability(device)
    return "" if capability >= AMPERE else "the GPU is older than Ampere"
