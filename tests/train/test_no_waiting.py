"""A step asks for no number that a device has not made yet: on a GPU nothing waits for it.

Tensors without values stand for those of a GPU: whoever asks for a value is refused.
"""

from __future__ import annotations

from array import array

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from transformers import LlamaConfig, LlamaForCausalLM

from ftlab.job import LocalOptions
from ftlab.rules import resolve
from ftlab.train import trainer as steps
from ftlab.train.batches import Example, Pair
from ftlab.train.fused import fuse
from ftlab.train.kernels import SPLIT, VARLEN
from ftlab.train.model import make_optimizer
from ftlab.train.scoring import Scorer
from ftlab.train.trainer import Trainer
from tests.train.test_memory_falls_short import SHAPE

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LENGTHS = (5, 9, 12, 7)


@pytest.fixture
def nobody_reads(monkeypatch):
    """What a step says of itself stays where it is. transformers reads no tensor without values:
    here it has to take them for those of a GPU."""
    monkeypatch.setattr(transformers.masking_utils, "is_tracing", lambda *_: False)
    monkeypatch.setattr(steps, "brought", lambda _: lambda: pytest.fail("it was read"))


def trainer_of(method, kernel, dropout, mode):
    base = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2))
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", lora_dropout=dropout)
    model = get_peft_model(base, lora).train()
    fuse(model)
    for module in model.modules():
        own = module._parameters
        own.update({n: _without_values(p, mode) for n, p in own.items() if p is not None})
    values = {"model": "demo", "training_file": "x.jsonl", "training_method": method}
    spec = resolve({**values, "max_grad_norm": 1.0}).spec
    scorer = Scorer(model, 0, "cpu", kernel._replace(lacks=lambda _: ""), own_head=True).in_use()
    return Trainer(spec, LocalOptions(), scorer, make_optimizer(model, spec))


def _without_values(parameter, mode):
    return torch.nn.Parameter(
        mode.from_tensor(parameter.data), requires_grad=parameter.requires_grad
    )


def rows_of(method):
    made = [
        Example(array("i", range(n)), array("i", range(n)), 1.0, was_cut=False) for n in LENGTHS
    ]
    return made if method == "sft" else [Pair(*made[:2], (0.0, 0.0)), Pair(*made[2:], (0.0, 0.0))]


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize(("kernel", "dropout"), [(VARLEN, 0.1), (SPLIT, 0.0)])
def test_a_step_is_launched_without_waiting(nobody_reads, method, kernel, dropout):
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    trainer = trainer_of(method, kernel, dropout, mode)
    with mode:
        for _ in range(2):
            trainer.launch(rows_of(method), 1e-3)


def test_who_asked_would_be_refused():
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(2).sum().item()
