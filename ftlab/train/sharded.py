"""The base model in shares, one for each process of a run, by torch's fully_shard.

A layer is whole in a process only while it computes. An adapter stays whole in each of them, and
its gradients are summed as they are where the whole model is in each; where all weights train,
torch sums their gradients, and each process keeps its share of them and of the optimizer's states.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from ftlab.errors import FtlabError
from ftlab.rulebook.shares import undivided
from ftlab.spec import JobSpec
from ftlab.train.adapters import start_on

MMAP_THRESHOLD = -3  # as malloc.h has it
WHOLE, DTYPE = "with_whole_weights", "computed_in"


def shard(model: Any, spec: JobSpec, device: str, dtype: torch.dtype) -> None:
    """Leave each process its share of the model, layer by layer, on its device. Weights that all
    train are held in float32 and computed with in the format.

    Raises FtlabError for what can't be divided.
    """
    inner = _inner(model)
    trains_all, kind = model is inner, torch.device(device).type
    if reason := _undivided(spec, dtype):
        raise FtlabError(f"shard is True, and {reason}, or set shard to False.")
    whole = set[Any]() if trains_all else {p for p in model.parameters() if p.requires_grad}
    settings = {"mesh": init_device_mesh(kind, (dist.get_world_size(),)), "ignored_params": whole}
    if trains_all and dtype != torch.float32:
        settings["mp_policy"] = MixedPrecisionPolicy(dtype, torch.float32)
    if kind == "cpu":
        _give_back()
    for unit in [*_units(inner), inner]:
        if trains_all:
            _hold_in_float32(unit)
        fully_shard(unit, reshard_after_forward=True, **settings)
        unit.set_gradient_divide_factor(1.0)  # a step's loss is a sum over the processes
        unit.set_force_sum_reduction_for_comms(True)
    for parameter in whole:
        parameter.data = parameter.data.to(device)
    start_on(model, device)
    setattr(inner, DTYPE, dtype)
    setattr(inner, WHOLE, _call)
    register_fsdp_forward_method(inner, WHOLE)


def is_sharded(inner: Any) -> bool:
    """Whether a process has but its share of this model of transformers."""
    return isinstance(inner, FSDPModule)


def computed_in(inner: Any) -> torch.dtype:
    """The number format of its products, whatever its weights are held in."""
    return getattr(inner, DTYPE, next(inner.parameters()).dtype)


def with_whole_weights(inner: Any, work: Callable[[], torch.Tensor]) -> torch.Tensor:
    """What the work makes, which takes the model's parts by themselves."""
    return getattr(inner, WHOLE, _call)(work)


def forget_failure(inner: Any) -> None:
    """Make a model ready again whose way there or back broke off in all processes."""
    if isinstance(inner, FSDPModule):
        inner.reset_iter_state()


def in_each(parameters: Iterable[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Those that every process has whole."""
    return [parameter for parameter in parameters if not isinstance(parameter, DTensor)]


# --- whole tensors and shares of them ----------------------------------------------------------


def whole(value: Any) -> Any:
    """All shares together; each process has to ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def all_weights(trainer: Any) -> dict[str, torch.Tensor] | None:
    """In the first process, where all weights train and each has but its share."""
    if not is_sharded(trainer.model):
        return None
    trainer.room.tell("weights")
    return whole_weights(trainer.model)


def whole_weights(model: Any) -> dict[str, torch.Tensor]:
    """In the first process' own memory, by name; each process has to ask."""
    named = model.state_dict(keep_vars=True)
    first, known = dist.get_rank() == 0, dict[int, torch.Tensor]()
    for value in {id(value): value for value in named.values()}.values():
        found = whole(value.detach())
        if first:
            known[id(value)] = found.to("cpu")
    return {name: known[id(value)] for name, value in named.items()} if first else {}


def own_share(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What this process has of a whole tensor, which is divided as another one is."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    mesh, placements = like.device_mesh, like.placements
    parts, rank = value.chunk(mesh.size()), mesh.get_local_rank()
    part = (parts[rank] if rank < len(parts) else value[:0]).to(like.device, copy=True)
    return DTensor.from_local(part, mesh, placements, shape=like.shape, stride=like.stride())


def load_whole(model: Any, values: dict[str, torch.Tensor]) -> None:
    """Take one's own share of all weights."""
    with torch.no_grad():
        for name, own in model.state_dict(keep_vars=True).items():
            own.copy_(own_share(values[name], own))


# --- how a model is divided ----------------------------------------------------------------------


def _undivided(spec: JobSpec, dtype: torch.dtype) -> str:
    """Why a model stays whole, and what to do for it; empty where it can be divided."""
    if not hasattr(FSDPModule, "reset_iter_state"):
        return f"torch is {torch.__version__}; dividing takes 2.13 or newer. Install that"
    if problem := undivided(spec, str(dtype).removeprefix("torch.")):
        return f"{problem.found}. Set {problem.where} to {problem.instead or 'none'}"
    return ""


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _units(inner: Any) -> list[Any]:
    """What is whole at the same time, inner parts first: a layer by the model's own account, and
    the embeddings unless the head shares them."""
    names = {*(inner._no_split_modules or ())}
    found = [module for module in inner.modules() if type(module).__name__ in names]
    first, last = inner.get_input_embeddings(), inner.get_output_embeddings()
    is_tied = last is not None and getattr(last, "weight", None) is first.weight
    return [*reversed(found), *([] if is_tied or first in found else [first])]


def _give_back() -> None:
    """Let glibc give every larger tensor back at once: gathered layers leave holes in what it
    keeps, 370 MB of them beside a share of 121 (glibc 2.36, 2026-11)."""
    with contextlib.suppress(AttributeError, OSError):  # of another system
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**20)


def _hold_in_float32(unit: Any) -> None:
    """What is not divided yet; until then it may be on disk alone."""
    for parameter in unit.parameters():
        if not isinstance(parameter, DTensor):
            parameter.data = parameter.data.float()


def _call(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    return work()
