"""A step whose memory does not suffice is taken again in smaller pieces, and nothing is lost."""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ftlab.job import LocalOptions
from ftlab.rules import resolve
from ftlab.train.batches import Example, Pair
from ftlab.train.device import is_out_of_memory
from ftlab.train.evaluating import evaluated
from ftlab.train.finding import scorer_for
from ftlab.train.kernels import SPLIT
from ftlab.train.model import make_optimizer
from ftlab.train.scoring import Scorer
from ftlab.train.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture
def trainer():
    torch.manual_seed(0)
    model = get_peft_model(
        LlamaForCausalLM(LlamaConfig(**SHAPE)),
        LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"),
    ).train()
    spec = resolve({"model": "demo", "training_file": "x.jsonl", "learning_rate": 1e-2}).spec
    return Trainer(spec, LocalOptions(), scorer_for(model, 0, "cpu"), make_optimizer(model, spec))


def rows(n=8):
    rng = random.Random(0)
    made = [[rng.randrange(64) for _ in range(rng.randint(5, 20))] for _ in range(n)]
    return [Example(array("i", ids), array("i", ids), 1.0, was_cut=False) for ids in made]


def small_device(monkeypatch, holds: int):
    """A device that has room for so many tokens."""
    losses = Scorer.losses

    def limited(self, bundles):
        found = losses(self, bundles)
        if sum(len(one.ids) for bundle in bundles for one in bundle) > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return found

    monkeypatch.setattr(Scorer, "losses", limited)


def weights(trainer):
    return [p.detach().clone() for p in trainer.model.parameters() if p.requires_grad]


def test_the_step_is_the_same_in_smaller_pieces(trainer, monkeypatch):
    untouched = weights(trainer)
    expected = [trainer.step(rows(), 1e-2)["train_loss"], *weights(trainer)]
    for parameter, value in zip(
        (p for p in trainer.model.parameters() if p.requires_grad), untouched, strict=True
    ):
        parameter.data.copy_(value)
    trainer.optimizer = make_optimizer(trainer.model, trainer.spec)
    small_device(monkeypatch, 40)
    found = [trainer.step(rows(), 1e-2)["train_loss"], *weights(trainer)]
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert torch.allclose(ours, theirs, atol=2e-4)  # Adam's first step is ± the learning rate
    assert trainer.piece_tokens <= 40
    assert "did not suffice" in trainer.notes[0]
    assert len(trainer.notes) <= 3  # each made the pieces of about 100 tokens smaller


def pairs(n=8):
    return [Pair(*rows(16)[2 * i : 2 * i + 2]) for i in range(n)]


@pytest.mark.parametrize("kernel", [SPLIT, None])
def test_pairs_are_cut_until_they_fit_also_for_the_reference(trainer, monkeypatch, kernel):
    spec = {"model": "demo", "training_file": "x.jsonl", "training_method": "dpo"}
    trainer.spec = resolve(spec).spec
    trainer.scorer = replace(trainer.scorer, kernel=kernel).in_use()
    small_device(monkeypatch, 60)
    trainer.refer(pairs())
    assert 2 <= trainer.piece_tokens <= 80
    values = trainer.step(pairs(), 1e-3)
    assert values["train_loss"] == pytest.approx(math.log(2), rel=1e-4)


def test_an_evaluation_goes_on_in_smaller_pieces(trainer, monkeypatch):
    whole = next(iter(evaluated(trainer, 0, rows(), lambda: False))).values["eval_loss"]
    small_device(monkeypatch, 40)
    cut = next(iter(evaluated(trainer, 0, rows(), lambda: False))).values["eval_loss"]
    assert cut == pytest.approx(whole, rel=1e-5)


def test_each_row_keeps_its_own_loss_where_pieces_become_smaller_on_the_way(trainer, monkeypatch):
    def told():
        numbered = [row.at(i) for i, row in enumerate(rows(12), 1)]
        _, losses = evaluated(trainer, 0, numbered, lambda: False)
        return dict(zip(losses.lines, losses.losses, strict=True))

    trainer.options = LocalOptions(micro_batch_size=4)
    whole = told()
    small_device(monkeypatch, 45)
    cut = told()
    assert len({*whole.values()}) == 12
    assert cut == pytest.approx(whole, rel=1e-3)


def test_a_single_row_that_does_not_fit_is_told_as_it_is(trainer, monkeypatch):
    small_device(monkeypatch, 3)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.step(rows(), 1e-2)


def test_another_error_is_not_taken_for_it(trainer, monkeypatch):
    def broken(self, bundles):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Scorer, "losses", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        trainer.step(rows(), 1e-2)
    assert not trainer.notes


def test_what_torch_says_of_the_machines_memory_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
