"""The quickest way through a model that is right, found when it is loaded.

Flat rows need a model whose layers let no sequence see another but through attention, a kernel of
attention that does what its layers ask for, and the head made here needs logits that are its output
embedding of its last hidden values; what a last layer leaves out must not be needed elsewhere. None
of it is assumed: each way is tried on a few short sequences and compared with padded rows through
the model as its authors wrote it.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ftlab.data.chat import IGNORED
from ftlab.train import attention, last
from ftlab.train.batches import Example
from ftlab.train.kernels import kernels_for
from ftlab.train.layouts import Bundles
from ftlab.train.scoring import Scorer
from ftlab.train.sharded import computed_in, forget_failure

LENGTHS = (5, 9, 6)  # of the sequences that are tried
BEGINNING = 4  # tokens that the last two of them share
UNTRAINED = 3  # tokens that each begins with
CLOSE = 1e-3  # nats; float32 rounds to about 1e-6, a leak is above 0.01
CLOSE_IN_HALVES, ROUNDING = 0.15, 0.02  # nats, or share of the loss: bfloat16 has 0.004 of a logit
LEAK_IN_HALVES = 0.03
SHOWN = 120  # characters of what a kernel says when it breaks


def scorer_for(model: Any, pad_id: int, device: str) -> Scorer:
    """The quickest way through the model that is right, in use from now on. Tried as it will run:
    under the autocast that is on."""
    was_training = model.training
    model.eval()
    plain = Scorer(model, pad_id, device).in_use()
    passed_over = dict[str, str]()
    try:
        with torch.no_grad():
            for way in _quicker(plain):
                title = "" if way.kernel is None else way.kernel.title
                if not (problem := _problem(way, plain)):
                    passed_over.pop(title, None)  # it was only the head that was not right
                    return replace(way, passed_over=passed_over).in_use()
                if title:
                    passed_over[title] = problem
            return replace(plain, passed_over=passed_over).in_use()
    finally:
        model.train(was_training)


def _quicker(plain: Scorer) -> Iterator[Scorer]:
    """The quickest first."""
    for kernel in kernels_for(plain.device):
        flat = replace(plain, kernel=kernel)
        if last.narrow(plain.inner):
            yield replace(flat, own_head=True, narrow=True)
        yield replace(flat, own_head=True)
        yield flat
    yield replace(plain, own_head=True)


def _problem(way: Scorer, plain: Scorer) -> str:
    """Why a way is not taken; empty where it gives what the plain one gives, no sequence sees
    another, and there is a way back to the weights."""
    vocabulary = way.inner.get_input_embeddings().weight.shape[0]
    first, other = (_sequences(vocabulary, seed) for seed in (1, 2))
    expected = plain.in_use().losses(first).values
    attention.forget_windows()
    try:
        with last.trying():
            found = way.in_use(noting=True).losses(first)
            beside = way.in_use().losses([other[0], *first[1:]]).values  # another neighbour
        _go_back(way, first)
    except attention.NotSupported as lacks:
        forget_failure(way.inner)
        return str(lacks)
    except Exception as problem:  # a model of another build, a kernel that is not made for this GPU
        forget_failure(way.inner)
        return f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:SHOWN]}"
    close = leak = CLOSE
    if _format(way) != torch.float32:
        close, leak = max(CLOSE_IN_HALVES, ROUNDING * expected.max().item()), LEAK_IN_HALVES
    same = found.sequence > 0
    if not attention.windows_are_told():
        return "the model keeps its windows in a mask"
    if _difference(found.values[same], beside[same]) > leak:
        return "sequences see each other"
    if (off := _difference(found.values, expected)) > close:
        return f"losses are off by up to {off:.2g}"
    return ""


def _format(way: Scorer) -> torch.dtype:
    """What is computed in."""
    kind = torch.device(way.device).type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return computed_in(way.inner)


def _go_back(way: Scorer, bundles: Bundles) -> None:
    """As in a step: some kinds of attention fail only there, and dropout is off before."""
    way.model.train()
    try:
        with torch.enable_grad():
            way.losses(bundles).values.sum().backward()
    finally:
        way.model.eval()
        way.model.zero_grad(set_to_none=True)


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest; endless where one is not a number."""
    return (found - expected).abs().nan_to_num(math.inf).max().item()


def _sequences(vocabulary: int, seed: int) -> list[list[Example]]:
    """One alone, and two that begin alike; all but the first tokens of each train."""
    rng = random.Random(seed)
    ids = [[rng.randrange(vocabulary) for _ in range(length)] for length in LENGTHS]
    ids[2][:BEGINNING] = ids[1][:BEGINNING]
    labels = [[IGNORED] * UNTRAINED + i[UNTRAINED:] for i in ids]
    alone, *pair = (
        Example(array("i", i), array("i", known), 1.0, was_cut=False)
        for i, known in zip(ids, labels, strict=True)
    )
    return [[alone], pair]
