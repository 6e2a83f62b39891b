"""liger-kernel's norms and gates in place of a model's own, where they are there, give the same and
save time: each is tried when a model is loaded. Its loss is left out: the head here makes no more
logits at once than that does."""

from __future__ import annotations

import importlib
import importlib.util
import math
import random
import sys
import time
from array import array
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import torch

from ftlab import number_formats
from ftlab.train.batches import Example
from ftlab.train.device import random_state, set_random_state
from ftlab.train.parallel import Room
from ftlab.train.scoring import Scorer

WANTED = {
    **{"rms_norm": True, "swiglu": True, "geglu": True, "layer_norm": True},
    **{"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False},
}
"""Rotary positions are replaced for all models of a process, which nothing could take back."""
ON = "cuda"
LENGTH, N_SEQUENCES = 512, 2  # of what is tried: few, because memory may be short
TIMES = 4  # the first one compiles
PAYS = 0.98  # of the time without
OFF = 0.02  # nats that losses may be off on average, and share of the gradient's norm
SHOWN = 120  # characters of what it says when it breaks


class _Tried(NamedTuple):
    """What some sequences came to."""

    losses: torch.Tensor
    grad_norm: float
    seconds: float


def quickened(scorer: Scorer, room: Room) -> Scorer:
    """The same model, with those kernels where they pay in all processes of the room; it says in
    its words what became of them."""
    if not _is_for(scorer):
        return scorer
    own = _Own(scorer.inner)
    key = _key(scorer)
    problem = "" if number_formats.known(key) is not False else "slower when it was measured"
    if not problem:
        problem = _problem(scorer, key)
    if room.most(int(bool(problem))):
        own.put_back()
        return replace(scorer, remark=f"liger-kernel is left out ({problem or 'elsewhere'}).")
    return replace(scorer, remark="Norms and gates are liger-kernel's.")


def _is_for(scorer: Scorer) -> bool:
    """Whether the package knows this model and may run here; a model in shares stays as it is."""
    may_run = scorer.device.startswith(ON) and not scorer.is_sharded
    if not may_run or importlib.util.find_spec("liger_kernel") is None:
        return False
    return scorer.inner.config.model_type in _package().MODEL_TYPE_TO_APPLY_LIGER_FN


def _package() -> Any:
    return importlib.import_module("liger_kernel.transformers.monkey_patch")


def _apply(inner: Any) -> None:
    package, family = _package(), vars(sys.modules[type(inner).__module__])
    as_it_was = {**family}
    try:
        package._apply_liger_kernel_to_instance(inner, **WANTED)
    finally:
        family.update(as_it_was)  # models that are made later keep their own


def _problem(scorer: Scorer, key: str) -> str:
    """Why it does not pay, once it is put into the model; empty where it does. What was faster
    once is not timed again: a run that goes on has to compute as it did."""
    try:
        plain = _tried(scorer)
        _apply(scorer.inner)
        found = _tried(scorer)
    except Exception as problem:  # of a compiler, of memory, of a GPU that it is not for
        return f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:SHOWN]}"
    off = (found.losses - plain.losses).abs().mean().item()
    norm = abs(found.grad_norm / plain.grad_norm - 1) if plain.grad_norm else 0.0
    if not (off <= OFF and norm <= OFF):
        return f"losses are off by {off:.2g}, and the gradient by {norm:.1%}"
    faster = number_formats.known(key)
    if faster is None:
        faster = found.seconds < PAYS * plain.seconds
        number_formats.keep(key, value=faster)
    return "" if faster else f"{found.seconds / plain.seconds:.2f} times the time"


def _key(scorer: Scorer) -> str:
    """What a measurement holds for."""
    inner, gpu = scorer.inner, torch.cuda.get_device_name(scorer.device)
    trained = sum(p.requires_grad for p in inner.parameters())
    config, dtype = inner.config, next(inner.parameters()).dtype
    shape = f"{config.model_type} {config.hidden_size} {inner.num_parameters()} {trained}"
    return f"liger-kernel {version('liger-kernel')}, {gpu}, {shape} {dtype}"


def _tried(scorer: Scorer) -> _Tried:
    """What a few sequences come to there and back, as in a step, and the least time it took."""
    vocabulary = scorer.inner.get_input_embeddings().weight.shape[0]
    rng = random.Random(0)
    drawn = [[rng.randrange(vocabulary) for _ in range(LENGTH)] for _ in range(N_SEQUENCES)]
    rows = [[Example(array("i", i), array("i", i), 1.0, was_cut=False)] for i in drawn]
    model, before, seconds = scorer.model, random_state(scorer.device), list[float]()
    was_training, losses, grad_norm = model.training, torch.empty(0), 0.0
    model.train()
    try:
        for _ in range(TIMES):
            set_random_state(before, scorer.device)  # the same dropout each time
            began = _now(scorer.device)
            losses = scorer.losses(rows).values
            losses.mean().backward()
            seconds.append(_now(scorer.device) - began)
            norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
            grad_norm = math.hypot(*(norm.item() for norm in norms))
            model.zero_grad(set_to_none=True)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
        set_random_state(before, scorer.device)
    return _Tried(losses.detach().float(), grad_norm, min(seconds))


def _now(device: str) -> float:
    """The time when all that was asked of a GPU is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


class _Own:
    """What a model's modules were made of, before something took their place."""

    def __init__(self, model: Any) -> None:
        self._kept = [(module, {**vars(module)}) for module in model.modules()]

    def put_back(self) -> None:
        for module, own in self._kept:
            vars(module).clear()
            vars(module).update(own)
