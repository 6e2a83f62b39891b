"""liger-kernel stays where it gives the same and saves time, and leaves no trace elsewhere.

The package itself needs an NVIDIA GPU: in its place is one that replaces a Llama's norms alike.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import MethodType, ModuleType

import pytest
import torch
from transformers.models.llama import modeling_llama

from ftlab import number_formats
from ftlab.train import liger
from ftlab.train.finding import scorer_for
from ftlab.train.parallel import Room
from tests.train.test_scoring import model_of

NAMES = ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch")


@pytest.fixture
def package(monkeypatch, tmp_path):
    """The last of its modules, for devices that are here; nothing was measured yet."""
    made = {name: ModuleType(name) for name in NAMES}
    for name, module in made.items():
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(liger, "ON", "cpu")
    monkeypatch.setattr(liger, "LENGTH", 20)
    monkeypatch.setattr(liger, "version", lambda _: "0.8")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(number_formats, "folder", lambda: tmp_path)
    last = made[NAMES[-1]]
    last.MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": None}
    return last


def replacing(package, forward, error=None):
    """The package replaces each norm's forward pass, and the family's class, by something else."""

    def apply(model, **wanted):
        assert wanted["rms_norm"]
        assert not any(wanted[name] for name in ("fused_linear_cross_entropy", "rope"))
        modeling_llama.LlamaRMSNorm = torch.nn.Identity
        for module in model.modules():
            if isinstance(module, NORM):
                module.offset = 0.0
                module.__dict__["forward"] = MethodType(forward, module)
        if error:
            raise error

    package._apply_liger_kernel_to_instance = apply


NORM = modeling_llama.LlamaRMSNorm


def same(norm, x):
    return NORM.forward(norm, x)


def other(norm, x):
    return x


def clock(monkeypatch, *seconds):
    """What it takes there and back, in turn."""
    times = iter([t for taken in seconds for t in (0.0, taken)])
    monkeypatch.setattr(liger, "_now", lambda _: next(times))


def left(scorer):
    """How many modules have something of their own, and whether the family is as it was."""
    own = sum("forward" in vars(m) or "offset" in vars(m) for m in scorer.inner.modules())
    return own, modeling_llama.LlamaRMSNorm is NORM


@pytest.fixture
def scorer(package):
    return scorer_for(model_of("Llama"), 0, "cpu")


PLAIN, FASTER, SLOWER = [2.0] * 4, [1.0] * 4, [3.0] * 4


def test_what_is_faster_stays_and_is_remembered(package, scorer, monkeypatch):
    replacing(package, same)
    clock(monkeypatch, *PLAIN, *FASTER)
    found = liger.quickened(scorer, Room())
    assert found.in_words.endswith("Norms and gates are liger-kernel's.")
    assert left(found) == (5, True)
    clock(monkeypatch, *PLAIN, *SLOWER)  # a run that goes on computes as it did
    again = liger.quickened(scorer_for(model_of("Llama"), 0, "cpu"), Room())
    assert left(again) == (5, True)


def test_what_is_slower_leaves_no_trace_and_is_not_tried_again(package, scorer, monkeypatch):
    replacing(package, same)
    clock(monkeypatch, *PLAIN, *SLOWER)
    found = liger.quickened(scorer, Room())
    assert found.remark == "liger-kernel is left out (1.50 times the time)."
    assert left(found) == (0, True)
    clock(monkeypatch)
    assert "slower when it was measured" in liger.quickened(scorer, Room()).remark


def test_what_gives_something_else_is_left_out(package, scorer):
    replacing(package, other)
    found = liger.quickened(scorer, Room())
    assert found.remark.startswith("liger-kernel is left out (losses are off by ")
    assert left(found) == (0, True)


def test_what_breaks_is_left_out(package, scorer):
    replacing(package, same, error=AttributeError("no attribute 'norm'"))
    found = liger.quickened(scorer, Room())
    assert "AttributeError: no attribute 'norm'" in found.remark
    assert left(found) == (0, True)


def test_where_memory_does_not_suffice_for_trying_the_model_stays_as_it_is(
    package, scorer, monkeypatch
):
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(liger, "_tried", full)
    found = liger.quickened(scorer, Room())
    assert "CUDA out of memory" in found.remark
    assert left(found) == (0, True)


def test_other_models_and_devices_stay_as_they_are(package, scorer, monkeypatch):
    package.MODEL_TYPE_TO_APPLY_LIGER_FN = {"gemma": None}
    assert liger.quickened(scorer, Room()) is scorer
    package.MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": None}
    monkeypatch.setattr(liger, "ON", "cuda")
    assert liger.quickened(scorer, Room()) is scorer


def test_trying_draws_no_random_numbers_and_leaves_no_gradient(scorer, package):
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    liger._tried(scorer)
    assert torch.equal(torch.get_rng_state(), expected)
    assert all(p.grad is None for p in scorer.model.parameters())
