"""What a model says of sequences: the cross-entropy of every trained token, by the quickest way
that gives the same as the model's own forward pass.

Flat rows need a model whose layers let no sequence see another but through attention, and whose
logits are its output embedding of its last hidden values. Neither is assumed: both are tried on a
few short sequences when a model is loaded.
"""

from __future__ import annotations

import contextlib
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from ftlab.train import attention, head
from ftlab.train.batches import Example
from ftlab.train.layouts import Batch, Bundles, Layout, laid_out
from ftlab.train.sharded import computed_in, forget_failure, is_sharded, with_whole_weights

LENGTHS = (5, 9, 6)  # of the sequences that are tried
BEGINNING = 4  # tokens that the last two of them share
CLOSE = 1e-3  # nats; float32 rounds to about 1e-6, a leak is above 0.01
CLOSE_IN_HALVES, ROUNDING = 0.15, 0.02  # nats, or share of the loss: bfloat16 has 0.004 of a logit
LEAK_IN_HALVES = 0.03


class Losses(NamedTuple):
    """Of every trained token of a batch."""

    values: torch.Tensor
    """(trained,), cross-entropy in nats."""
    sequence: torch.Tensor
    """(trained,), which sequence the token is of, in the order of the bundles."""

    def means(self, n: int) -> torch.Tensor:
        """(n,) the mean of each of `n` sequences, 0 where nothing trains; without a way back."""
        values = self.values.detach().float()
        both = torch.stack([values, torch.ones_like(values)], dim=1)
        sums = both.new_zeros(n, 2).index_add(0, self.sequence, both)
        return sums[:, 0] / sums[:, 1].clamp(min=1)


@dataclass(frozen=True)
class Scorer:
    """A model and the way through it."""

    model: Any
    pad_id: int
    device: str
    layout: Layout = "padded"
    own_head: bool = False
    """Whether the logits are made here, at the trained places alone, or by the model."""

    @property
    def inner(self) -> Any:
        """The model of transformers, within its adapter."""
        return self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model

    @property
    def is_sharded(self) -> bool:
        """Whether the processes of the run compute every layer together."""
        return is_sharded(self.inner)

    def losses(self, bundles: Bundles) -> Losses:
        """The loss of each trained token."""
        batch = laid_out(bundles, self.layout, self.pad_id, self.device)
        values = self._by_own_head(batch) if self.own_head else self._by_model(batch)
        return Losses(values, batch.targets.sequence)

    def in_use(self) -> Scorer:
        """Make the model take its attention as this way needs it."""
        ours = self.layout == "flat"
        attention.use(self.inner, attention.NAME if ours else self.usual_attention)
        return self

    @contextlib.contextmanager
    def as_usual(self) -> Iterator[Any]:
        """The model with its usual attention, for rows that are padded."""
        attention.use(self.inner, self.usual_attention)
        try:
            yield self.model
        finally:
            self.in_use()

    @property
    def usual_attention(self) -> str:
        """What transformers would choose."""
        return "sdpa" if self.inner._supports_sdpa else "eager"

    def _by_own_head(self, batch: Batch) -> torch.Tensor:
        attention.attend_within(batch.segments)
        return with_whole_weights(self.inner, partial(self._beside, batch))

    def _beside(self, batch: Batch) -> torch.Tensor:
        inner = self.inner
        hidden = inner.get_decoder()(**batch.inputs, use_cache=False).last_hidden_state
        chosen = hidden.flatten(0, 1).index_select(0, batch.targets.places)
        return head.losses(inner.get_output_embeddings(), chosen, batch.targets.tokens)

    def _by_model(self, batch: Batch) -> torch.Tensor:
        attention.attend_within(batch.segments)
        logits = self.inner(**batch.inputs, use_cache=False).logits.flatten(0, 1)
        chosen = logits.index_select(0, batch.targets.places).float()
        return cross_entropy(chosen, batch.targets.tokens, reduction="none")


def scorer_for(model: Any, pad_id: int, device: str) -> Scorer:
    """The quickest way through the model that is right, in use from now on."""
    was_training = model.training
    model.eval()
    plain = Scorer(model, pad_id, device).in_use()
    try:
        with torch.no_grad():
            return next((way for way in _quicker(plain) if _is_right(way, plain)), plain).in_use()
    finally:
        model.train(was_training)


def _quicker(plain: Scorer) -> Iterator[Scorer]:
    """The quickest first."""
    yield replace(plain, layout="flat", own_head=True)
    yield replace(plain, layout="flat")
    yield replace(plain, own_head=True)


def _is_right(way: Scorer, plain: Scorer) -> bool:
    """Whether it gives what the plain way gives, no sequence sees another, and there is a way back
    to the weights."""
    vocabulary = way.inner.get_input_embeddings().weight.shape[0]
    first, other = (_sequences(vocabulary, seed) for seed in (1, 2))
    expected = plain.in_use().losses(first).values
    attention.forget_windows()
    try:
        found = way.in_use().losses(first)
        beside = way.losses([other[0], *first[1:]]).values  # another neighbour
        _go_back(way, first)
    except (attention.NotSupported, AttributeError, TypeError, ValueError, RuntimeError):
        forget_failure(way.inner)
        return False  # a model of another build: the plain way is right for it
    close = leak = CLOSE
    if computed_in(way.inner) != torch.float32:
        close, leak = max(CLOSE_IN_HALVES, ROUNDING * expected.max().item()), LEAK_IN_HALVES
    same = found.sequence > 0
    return (
        attention.windows_are_told()
        and _within(found.values, expected, close)
        and _within(found.values[same], beside[same], leak)
    )


def _go_back(way: Scorer, bundles: Bundles) -> None:
    """Some kinds of attention fail only there."""
    with torch.enable_grad():
        way.losses(bundles).values.sum().backward()
    way.model.zero_grad(set_to_none=True)


def _within(found: torch.Tensor, expected: torch.Tensor, difference: float) -> bool:
    return bool((found - expected).abs().max() <= difference)


def _sequences(vocabulary: int, seed: int) -> list[list[Example]]:
    """One alone, and two that begin alike; all of them train."""
    rng = random.Random(seed)
    ids = [[rng.randrange(vocabulary) for _ in range(length)] for length in LENGTHS]
    ids[2][:BEGINNING] = ids[1][:BEGINNING]
    alone, *pair = (Example(array("i", i), array("i", i), 1.0, was_cut=False) for i in ids)
    return [[alone], pair]
