"""Norms and rotary positions in fewer passes over memory than their authors' lines take on a CPU:
there each line reads and writes all of a layer's values, on the way back as well.

A module is changed only where its own code, tried with random numbers, gives the same and has the
same gradients. What is rounded at every line in bfloat16 is here rounded once or twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from types import FunctionType, MethodType
from typing import Any

import torch

NORM, TURN = "RMSNorm", "apply_rotary_pos_emb"
EPSILONS = ("variance_epsilon", "eps")
PARAMETERS = ("q", "k", "cos", "sin", "unsqueeze_dim")
ADDED = (0.0, 1.0)  # to a norm's weights: some families keep what is beyond one
SIZES = (1e-3, 1.0)  # of the values that are tried: an epsilon shows at the smaller one
CLOSE = 1e-5  # of the largest value


def shorten(model: Any) -> int:
    """Let the model's norms and rotary positions take fewer passes whenever they can; returns how
    many modules may."""
    as_written = [module for module in model.modules() if "forward" not in vars(module)]
    return sum(_normed(module) or _turning(module) for module in as_written)


# --- norms ----------------------------------------------------------------------------------------


def _normed(module: Any) -> bool:
    weight, eps = getattr(module, "weight", None), _epsilon(module)
    if not type(module).__name__.endswith(NORM) or eps is None:
        return False
    if type(weight) is not torch.nn.Parameter or weight.ndim != 1 or weight.device.type != "cpu":
        return False
    if len([*module.parameters()]) > 1:  # one of zeros would not show
        return False
    for added in ADDED:
        if _norms_alike(module, eps, added):
            module.forward = partial(_norm, module, module.forward, eps, added)
            return True
    return False


def _epsilon(module: Any) -> float | None:
    found = (getattr(module, name, None) for name in EPSILONS)
    return next((eps for eps in found if isinstance(eps, float)), None)


def _norm(module: Any, usual: Any, eps: float, added: float, *args: Any, **kwargs: Any) -> Any:
    weight = module.weight
    if kwargs or len(args) != 1 or weight.requires_grad:
        return usual(*args, **kwargs)
    (x,) = args
    if x.device.type != "cpu" or x.dtype != weight.dtype:
        return usual(x)
    return _Norm.apply(x, weight.float() + added, eps)


class _Norm(torch.autograd.Function):
    """w x / sqrt(mean(x²) + eps), the mean over the last dimension, computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_()
        inverse = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *incoming: torch.Tensor) -> tuple[Any, ...]:
        x, weight, inverse = ctx.saved_tensors
        wide, out = x.float(), incoming[0] * weight
        along = (out * wide).sum(-1, keepdim=True)
        along.mul_(inverse**3).div_(-x.shape[-1])
        return out.mul_(inverse).addcmul_(wide, along).to(x.dtype), None, None


def _norms_alike(module: Any, eps: float, added: float) -> bool:
    weight = module.weight.detach().float() + added

    def own(x: torch.Tensor) -> torch.Tensor:
        return _Norm.apply(x, weight, eps)

    drawn = _drawn(3, len(weight))
    return all(
        _alike(module.forward, own, (drawn * size).to(dtype))
        for dtype in {torch.float32, module.weight.dtype}
        for size in SIZES
    )


# --- rotary positions -----------------------------------------------------------------------------


def _turning(module: Any) -> bool:
    """Its forward pass as it is written, but for the function that turns queries and keys."""
    own = type(module).forward
    if not isinstance(own, FunctionType) or TURN not in own.__code__.co_names:
        return False
    usual = own.__globals__.get(TURN)
    if usual is None or not _turns_alike(usual):
        return False
    names = {**own.__globals__, TURN: partial(_turned, usual)}
    changed = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
    changed.__kwdefaults__ = own.__kwdefaults__
    module.forward = MethodType(changed, module)
    return True


def _turned(
    usual: Any,
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    is_whole = q.shape[-1] == k.shape[-1] == cos.shape[-1]
    is_plain = q.dtype == k.dtype == cos.dtype and not cos.requires_grad
    if q.device.type != "cpu" or not (is_whole and is_plain):
        return usual(q, k, cos, sin, unsqueeze_dim)
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _Turn.apply(q, cos, sin), _Turn.apply(k, cos, sin)


class _Turn(torch.autograd.Function):
    """[x₁ cos₁ - x₂ sin₁, x₂ cos₂ + x₁ sin₂] of the halves x₁ and x₂ of the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        out = x * cos
        (first, second), (x1, x2), (sin1, sin2) = _halves(out), _halves(x), _halves(sin)
        first.addcmul_(x2, sin1, value=-1)
        second.addcmul_(x1, sin2)
        return out

    @staticmethod
    def backward(ctx: Any, *incoming: torch.Tensor) -> tuple[Any, ...]:
        cos, sin = ctx.saved_tensors
        into = incoming[0] * cos
        (first, second), (out1, out2) = _halves(into), _halves(incoming[0])
        sin1, sin2 = _halves(sin)
        first.addcmul_(out2, sin2)
        second.addcmul_(out1, sin1, value=-1)
        return into, None, None


def _halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


@cache
def _turns_alike(usual: Callable[..., Any]) -> bool:
    if tuple(inspect.signature(usual).parameters) != PARAMETERS:
        return False
    cos, sin = _drawn(2, 1, 5, 8)
    pair = _drawn(1, 4, 5, 8)  # two heads of queries and two of keys

    def turn(by: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
        return torch.cat(by(*x.split(2, dim=1), cos, sin), dim=1)

    return _alike(partial(turn, usual), partial(turn, partial(_turned, usual)), pair)


# --- whether they are the same --------------------------------------------------------------------


def _alike(theirs: Callable[..., Any], own: Callable[..., Any], x: torch.Tensor) -> bool:
    """Whether both make the same of x, and the same gradient of it."""
    close = max(CLOSE, 4 * torch.finfo(x.dtype).eps)
    try:
        pairs = [*zip(_made(theirs, x), _made(own, x), strict=True)]
    except Exception:  # somebody else's lines, that want another shape or more than this
        return False
    return all(
        (a.shape, a.dtype) == (b.shape, b.dtype) and (a - b).abs().max() <= close * a.abs().max()
        for a, b in pairs
    )


def _made(of: Callable[..., Any], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What it makes of x, and the gradient of that."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        out = of(x)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        return out.detach(), torch.autograd.grad(out, x, weights)[0]


def _drawn(*shape: int) -> torch.Tensor:
    """Numbers that are not taken from those of a run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))
