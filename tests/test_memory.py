"""The memory formula: what a layer keeps against saved-tensor hooks, and the parts by hand."""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from ftlab.data.chat import IGNORED
from ftlab.memory import (
    DROPOUT_HELD,
    FLOAT,
    LINEARS,
    Decoder,
    Setup,
    logit_bytes,
    memory,
    narrowed,
    saved,
    saved_per_token,
)
from ftlab.pieces import LOGITS, Piece, StepRows
from ftlab.train import last
from ftlab.train.batches import Example
from ftlab.train.fused import fuse
from ftlab.train.kernels import SPLIT
from ftlab.train.layouts import Bundles
from ftlab.train.passes import shorten
from ftlab.train.scoring import Scorer

SHAPE = Decoder(
    n_params=1_000_000,
    hidden=64,
    feed_forward=176,
    queries=64,
    keys=32,
    n_layers=4,
    vocabulary=500,
)
ALL = frozenset(LINEARS)
HEADS = 4
VARIANTS = {
    "lora": {},
    "bfloat16": {"value_bytes": 2},
    "dropout": {"dropout": True},
    "dropout in bfloat16": {"dropout": True, "value_bytes": 2},
    "dora with dropout": {"dora": True, "dropout": True},
    "few bits with dropout": {"quantization": "nf4", "dropout": True, "value_bytes": 2},
    "dora": {"dora": True},
    "dora in bfloat16": {"dora": True, "value_bytes": 2},
    "two layers": {"modules": frozenset({"q_proj", "v_proj"})},
    "queries alone": {"modules": frozenset({"q_proj"})},
    "mlp": {"modules": frozenset({"gate_proj", "down_proj"})},
    "full": {"modules": frozenset()},
    "full in bfloat16": {"modules": frozenset(), "value_bytes": 2},
}


def kept_by_torch(setup: Setup, bundles: Bundles, n_layers: int, *, is_narrow: bool = False) -> int:
    """Bytes that autograd keeps of the trainer's forward pass through so many layers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=SHAPE.hidden,
        intermediate_size=SHAPE.feed_forward,
        num_hidden_layers=n_layers,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        vocab_size=SHAPE.vocabulary,
    )
    model = LlamaForCausalLM(config)
    if not setup.is_full:
        model = _adapted(model.to(torch.bfloat16) if setup.value_bytes == 2 else model, setup)
    model.train()
    narrow = is_narrow and last.narrow(Scorer(model, 0, "cpu").inner)
    scorer = Scorer(model, 0, "cpu", SPLIT, own_head=True, narrow=narrow).in_use()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    # The bfloat16 copies of weights are counted with the weights; no activation is as large.
    copies = {2 * parameter.numel() for parameter in model.parameters()} if setup.is_mixed else {}
    kept = weakref.WeakSet[_Kept]()  # what a graph kept that is gone by the end is not in it

    def keep(tensor: torch.Tensor) -> _Kept:
        found = _Kept(tensor)
        kept.add(found)
        return found

    mixed = torch.autocast("cpu", torch.bfloat16, enabled=setup.is_mixed)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda found: found.tensor), mixed:
        losses = scorer.losses(bundles)
    storages = {one.place: one.size for one in kept if not one.is_copy(copies)}
    del losses
    return sum(size for place, size in storages.items() if place not in weights)


class _Kept:
    """A tensor as autograd keeps it."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.place = tensor.untyped_storage().data_ptr()
        self.size = tensor.untyped_storage().nbytes()

    def is_copy(self, sizes: Collection[int]) -> bool:
        return str(self.tensor.dtype) == "torch.bfloat16" and self.size in sizes


def _adapted(model, setup: Setup):
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(
        r=setup.rank,
        lora_dropout=0.1 * setup.dropout,
        target_modules=sorted(setup.modules),
        use_dora=setup.dora,
    )
    adapted = get_peft_model(model, adapter)
    if setup.is_fused:  # a base in few bits stays peft's business
        fuse(adapted)
    shorten(adapted)
    return adapted


def example(length: int, last: int = 0) -> Example:
    """Its second half depends on `last`."""
    half = length // 2
    numbers = (*range(half), *(last + i for i in range(half, length)))
    ids = array("i", [number % SHAPE.vocabulary for number in numbers])
    return Example(ids, ids, 1.0, was_cut=False)


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # peft asks by the old name
@pytest.mark.parametrize(
    ("variant", "times"),  # short sequences, and long ones
    [*((name, 1) for name in VARIANTS), *((name, 6) for name in VARIANTS if "bfloat16" in name)],
)
def test_a_layer_keeps_what_autograd_keeps(variant, times):
    setup = Setup(**{"trained": 0, "modules": ALL, "rank": 8, **VARIANTS[variant]})
    small, large = Piece.of((35 * times, 45 * times)), Piece.of((70 * times, 90 * times))

    def of_one_layer(*lengths: int) -> int:
        bundles = [[example(times * length)] for length in lengths]
        return kept_by_torch(setup, bundles, 3) - kept_by_torch(setup, bundles, 2)

    # Of more tokens, without what DoRA makes of a weight and gives back.
    found, tokens = of_one_layer(70, 90) - of_one_layer(35, 45), large.tokens - small.tokens
    sums = HEADS * FLOAT * tokens  # attention's, one per head: the formula leaves them out
    expected = saved(SHAPE, setup, large) - saved(SHAPE, setup, small) + sums
    assert found == pytest.approx(expected, rel=0.002)


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # peft asks by the old name
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_last_layer_keeps_less_of_what_does_not_train(variant):
    setup = Setup(
        **{"trained": 0, "modules": ALL, "rank": 8, **VARIANTS[variant], "trained_share": 0.25}
    )

    def less(*lengths: int) -> int:
        bundles = [[behind(example(length))] for length in lengths]
        whole, narrow = (kept_by_torch(setup, bundles, 2, is_narrow=on) for on in (False, True))
        return whole - narrow

    found = less(160, 80) - less(80, 40)
    found += 120 // 4 * 8  # where the places stand
    assert found == pytest.approx(narrowed(SHAPE, setup, Piece(120, 0)), rel=0.002)


def behind(row: Example) -> Example:
    """Its last quarter trains."""
    first = len(row.ids) * 3 // 4
    return row._replace(labels=array("i", [*[IGNORED] * first, *row.ids[first:]]))


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # peft asks by the old name
def test_a_layer_keeps_what_stands_behind_a_shared_beginning_again():
    setup = Setup(0, ALL, 8)
    pair = [[example(60, last=last) for last in (1, 2)]]  # 30 tokens of 60 are the same
    found = kept_by_torch(setup, pair, 3) - kept_by_torch(setup, pair, 2)
    piece = StepRows({60: 2}, 1, sequences=2, shared=0.25).piece(120, 2 * 60**2)
    sums = HEADS * FLOAT * piece.tokens
    assert found == pytest.approx(saved(SHAPE, setup, piece) + sums, rel=0.002)


def test_a_gpu_keeps_the_output_of_attention_once():
    cpu = Setup(trained=0, modules=ALL, rank=8)
    gpu = replace(cpu, kind="cuda")
    assert saved_per_token(SHAPE, cpu) - saved_per_token(SHAPE, gpu) == FLOAT * SHAPE.queries
    halves = replace(gpu, value_bytes=2)
    norms = 2 * FLOAT * (SHAPE.hidden + 1)
    assert saved_per_token(SHAPE, halves) - norms == (saved_per_token(SHAPE, gpu) - norms) / 2


def test_checkpointing_keeps_the_input_of_each_layer_and_makes_one_again():
    plain, less = Setup(0, ALL, 8), Setup(0, ALL, 8, checkpointing=True)
    piece = Piece(100, 100**2)
    shape = replace(SHAPE, vocabulary=1)  # less than a layer
    kept, again = (memory(shape, setup, piece) for setup in (plain, less))
    assert again.activations == SHAPE.n_layers * 100 * FLOAT * SHAPE.hidden
    assert again.workspace - kept.workspace == kept.activations / SHAPE.n_layers


def test_logits_are_made_some_at_a_time_and_of_trained_places_alone():
    wide = replace(SHAPE, vocabulary=LOGITS // 100)
    setup = Setup(0, ALL, 8)
    few, many = (logit_bytes(wide, setup, Piece(n, n * n)) for n in (50, 5000))
    hidden = 2 * FLOAT * SHAPE.hidden
    assert few == FLOAT * wide.vocabulary * 50 + 50 * hidden
    assert many == FLOAT * wide.vocabulary * 100 + 5000 * hidden
    half = replace(setup, trained_share=0.5)
    assert logit_bytes(wide, half, Piece(50, 2500)) == few / 2
    assert logit_bytes(wide, Setup(0), Piece(50, 2500)) > few  # all weights: a head that trains


def test_an_evaluation_keeps_no_activations():
    setup = Setup(0, ALL, 8)
    small = Piece(10, 100)
    assert memory(SHAPE, setup, small, small) == memory(SHAPE, setup, small)
    evaluated = memory(SHAPE, setup, small, Piece(5000, 5000**2))
    assert evaluated.activations == 0
    assert evaluated.total > memory(SHAPE, setup, small).total


def test_all_weights_take_sixteen_bytes_each_and_two_more_for_their_copies():
    plain = memory(SHAPE, Setup(trained=SHAPE.n_params), Piece(0, 0))
    assert plain.certain == 16 * SHAPE.n_params
    mixed = memory(SHAPE, Setup(trained=SHAPE.n_params, value_bytes=2), Piece(0, 0))
    assert mixed.certain == 18 * SHAPE.n_params


def test_pefts_dropout_leaves_holes_on_a_cpu():
    piece, dropping = Piece(100, 100**2), Setup(0, ALL, 8, dropout=True, dora=True)
    widths = 6 * SHAPE.hidden + SHAPE.feed_forward
    held = DROPOUT_HELD * SHAPE.n_layers * 100 * widths
    cpu, gpu = (memory(SHAPE, replace(dropping, kind=kind), piece) for kind in ("cpu", "cuda"))
    assert cpu.workspace - gpu.workspace == pytest.approx(held)
