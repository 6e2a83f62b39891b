"""The quick way through a model against its own forward pass, for many architectures."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from ftlab.data.chat import IGNORED
from ftlab.train import finding, head
from ftlab.train.batches import Example
from ftlab.train.finding import scorer_for
from ftlab.train.kernels import SPLIT
from ftlab.train.layouts import flat, padded
from ftlab.train.scoring import Scorer

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEAD_DIM = {"head_dim": 8}
TWO_EXPERTS = {"num_local_experts": 2}
UNDROPPED = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
FLAT, OWN = "flat", True
# name → its own settings, the layout that is right for it, whether its logits are made here
FAMILIES = {
    "Llama": ({}, FLAT, OWN),
    "Qwen2": ({}, FLAT, OWN),
    "Qwen3": (HEAD_DIM, FLAT, OWN),
    "Mistral": ({"sliding_window": 7}, FLAT, OWN),
    "Phi3": ({}, FLAT, OWN),
    "Olmo2": ({}, FLAT, OWN),
    "Gemma": (HEAD_DIM, FLAT, OWN),
    "Gemma2": ({**HEAD_DIM, "sliding_window": 7}, "padded", False),  # caps its logits, twice
    "Gemma3": ({**HEAD_DIM, "sliding_window": 7}, FLAT, OWN),
    "Granite": ({"logits_scaling": 4.0}, FLAT, False),
    "GPTNeoX": ({}, FLAT, OWN),
    "GPT2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, **UNDROPPED}, FLAT, OWN),
    "Mixtral": ({"num_local_experts": 4}, FLAT, OWN),
    "Qwen3Moe": (
        {**HEAD_DIM, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
        FLAT,
        OWN,
    ),
    # Their windows are in the mask alone, of which a flat row has none.
    "Qwen2Moe": (
        {
            **{"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 0},
            **{"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
            "shared_expert_intermediate_size": 24,
        },
        "padded",
        OWN,
    ),
    "Phimoe": ({"sliding_window": 7, "num_local_experts": 4}, "padded", OWN),
    "Doge": ({"sliding_window": 7}, "padded", OWN),
    "Llama4": (
        {**HEAD_DIM, "attention_chunk_size": 7, "intermediate_size_mlp": 48, **TWO_EXPERTS},
        "padded",
        False,
    ),
    "Cohere2": ({"sliding_window": 7}, FLAT, False),
    "Mamba": ({}, "padded", OWN),  # its state goes on from one sequence to the next
    "Lfm2": ({"layer_types": ["conv", "full_attention"]}, "padded", OWN),
}
LAYERS = ["q_proj", "v_proj", "o_proj", "c_attn", "c_fc"]
CLASSES = {
    "Llama4": ("Llama4TextConfig", "Llama4ForCausalLM"),
    "Gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "GPT2": ("GPT2Config", "GPT2LMHeadModel"),
}


def model_of(family, **changes):
    """A random model, wide awake: its weights are large enough that a leak shows."""
    own, *_ = FAMILIES[family]
    config, model = CLASSES.get(family, (f"{family}Config", f"{family}ForCausalLM"))
    torch.manual_seed(0)
    settings = getattr(transformers, config)(**{**SHAPE, **own, **changes})
    made = getattr(transformers, model)(settings).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return made


def sequence(length, rng, start=()):
    ids = [*start, *(rng.randrange(3, 96) for _ in range(length - len(start)))]
    labels = [i if rng.random() < 0.6 else IGNORED for i in ids]
    return Example(array("i", ids), array("i", labels), 1.0, was_cut=False)


def bundles(seed=0):
    """Sequences alone, and some that begin alike, longer than a window and of one token of its
    own."""
    rng = random.Random(seed)
    start = [rng.randrange(3, 96) for _ in range(9)]
    pair = [sequence(20, rng, start), sequence(12, rng, start)]
    short = [sequence(10, rng, start), sequence(10, rng, start)]
    return [[sequence(5, rng)], pair, [sequence(23, rng)], [sequence(1, rng)], short]


def by_hand(model, bundles):
    """Each sequence alone through the model, as its author wrote it."""
    found = []
    for one in (sequence for bundle in bundles for sequence in bundle):
        ids = torch.tensor([list(one.ids)])
        labels = torch.tensor(list(one.labels))
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
        trained = labels[1:] != IGNORED
        found.append(cross_entropy(logits[:-1][trained], labels[1:][trained], reduction="none"))
    return torch.cat(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_scored_as_by_its_own_forward_pass(family):
    model = model_of(family)
    with torch.no_grad():
        expected = by_hand(model, bundles())
    scorer = scorer_for(model, 0, "cpu")
    assert (scorer.layout, scorer.own_head) == FAMILIES[family][1:]
    assert scorer.narrow == (FAMILIES[family][1:] == (FLAT, OWN))
    with torch.no_grad():
        assert torch.allclose(scorer.losses(bundles()).values, expected, rtol=1e-4, atol=1e-4)


def gradients(model, scorer):
    model.zero_grad()
    losses = scorer.losses(bundles())
    (losses.values * torch.linspace(0.5, 2, len(losses.values))).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers' names are about to change
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize("family", ["Llama", "Mistral", "GPT2", "Qwen3Moe", "Granite"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("trains_all", [False, True])
def test_gradients_equal_those_of_the_padded_rows(family, checkpointing, trains_all):
    model = model_of(family)
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    if not trains_all:
        config = LoraConfig(
            task_type="CAUSAL_LM", target_modules=LAYERS, r=4, init_lora_weights=False
        )
        model = get_peft_model(model, config)
    model.train()
    quick = scorer_for(model, 0, "cpu")
    found = gradients(model, quick)
    expected = gradients(model, Scorer(model, 0, "cpu").in_use())
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max()
        assert (found[name] - gradient).abs().max() <= 1e-4 * scale + 1e-7, name


def test_a_model_in_bfloat16_is_laid_flat_too():
    model = model_of("Llama").to(torch.bfloat16)
    scorer = scorer_for(model, 0, "cpu")
    assert (scorer.layout, scorer.own_head) == (FLAT, OWN)
    with torch.no_grad():
        plain = Scorer(model, 0, "cpu").in_use().losses(bundles()).values
        found = scorer.in_use().losses(bundles()).values
    assert (found - plain).abs().mean() < 0.1  # of losses of about 10, that bfloat16 rounds to 0.06


def offered(monkeypatch, *kernels):
    """From now on these are the kernels of attention."""
    monkeypatch.setattr(finding, "kernels_for", lambda _: kernels)


def test_attention_that_lets_sequences_see_each_other_is_found_out(monkeypatch):
    def leaky(_, call):
        return torch.nn.functional.scaled_dot_product_attention(
            call.query, call.key, call.value, is_causal=True, scale=call.scaling, enable_gqa=True
        ).transpose(1, 2)

    offered(monkeypatch, SPLIT._replace(attend=leaky))
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    assert scorer.layout == "padded"
    assert "sequences see each other" in scorer.in_words


def test_finding_the_way_leaves_the_model_as_it_was():
    model = model_of("Llama").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scorer_for(model, 0, "cpu")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_sequences_begin_with_alike_is_there_once():
    rng = random.Random(0)
    start = [5, 6, 7]
    pair = [sequence(6, rng, start), sequence(5, rng, start)]
    batch = flat([pair], "cpu")
    assert batch.ids.shape == (1, 3 + 3 + 2)
    assert batch.positions[0].tolist() == [0, 1, 2, 3, 4, 5, 3, 4]
    assert [tuple(s) for s in batch.segments] == [(3, None), (3, 0), (2, 0)]
    assert padded([pair], 0, "cpu").ids.shape == (2, 6)


def test_a_sequence_that_is_the_beginning_of_another_keeps_a_token_of_its_own():
    rng = random.Random(0)
    longer = sequence(8, rng)
    shorter = Example(longer.ids[:5], longer.labels[:5], 1.0, was_cut=True)
    assert [s.length for s in flat([[longer, shorter]], "cpu").segments] == [4, 4, 1]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_losses_of_the_head_are_torchs_own(bias, frozen, monkeypatch):
    monkeypatch.setattr(head, "LOGITS", 50 * 7)  # so that 20 places are three parts
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 50, bias=bias).requires_grad_(not frozen)
    hidden = torch.randn(20, 8, requires_grad=True)
    tokens, weights = torch.randint(50, (20,)), torch.rand(20)
    found = head.losses(linear, hidden, tokens)
    expected = cross_entropy(linear(hidden), tokens, reduction="none")
    assert torch.allclose(found, expected, atol=1e-5)
    inputs = [hidden, *(p for p in linear.parameters() if p.requires_grad)]
    ours = torch.autograd.grad((found * weights).sum(), inputs)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(ours, theirs, strict=True))


def test_rows_without_a_trained_token_have_no_loss_and_break_nothing():
    model = model_of("Llama")
    scorer = scorer_for(model, 0, "cpu")
    silent = Example(array("i", [3, 4]), array("i", [IGNORED] * 2), 1.0, was_cut=False)
    losses = scorer.losses([[silent]])
    assert losses.values.shape == (0,)
    losses.values.sum().backward()
    assert replace(scorer, own_head=False).losses([[silent]]).values.shape == (0,)


def test_a_kind_of_attention_that_breaks_is_not_taken(monkeypatch):
    def broken(*_):
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")

    offered(monkeypatch, SPLIT._replace(attend=broken))
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    assert scorer.layout == "padded"
    assert "RuntimeError: FlashAttention only supports" in scorer.in_words


def test_under_autocast_attention_is_computed_in_one_format():
    model = model_of("Llama")
    scorer = scorer_for(model, 0, "cpu")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = scorer.losses(bundles()).values
    with torch.no_grad():
        exact = scorer.losses(bundles()).values
    assert found.dtype == torch.float32
    assert (found - exact).abs().mean() < 0.02 * exact.mean()
