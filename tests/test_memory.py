"""The memory formula: what a layer keeps against saved-tensor hooks, and the parts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftlab.memory import FLOAT, LINEARS, Decoder, Setup, memory, saved_per_token
from ftlab.pieces import Piece

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
ROWS, LENGTH, HEADS = 3, 40, 4
VARIANTS = {
    "lora": {},
    "bfloat16": {"value_bytes": 2},
    "dropout": {"dropout": True},
    "dropout in bfloat16": {"dropout": True, "value_bytes": 2},
    "dora": {"dora": True},
    "two layers": {"modules": frozenset({"q_proj", "v_proj"})},
    "mlp": {"modules": frozenset({"gate_proj", "down_proj"})},
    "full": {"modules": frozenset()},
    "full in bfloat16": {"modules": frozenset(), "value_bytes": 2},
}


def kept_by_torch(setup: Setup, piece: Piece, n_layers: int) -> int:
    """Bytes that autograd keeps of a forward pass through so many layers."""
    import torch
    from peft import LoraConfig, get_peft_model
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
    if setup.value_bytes == 2 and not setup.is_full:
        model = model.to(torch.bfloat16)
    if not setup.is_full:
        adapter = LoraConfig(
            r=setup.rank,
            lora_dropout=0.1 * setup.dropout,
            target_modules=sorted(setup.modules),
            use_dora=setup.dora,
        )
        model = get_peft_model(model, adapter)
    model.train()
    ids = torch.zeros((piece.rows, piece.length), dtype=torch.long)
    mask = torch.ones_like(ids)
    if piece.rows > 1:
        mask[-1, piece.length // 2 :] = 0
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    # The bfloat16 copies of weights are counted with the weights; no activation is as large.
    copies = {2 * parameter.numel() for parameter in model.parameters()} if setup.is_mixed else {}
    # A tensor is held, so that no other takes its place in memory and is mistaken for it.
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        is_copy = tensor.dtype == torch.bfloat16 and size in copies
        if place not in weights and not is_copy:
            kept[place] = tensor
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16, enabled=setup.is_mixed)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), mixed:
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # peft asks by the old name
@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_layer_keeps_what_autograd_keeps(variant, rows):
    setup = Setup(**{"trained": 0, "modules": ALL, "rank": 8, **VARIANTS[variant]})
    small, large = Piece(rows, LENGTH), Piece(rows, 2 * LENGTH)
    if rows > 1:
        large = Piece(2 * rows, LENGTH)  # the mask of longer rows would be larger than the sum

    def of_one_layer(piece: Piece) -> int:
        return kept_by_torch(setup, piece, 3) - kept_by_torch(setup, piece, 2)

    # Of more tokens: what DoRA makes of a weight is given back, and does not depend on tokens.
    found = of_one_layer(large) - of_one_layer(small)
    tokens = large.tokens - small.tokens
    sums = HEADS * FLOAT * tokens  # attention's, one per head: the formula leaves them out
    assert found == pytest.approx(saved_per_token(SHAPE, setup, large) * tokens + sums, rel=0.002)


def test_both_answers_of_a_pair_go_through_at_once_in_training_and_evaluation():
    one = Setup(trained=0, modules=ALL, rank=8, method="dpo")
    pair, rows = Piece(2, 30), Piece(4, 30)
    sft = replace(one, method="sft")
    assert memory(SHAPE, one, [pair]) == memory(SHAPE, sft, [rows])
    assert memory(SHAPE, one, [], pair) == memory(SHAPE, sft, [], rows)


def test_all_weights_take_sixteen_bytes_each_and_two_more_for_their_copies():
    plain = memory(SHAPE, Setup(trained=SHAPE.n_params), [])
    assert plain.certain == 16 * SHAPE.n_params
    mixed = memory(SHAPE, Setup(trained=SHAPE.n_params, value_bytes=2), [])
    assert mixed.certain == 18 * SHAPE.n_params
