"""The short way through a LoRA layer against peft's own."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ftlab.train.fused import fuse

# transformers' names are about to change, and peft uses the old ones.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def model_of(dtype=torch.float32, **changes):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        attention_bias=True,
    )
    base = LlamaForCausalLM(config).to(dtype)
    settings = {"r": 4, "lora_alpha": 12, "init_lora_weights": False, **changes}
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **settings)
    return get_peft_model(base, lora).train()


def said(model):
    """Logits, and the gradients of everything that trains."""
    model.zero_grad()
    torch.manual_seed(1)
    logits = model(input_ids=torch.arange(20).reshape(2, 10)).logits
    (logits.float() ** 2).mean().backward()
    return logits.detach(), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


def same(found, expected, rtol=1e-4):
    assert torch.allclose(found[0], expected[0], rtol=rtol, atol=rtol)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert (found[1][name] - gradient).norm() <= rtol * gradient.norm(), name


@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"exclude_modules": ["q_proj"]}])
def test_logits_and_gradients_equal_pefts(changes):
    plain = model_of(**changes)
    short = copy.deepcopy(plain)
    assert fuse(short) == (14 if "exclude_modules" not in changes else 12)
    same(said(short), said(plain))


def test_beside_a_bfloat16_base_it_is_as_near_to_float32_as_pefts():
    exact = said(model_of())
    plain = model_of(torch.bfloat16)
    short = copy.deepcopy(plain)
    fuse(short)
    away = [(said(m)[0].float() - exact[0]).norm() for m in (short, plain)]
    assert away[0] <= 1.1 * away[1]
    assert all(g.dtype == torch.float32 for g in said(short)[1].values())


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({"use_dora": True}, 0),
        ({"use_dora": True, "lora_dropout": 0.5}, 0),
        ({"bias": "lora_only"}, 6),
    ],
)
def test_what_is_more_than_a_and_b_stays_pefts(changes, fused):
    plain = model_of(**changes)
    other = copy.deepcopy(plain)
    assert fuse(other) == fused
    same(said(other), said(plain))


@pytest.mark.parametrize("dropout", [0.05, 0.5])
def test_the_same_values_are_dropped(dropout):
    plain = model_of(lora_dropout=dropout)
    short = copy.deepcopy(plain)
    assert fuse(short) == 14
    assert not torch.equal(said(short)[0], said(model_of())[0])
    same(said(short), said(plain))
    same(said(short.eval()), said(plain.eval()))


def test_of_what_is_dropped_a_byte_per_value_stays():
    def kept(**changes):
        model, sizes = model_of(**changes), dict[int, int]()
        fuse(model)

        def keep(tensor):
            held.append(tensor)
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        held = list[torch.Tensor]()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(input_ids=torch.arange(20).reshape(2, 10))
        return sum(sizes.values())

    inputs = 2 * (6 * 32 + 48)  # of all adapted layers
    assert kept(lora_dropout=0.5) - kept() == 20 * inputs


def test_an_adapter_that_is_off_merged_or_not_alone_is_pefts_business():
    plain = model_of()
    short = copy.deepcopy(plain)
    fuse(short)
    for model in (plain, short):
        torch.manual_seed(2)
        model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"], lora_alpha=9))
    ids = torch.arange(20).reshape(2, 10)
    with torch.no_grad(), plain.disable_adapter(), short.disable_adapter():
        assert torch.equal(short(input_ids=ids).logits, plain(input_ids=ids).logits)
    for model in (plain, short):
        model.base_model.set_adapter(["default", "other"])
    same(said(short), said(plain))
    for model in (plain, short):
        model.set_adapter("other")
    same(said(short), said(plain))
    for model in (plain, short):
        model.merge_adapter()
    with torch.no_grad():
        assert torch.equal(short(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_sums_over_tokens_stay_numbers_in_float16():
    from ftlab.train.fused import _Fused

    x = torch.full((64, 8), 50.0, dtype=torch.float16)
    weight = torch.ones(8, 8, dtype=torch.float16)
    a, b = (torch.full(shape, 0.5, requires_grad=True) for shape in ((2, 8), (8, 2)))
    _Fused.apply(x, weight, None, a, b, 1.0, 0.0).float().sum().mul(8).backward()
    exact = 64 * 50.0 * 8 * 8 * 0.5  # tokens × input × outputs × scale of the loss × B
    assert a.grad is not None
    assert torch.equal(a.grad, torch.full_like(a, exact))
