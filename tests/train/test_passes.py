"""Norms and rotary positions in fewer passes against the models' own."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ftlab.train.passes import shorten
from tests.train.test_scoring import FAMILIES, model_of

# name → how many of its modules may, of two layers: their norms and the last one, and their turns.
CHANGED = {
    **{"Llama": 7, "Qwen2": 7, "Qwen3": 11, "Mistral": 7, "Phi3": 7, "Olmo2": 11},
    **{"Gemma": 7, "Gemma2": 11, "Gemma3": 15, "Granite": 7, "Mixtral": 7, "Qwen3Moe": 11},
    **{"GPTNeoX": 2, "GPT2": 0, "Mamba": 3, "Cohere2": 0},
}
IDS = torch.arange(3, 43).reshape(2, 20)


def said(model):
    """Logits, and the gradients of what goes into the layers and of all that trains."""
    model.zero_grad()
    embedded = model.get_input_embeddings()(IDS).detach().requires_grad_()
    logits = model(inputs_embeds=embedded, use_cache=False).logits
    (logits.float() ** 2).mean().backward()
    trained = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return [logits.detach(), embedded.grad, *trained]


def same(found, expected, rtol=1e-4):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= rtol * other.norm()


def drawn(family, dtype=torch.float32, **changes):
    """A model whose norms' weights are not all one, for one that leaves them out to be seen."""
    model = model_of(family, **changes).requires_grad_(requires_grad=False)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 4)
    return model.to(dtype)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_same_and_learns_the_same(family):
    plain = drawn(family)
    short = copy.deepcopy(plain)
    n = shorten(short)
    assert n == CHANGED.get(family, n)
    same(said(short), said(plain))


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Gemma3"])
def test_in_bfloat16_it_is_nearer_to_float32(family):
    plain = drawn(family, torch.bfloat16)
    exact, short = copy.deepcopy(plain).float(), copy.deepcopy(plain)
    shorten(short)
    expected = said(exact)
    for kind in range(2):  # logits, gradients
        away = [(said(m)[kind].float() - expected[kind]).norm() for m in (short, plain)]
        assert away[0] <= 1.1 * away[1]


def test_norms_that_train_are_the_models_own():
    plain = drawn("Llama").requires_grad_()
    short = copy.deepcopy(plain)
    shorten(short)
    same(said(short), said(plain))
    assert all(p.grad is not None for n, p in short.named_parameters() if "embed" not in n)


def test_positions_of_a_part_of_a_head_are_the_models_own():
    changes = {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}
    plain = drawn("GPTNeoX", **changes)
    short = copy.deepcopy(plain)
    shorten(short)
    assert all(torch.equal(*pair) for pair in zip(said(short), said(plain), strict=True))


def test_what_computes_otherwise_is_left_alone(monkeypatch):
    from transformers.models.llama import modeling_llama

    class HalfRMSNorm(modeling_llama.LlamaRMSNorm):
        def forward(self, x):
            return super().forward(x) / 2

    def turned_back(q, k, cos, sin, unsqueeze_dim=1):
        return usual(q, k, cos, -sin, unsqueeze_dim)

    usual = modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", turned_back)
    monkeypatch.setattr(modeling_llama, "LlamaRMSNorm", HalfRMSNorm)
    assert shorten(drawn("Llama")) == 0


def test_a_small_epsilon_is_not_overlooked():
    config = LlamaConfig(
        **{"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1},
        **{"num_attention_heads": 4, "rms_norm_eps": 1e-6},
    )
    model = LlamaForCausalLM(config).requires_grad_(requires_grad=False)
    model.model.norm.eps = 1e-5  # which its code does not read: that is variance_epsilon
    assert shorten(model) == 4


def test_the_numbers_it_tries_are_not_the_runs():
    model = drawn("Llama")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    shorten(model)
    assert torch.equal(torch.get_rng_state(), before)


class OfEightRMSNorm(torch.nn.Module):
    """A norm as they all are, for others to differ from."""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 1.5, 8), requires_grad=False)
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        square = wide.pow(2).mean(-1, keepdim=True)
        return self.weight * (wide * (square + self.eps).rsqrt()).to(x.dtype)


class InThreeRMSNorm(OfEightRMSNorm):
    def forward(self, x):
        n_rows, length, width = x.shape
        return super().forward(x.view(n_rows * length, width)).view_as(x)


class OfTwoRMSNorm(OfEightRMSNorm):
    def forward(self, x, gate):
        return super().forward(x) * gate


class NoWayBackRMSNorm(OfEightRMSNorm):
    def forward(self, x):
        return super().forward(x.detach())


class MovedRMSNorm(OfEightRMSNorm):
    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return super().forward(x) + self.bias


class WideRMSNorm(OfEightRMSNorm):
    def forward(self, x):
        return super().forward(x).float()


class NarrowRMSNorm(OfEightRMSNorm):
    def forward(self, x):
        return super().forward(x)[..., :4]


class OwnTurn(torch.nn.Module):
    def apply_rotary_pos_emb(self, x):
        return -x

    def forward(self, x):
        return self.apply_rotary_pos_emb(x)


@pytest.mark.parametrize(
    "made",
    [
        *(InThreeRMSNorm, OfTwoRMSNorm, NoWayBackRMSNorm, MovedRMSNorm),
        *(WideRMSNorm, NarrowRMSNorm, OwnTurn),
    ],
)
def test_what_it_cannot_try_is_left_alone(made):
    assert shorten(OfEightRMSNorm().bfloat16()) == 1
    assert shorten(made().bfloat16()) == 0


def test_what_else_a_norm_is_given_reaches_it():
    class GatedRMSNorm(OfEightRMSNorm):
        def forward(self, x, gate=None):
            return super().forward(x) if gate is None else super().forward(x) * gate

    norm, plain, x = GatedRMSNorm(), GatedRMSNorm(), torch.ones(1, 3, 8)
    assert shorten(norm) == 1
    assert torch.equal(norm(x, 2 * x), plain(x, 2 * x))
    assert torch.equal(norm(x=x, gate=x), plain(x))


def test_it_does_so_once():
    model = drawn("Llama")
    assert [shorten(model), shorten(model)] == [7, 0]
