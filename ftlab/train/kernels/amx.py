"""Causal attention of one sequence in bfloat16 on a CPU: torch's flash attention there, and a way
back in large products, which the CPU's matrix units take at several times the speed of torch's own.

Scores are never rounded as such: a product that also has their sum's logarithm in it makes what
they are below it, and is rounded where it is nearly nothing. With P the shares and O what came out,
dV = PᵀdO, dS = P (dOVᵀ - Σ dO O), dQ = s dS K and dK = s dSᵀQ (Dao, FlashAttention-2, section 3.1).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from ftlab.pieces import LONG

BLOCK, SCORES = 128, 2**24  # positions, and scores, that are there at most at once
PARTS = 3  # bfloat16 numbers that stand for one of float32


def takes(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, is_plain: bool) -> bool:
    """Whether this pays for a sequence, and is right: torch's own reads the numbers of a head as if
    they lay side by side, whether they do or not. `is_plain` without masks and dropout."""
    parts = (query, keys, values)
    fits = all(part.dtype == torch.bfloat16 and part.stride(-1) == 1 for part in parts)
    as_wide = query.shape[-1] == values.shape[-1]
    is_here = query.device.type == "cpu"
    return is_plain and is_here and fits and as_wide and query.shape[2] >= LONG


def attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """query: (1, heads, tokens, width); keys and values may have fewer heads."""
    return _Attention.apply(query, keys, values, scaling or query.shape[-1] ** -0.5)


class _Rows(NamedTuple):
    """(heads of keys, tokens × queries of each, width or a little more)"""

    query: torch.Tensor
    given: torch.Tensor
    """What comes back for each."""
    below: torch.Tensor
    """Times a key: its score below the logarithm of all scores' sum."""
    gained: torch.Tensor
    """Times a value: what comes back beyond what comes back for all."""


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        shared = query.shape[1] // keys.shape[1]
        own = [part.repeat_interleave(shared, dim=1) for part in (keys, values)]
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, sums = flash(query, *own, is_causal=True, scale=scaling)
        ctx.save_for_backward(query, keys, values, out, sums)
        ctx.scaling = scaling
        return out

    @staticmethod
    def backward(ctx: Any, *incoming: torch.Tensor) -> tuple[Any, ...]:
        query, keys, values, out, sums = ctx.saved_tensors
        less, n_heads = _less(query.shape[2]), keys.shape[1]
        given = incoming[0] * (2**-less).to(query.dtype)
        along = (given.float() * out).sum(-1, keepdim=True)
        sums = (sums.unsqueeze(-1) - less * math.log(2)) / ctx.scaling
        asked, given, sums, along = (_by_head(x, n_heads) for x in (query, given, sums, along))
        rows = _Rows(asked, given, _beside(asked, sums), _beside(given, along))
        into_query, *others = _returned(rows, keys[0], values[0], ctx.scaling)
        into_query = into_query.unflatten(1, (keys.shape[2], -1)).transpose(1, 2).flatten(0, 1)
        return *(x[None].to(query.dtype) for x in (into_query, *others)), None


def _returned(
    rows: _Rows, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> tuple[torch.Tensor, ...]:
    """The gradients of queries, keys and values, from some positions' scores after the other."""
    tokens, shared = key.shape[1], rows.query.shape[1] // key.shape[1]
    ones = key.new_ones(*key.shape[:2], PARTS)
    # What all keys have in common adds nothing: dS sums to 0 for a query, but where it is rounded.
    apart = (key - key.mean(1, keepdim=True, dtype=torch.float32)).to(key.dtype)
    with_key, with_value = (torch.cat((x, ones), -1).mT for x in (key, value))
    into_query = torch.empty_like(rows.query)
    into_key, into_value = (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
    block = min(max(SCORES // (len(key) * shared * tokens), 1), BLOCK)
    for start in range(0, tokens, block):
        end = min(start + block, tokens)
        query, given, below, gained = (x[:, start * shared : end * shared] for x in rows)
        share = torch.bmm(below, with_key[..., :end]).mul_(scaling).exp_()
        share[..., start:].masked_fill_(_later(end - start, shared), 0)
        score = torch.bmm(gained, with_value[..., :end]).mul_(share)
        into_query[:, start * shared : end * shared] = torch.bmm(score, apart[:, :end])
        into_key[:, :end] += torch.bmm(score.mT, query)
        into_value[:, :end] += torch.bmm(share.mT, given)
    return into_query.mul_(scaling), into_key.mul_(scaling), into_value


def _by_head(x: torch.Tensor, n_heads: int) -> torch.Tensor:
    """(1, heads, tokens, width) as (heads of keys, tokens × queries of each, width)."""
    return x[0].unflatten(0, (n_heads, -1)).transpose(1, 2).flatten(1, 2)


def _beside(x: torch.Tensor, less: torch.Tensor) -> torch.Tensor:
    """What makes a product less by a number of float32 for each row."""
    parts, rest = [x], -less
    for _ in range(PARTS):
        parts.append(rest.to(x.dtype))
        rest = rest - parts[-1]
    return torch.cat(parts, -1)


def _less(n: int) -> torch.Tensor:
    """(n, 1): shares are computed 2**this times as large, and what they are multiplied with as
    small. Those of equal scores and those of one high score are then equally far from 1, where a
    logarithm is rounded least."""
    return torch.arange(1.0, n + 1).log2().div_(2).round_()[:, None]


def _later(n: int, shared: int) -> torch.Tensor:
    """(n × shared, n): whether a position comes after the one that asks."""
    at = torch.arange(n)
    return at > at.repeat_interleave(shared)[:, None]
