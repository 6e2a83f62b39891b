"""Cross-entropy of the trained places alone, some at a time: their logits are never all there."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ftlab.pieces import LOGITS


def losses(head: Any, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(places,) cross-entropy in nats of the tokens, for (places, width) hidden values.

    A head that does not train gets its gradient on the way there, so that the logits are made
    once; one that trains makes them again on the way back.
    """
    if not len(tokens):  # a head that trains has a gradient of 0, as all that comes before it
        return _of_logits(head, hidden, tokens)
    if _is_plain(head):
        return _Frozen.apply(hidden, head.weight, head.bias, tokens)
    some = max(LOGITS // head.weight.shape[0], 1)
    parts = zip(hidden.split(some), tokens.split(some), strict=True)
    return torch.cat([_again(head, *part) for part in parts])


def _is_plain(head: Any) -> bool:
    return type(head) is torch.nn.Linear and not any(p.requires_grad for p in head.parameters())


def _again(head: Any, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return _of_logits(head, hidden, tokens)
    found = checkpoint(_of_logits, head, hidden, tokens, use_reentrant=False)
    assert isinstance(found, torch.Tensor)
    return found


def _of_logits(head: Any, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return cross_entropy(head(hidden).float(), tokens, reduction="none")


class _Frozen(torch.autograd.Function):
    """A linear head that does not train.

    The loss of a place is log Σ exp(logits) − the token's logit; its gradient by the hidden values
    is (softmax − 1 at the token) × weight, whatever the loss is multiplied with afterwards.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        tokens: torch.Tensor,
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if wanted else None
        found = torch.empty(len(tokens), device=hidden.device)
        some = max(LOGITS // weight.shape[0], 1)
        room = weight.new_empty(min(some, len(tokens)), weight.shape[0])
        for start in range(0, len(tokens), some):
            part = slice(start, start + some)
            logits = torch.mm(hidden[part], weight.T, out=room[: len(tokens[part])])
            if bias is not None:
                logits += bias
            found[part], shares, total = _cross_entropy(logits.float(), tokens[part, None])
            if gradient is not None:
                gradient[part] = _times(shares, total, weight)
        ctx.save_for_backward(gradient)
        return found

    @staticmethod
    def backward(ctx: Any, *incoming: torch.Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return (incoming[0][:, None] * gradient).to(gradient.dtype), None, None, None


def _cross_entropy(
    logits: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(places,) losses, and two tensors of which the first divided by the second is the gradient;
    the first is made of the logits themselves: each pass over them takes as long as a tenth of
    the product that they are."""
    highest = logits.amax(-1, keepdim=True)
    chosen = logits.gather(1, tokens) - highest
    shares = logits.sub_(highest).exp_()
    total = shares.sum(-1, keepdim=True)
    losses = (total.log() - chosen)[:, 0]
    return losses, shares.scatter_add_(1, tokens, -total), total


def _times(shares: torch.Tensor, total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """shares / total @ weight. In float32 the product is divided, which is smaller; in float16 it
    might be too large for the format."""
    if weight.dtype == torch.float32:
        return (shares @ weight).div_(total)
    return shares.div_(total).to(weight.dtype) @ weight
