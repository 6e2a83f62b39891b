"""A base in few bits: what is asked of transformers, and where it is refused."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from ftlab.errors import FtlabError, MissingExtra
from ftlab.spec import JobSpec
from ftlab.train.quantised import (
    TALKATIVE,
    bitsandbytes,
    in_bits,
    quantization_config,
    take_what_bits_stand_for,
)
from ftlab.train.shared import with_same_weights


def test_nothing_is_asked_for_without_quantization():
    assert quantization_config(JobSpec(), torch.float32, "cpu") is None


def test_a_cpu_is_refused_before_anything_is_loaded():
    with pytest.raises(FtlabError, match=r"quantization is 'nf4' and the device is cpu; .*NVIDIA"):
        quantization_config(JobSpec(quantization="nf4"), torch.float32, "cpu")


def test_all_weights_are_refused():
    spec = JobSpec(quantization="int8", lora=False)
    with pytest.raises(FtlabError, match=r"only an adapter trains\. Set lora to True"):
        quantization_config(spec, torch.bfloat16, "cuda:0")


def test_a_missing_package_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "ftlab\[qlora\]"'):
        bitsandbytes("quantization", "nf4", torch.device("cuda:0"))


def test_four_bits_are_nf4_with_scales_that_are_quantised_too(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.49.0")
    found = in_bits("nf4", torch.bfloat16)
    assert found.load_in_4bit
    assert (found.bnb_4bit_quant_type, found.bnb_4bit_use_double_quant) == ("nf4", True)
    assert found.bnb_4bit_compute_dtype == torch.bfloat16
    assert in_bits("int8", torch.bfloat16).load_in_8bit


def test_a_plain_model_takes_the_weights_in_its_own_layout():
    """Among quantised layers GPT-2's are linear ones, which hold their weights the other way."""
    from transformers.pytorch_utils import Conv1D

    few = torch.nn.ModuleList([torch.nn.Linear(3, 2), torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)])
    for layer in few[:2]:
        layer.source_cls = type(layer)
    few.to(torch.bfloat16)
    plain = torch.nn.ModuleList([torch.nn.Linear(3, 2), Conv1D(2, 3), torch.nn.Linear(3, 2)])
    whole = plain[2].weight.clone()
    take_what_bits_stand_for(plain, few)
    assert torch.equal(plain[0].weight, few[0].weight.float())
    assert torch.equal(plain[1].weight, few[1].weight.T.float())
    assert torch.equal(plain[2].weight, whole)


class Eight(torch.nn.Module):
    """Reads its bits as bitsandbytes' Linear8bitLt does: at the first row it takes their scales
    from the weight, and makes new ones where there are none."""

    source_cls = torch.nn.Linear

    def __init__(self):
        super().__init__()
        bits = torch.tensor([[1.0, 127.0], [-127.0, 64.0]])
        self.weight = torch.nn.Parameter(bits, requires_grad=False)
        self.weight.SCB = torch.tensor([0.5, 2.0])
        self.state = SimpleNamespace(SCB=None)

    def forward(self, x):
        if self.weight.SCB is not None:
            self.state.SCB, self.weight.SCB = self.weight.SCB, None
        if self.state.SCB is None:
            self.state.SCB = self.weight.abs().amax(1)
        return x @ (self.weight * self.state.SCB[:, None] / 127).T


def test_all_arms_of_a_sweep_read_the_same_bits():
    base, x = torch.nn.Sequential(Eight()), torch.ones(1, 2)
    first, second = with_same_weights(base), with_same_weights(base)
    expected = Eight()(x)
    later = [arm(x) for arm in (first, second, with_same_weights(base))]
    assert all(torch.equal(found, expected) for found in later)
    assert second[0].weight is base[0].weight


def test_int8_does_not_say_the_same_at_every_layer(caplog):
    in_bits("int8", torch.bfloat16)
    logging.getLogger(TALKATIVE).warning("inputs will be cast")
    assert caplog.messages == []
