"""Packs change which rows a step holds, and nothing else."""

from __future__ import annotations

import random
from array import array

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ftlab.job import LocalOptions
from ftlab.providers import prepare
from ftlab.spec import JobSpec
from ftlab.train.batches import Example, Examples, Packs
from ftlab.train.finding import scorer_for
from ftlab.train.loop import prepared
from ftlab.train.model import make_optimizer, trainable
from ftlab.train.reading import all_steps, sequences_per_step
from ftlab.train.trainer import Trainer
from tests.small import chat_rows, save_model, write_rows

# peft asks by the old name
pytestmark = pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
LONGEST = 40


def row(seed: int, length: int) -> Example:
    rng = random.Random(seed)
    ids = array("i", [rng.randrange(96) for _ in range(length)])
    return Example(ids, ids, 1.0, was_cut=False)


def trainer(**options) -> Trainer:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = get_peft_model(
        LlamaForCausalLM(LlamaConfig(vocab_size=96, **shape, **heads)),
        LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
    )
    spec = JobSpec(model="m", training_file="t")
    scorer = scorer_for(model, 0, "cpu")
    return Trainer(spec, LocalOptions(**options), scorer, make_optimizer(model, spec))


def gradient(made: Trainer, rows: list[Example]) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradient of a step, as the optimizer gets them."""
    seen: list[torch.Tensor] = []

    def note(*_) -> None:
        seen.extend(p.grad.clone() for p in trainable(made.model))

    handle = made.optimizer.register_step_pre_hook(note)
    made.spec = made.spec.changed(max_grad_norm=0)
    loss = made.step(rows, 0.0)["train_loss"]
    handle.remove()
    return loss, seen


def test_rows_of_a_step_give_the_same_whatever_packs_they_come_in():
    rng, made = random.Random(0), trainer()
    rows = [row(seed, rng.randint(3, LONGEST)) for seed in range(12)]
    packs = Packs([r.n_tokens for r in rows], LONGEST).order(1, 0)
    assert len(packs) < len(rows)
    plain, packed = gradient(made, rows), gradient(made, [rows[i] for pack in packs for i in pack])
    alone = gradient(trainer(micro_batch_size=1), rows)
    for other in (packed, alone):
        assert other[0] == pytest.approx(plain[0], rel=1e-5)
        for one, two in zip(plain[1], other[1], strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def test_no_row_of_a_pack_sees_another():
    made = trainer()
    first = [made.scorer.losses([[row(1, 9)], [row(seed, 7)]]) for seed in (2, 3)]
    mine = [found.values[found.sequence == 0] for found in first]
    others = [found.values[found.sequence == 1] for found in first]
    torch.testing.assert_close(*mine, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(*others, rtol=0.01)


def test_every_epoch_has_all_rows_once_in_as_many_packs_of_other_rows():
    rng = random.Random(0)
    packs = Packs([rng.randint(3, LONGEST) for _ in range(60)], LONGEST)
    epochs = [packs.order(7, epoch) for epoch in range(4)]
    for order in epochs:
        assert len(order) == packs.n
        assert sorted(i for pack in order for i in pack) == list(range(60))
    made = [{frozenset(pack) for pack in order} for order in epochs]
    assert all(made[0] != other for other in made[1:])
    assert packs.order(7, 2) == epochs[2]
    assert packs.order(8, 2) != epochs[2]


@pytest.mark.slow
def test_a_packed_run_has_the_steps_that_were_estimated(tmp_path):
    from ftlab.cost import estimate
    from ftlab.data.report import scan

    model = str(save_model(tmp_path / "model"))
    file = str(write_rows(tmp_path / "t.jsonl", chat_rows(40)))
    values = {"model": model, "training_file": file, "batch_size": 2, "n_epochs": 3}
    values |= {"packing": True, "max_seq_length": 150, "learning_rate": 1e-4}
    job = prepare(values, "local").job
    ready = prepared(job, "cpu")
    examples = ready.training
    assert isinstance(examples, Examples)
    n_steps = estimate(values, scan(file, model)).n_steps
    steps = list(all_steps(job.spec, examples, 10**6))
    assert len(steps) == n_steps
    assert n_steps < 3 * 40 / sequences_per_step(job.spec)
    again = list(all_steps(job.spec, examples, 10**6, start=4))
    assert [[r.ids for r in s] for s in again] == [[r.ids for r in s] for s in steps[4:]]
    assert all(sum(r.n_tokens for r in step) <= 2 * 150 for step in steps)


def test_packs_are_as_full_as_those_of_trl():
    from datasets import Dataset
    from trl import pack_dataset

    rng = random.Random(0)
    lengths = [rng.randint(3, LONGEST) for _ in range(300)]
    rows = Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    assert Packs(lengths, LONGEST).n <= len(pack_dataset(rows, LONGEST, strategy="bfd"))
