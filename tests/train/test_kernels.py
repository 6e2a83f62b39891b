"""Kernels of attention for GPUs: what is asked of them, and that the right one is taken.

They run here as far as they can on a CPU: flex attention uncompiled, and in place of the kernels of
torch and flash-attn what their documentation says of them, written down score by score.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType

import pytest
import torch
import transformers
from torch.nn.attention import flex_attention as torchs_flex
from torch.nn.attention import varlen as torchs_varlen
from transformers import modeling_flash_attention_utils as transformers_flash
from transformers.integrations import flex_attention as transformers_flex

from ftlab.train import finding
from ftlab.train.finding import scorer_for
from ftlab.train.kernels import FLASH, FLEX, ON_CUDA, SPLIT, VARLEN, flash, kernels_for, varlen
from ftlab.train.kernels.kernel import Call, not_for_flash
from ftlab.train.scoring import Scorer
from tests.train.test_scoring import SHAPE, bundles, by_hand, gradients, model_of


def here(kernel):
    """A kernel that may run on a CPU, too."""
    return kernel._replace(lacks=lambda _: "")


def unequal(query, key, value, ends, key_ends, scale, window, cap=None):
    """Attention within sequences of unequal length, (tokens, heads, width), as flash attention
    defines it: the last query and the last key of a sequence are the same token, and a window
    counts the tokens besides itself."""
    shared, found = query.shape[1] // key.shape[1], []
    pairs = zip(pairwise(ends.tolist()), pairwise(key_ends.tolist()), strict=True)
    for (start, end), (key_start, key_end) in pairs:
        q = query[start:end].transpose(0, 1)
        k, v = (
            part[key_start:key_end].transpose(0, 1).repeat_interleave(shared, 0)
            for part in (key, value)
        )
        scores = q @ k.transpose(1, 2) * (scale or q.shape[-1] ** -0.5)
        if cap:
            scores = cap * torch.tanh(scores / cap)
        n, m = end - start, key_end - key_start
        behind = torch.arange(n)[:, None] + (m - n) - torch.arange(m)
        left, right = window
        seen = behind >= -right if right >= 0 else torch.ones_like(behind, dtype=torch.bool)
        if left >= 0:
            seen = seen & (behind <= left)
        found.append((scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v).transpose(0, 1))
    return torch.cat(found)


@pytest.fixture
def varlen_attn(monkeypatch):
    def documented(
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa
    ):
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert max_q == cu_seq_q.diff().max()
        assert max_k == cu_seq_k.diff().max()
        assert enable_gqa == (query.shape[1] != key.shape[1])
        return unequal(query, key, value, cu_seq_q, cu_seq_k, scale, window_size)

    monkeypatch.setattr(torchs_varlen, "varlen_attn", documented)


@pytest.fixture
def flash_attn(monkeypatch):
    """The package, as its 2.8 describes flash_attn_varlen_func."""

    def documented(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        dropout_p=0.0,
        softmax_scale=None,
        causal=False,  # noqa: FBT002
        window_size=(-1, -1),
        softcap=0.0,
        deterministic=False,  # noqa: FBT002
    ):
        assert causal
        assert max_seqlen_q == cu_seqlens_q.diff().max()
        assert max_seqlen_k == cu_seqlens_k.diff().max()
        window = window_size[0], 0  # causal: none behind
        return unequal(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale, window, softcap)

    package, padding = ModuleType("flash_attn"), ModuleType("flash_attn.bert_padding")
    package.flash_attn_func = package.flash_attn_with_kvcache = lambda: None
    package.flash_attn_varlen_func = documented
    padding.pad_input = padding.unpad_input = lambda: None
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setitem(sys.modules, "flash_attn.bert_padding", padding)
    monkeypatch.setattr(transformers_flash, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(transformers_flash, "_loaded_implementation", None)
    monkeypatch.setattr(flash, "_installed", lambda _: flash.OLD)


@pytest.fixture
def flex_attention(monkeypatch):
    """Uncompiled, and with the way back that torch forbids on a CPU and has all the same."""

    def uncompiled(*parts, training, return_lse=None, return_aux=None, **settings):
        return torchs_flex.flex_attention(*parts, **settings)

    monkeypatch.setattr(transformers_flex, "compile_friendly_flex_attention", uncompiled)
    monkeypatch.setattr(torchs_flex, "_validate_device", lambda *_: None)


SIMPLE = ("Llama", "Mistral", "Gemma3", "GPT2", "Qwen3Moe")


def uncompiled(test):
    """torch warns of the time that it takes, and of what it looks at."""
    for what in ("flex_attention called without torch.compile", "The .grad attribute of a Tensor"):
        test = pytest.mark.filterwarnings(f"ignore:{what}")(test)
    return test


def equal_to_padded(family, kernel, monkeypatch, own_head):
    monkeypatch.setattr(finding, "kernels_for", lambda _: (kernel,))
    model = model_of(family)
    with torch.no_grad():
        expected = by_hand(model, bundles())
    scorer = scorer_for(model, 0, "cpu")
    assert (scorer.kernel, scorer.own_head) == (kernel, own_head), scorer.in_words
    with torch.no_grad():
        found = scorer.losses(bundles()).values
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    ours, theirs = gradients(model, scorer), gradients(model, Scorer(model, 0, "cpu").in_use())
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max() + 1e-7, name


@pytest.mark.parametrize("family", SIMPLE)
def test_torchs_varlen_attn_is_asked_for_the_same(family, varlen_attn, monkeypatch):
    equal_to_padded(family, here(VARLEN), monkeypatch, own_head=True)


@pytest.mark.parametrize("family", SIMPLE)
def test_flash_attn_is_asked_for_the_same(family, flash_attn, monkeypatch):
    equal_to_padded(family, here(FLASH), monkeypatch, own_head=True)


def test_flash_attn_caps_scores(flash_attn, monkeypatch):
    equal_to_padded("Gemma2", here(FLASH), monkeypatch, own_head=False)


@uncompiled
@pytest.mark.parametrize("family", ["Mistral", "GPT2"])
def test_flex_attention_gives_the_same(family, flex_attention, monkeypatch):
    equal_to_padded(family, here(FLEX), monkeypatch, own_head=True)


@uncompiled
def test_flex_attention_caps_scores(flex_attention, monkeypatch):
    equal_to_padded("Gemma2", here(FLEX), monkeypatch, own_head=False)


def test_on_an_nvidia_gpu_all_kernels_are_tried_and_elsewhere_the_one_that_runs_everywhere():
    assert kernels_for("cuda:1") == ON_CUDA == (VARLEN, FLASH, FLEX, SPLIT)
    assert kernels_for("cpu") == kernels_for("mps") == (SPLIT,)


@uncompiled
def test_the_first_that_does_what_is_asked_is_taken_and_why_not_those_before_is_said(
    flex_attention, monkeypatch
):
    monkeypatch.setattr(varlen, "_is_there", lambda: True)
    monkeypatch.setattr(flash, "_installed", lambda _: "")
    monkeypatch.setattr(finding, "kernels_for", lambda _: (VARLEN, FLASH, here(FLEX), SPLIT))
    scorer = scorer_for(model_of("Gemma2"), 0, "cpu")
    assert scorer.in_words == (
        "Sequences lie end to end; torch's flex attention keeps them apart (torch's varlen_attn: "
        "scores are capped; flash-attn: not installed)."
    )


def test_a_kernel_whose_results_are_others_is_passed_over(monkeypatch):
    def forgets_the_scaling(row, call):
        return SPLIT.attend(row, call._replace(scaling=1e-3))

    wrong = SPLIT._replace(title="wrong", attend=forgets_the_scaling)
    monkeypatch.setattr(finding, "kernels_for", lambda _: (wrong, SPLIT))
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    assert scorer.kernel == SPLIT
    assert scorer.passed_over["wrong"].startswith("losses are off by up to ")


def test_what_a_kernel_lacks_only_while_training_is_found_out(monkeypatch):
    torch.manual_seed(0)
    settings = transformers.LlamaConfig(**SHAPE, attention_dropout=0.5)
    model = transformers.LlamaForCausalLM(settings)
    no_dropout = SPLIT._replace(
        title="undropped", lacks=lambda call: "attention has dropout" if call.dropout else ""
    )
    monkeypatch.setattr(finding, "kernels_for", lambda _: (no_dropout, SPLIT))
    scorer = scorer_for(model, 0, "cpu")
    assert scorer.kernel == SPLIT
    assert scorer.passed_over == {"undropped": "attention has dropout"}


def asked(dtype=torch.bfloat16, width=64, value_width=None, **more):
    query, key = torch.zeros(1, 4, 3, width, dtype=dtype), torch.zeros(1, 2, 3, width, dtype=dtype)
    return Call(None, query, key, torch.zeros(1, 2, 3, value_width or width, dtype=dtype), **more)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (asked(torch.float32), "numbers are float32"),
        (asked(width=512), "heads have 512 and 512 values"),
        (asked(width=20), "heads have 20 and 20 values"),
        (asked(width=64, value_width=32), "heads have 64 and 32 values"),
        (asked(sinks=torch.zeros(4)), "attention has sinks"),
        (asked(), "the device is cpu"),
    ],
)
def test_what_flash_attention_takes(call, reason):
    assert not_for_flash(call) == reason


@pytest.mark.parametrize(
    ("capability", "problem"),
    [((7, 5), "the GPU is older than Ampere"), ((8, 0), ""), ((9, 0), "")],
)
def test_flash_attention_takes_gpus_from_ampere_on(monkeypatch, capability, problem):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    part = torch.zeros(1, 2, 3, 64, dtype=torch.float16)

    class OnGpu(torch.Tensor):
        device = torch.device("cuda:0")

    assert not_for_flash(Call(None, part.as_subclass(OnGpu), part, part)) == problem


def test_of_flash_attn_the_version_for_the_gpu_is_taken(monkeypatch):
    utils, is_hopper = transformers.utils.import_utils, [True]
    monkeypatch.setattr(utils, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(utils, "is_flash_attn_3_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda _: (9 if is_hopper[0] else 8, 0)
    )
    flash._installed.cache_clear()
    assert flash._installed(0) == flash.NEW
    flash._installed.cache_clear()
    is_hopper[0] = False
    assert flash._installed(0) == flash.OLD
    flash._installed.cache_clear()
