"""All weights instead of an adapter: the same maths as TRL, and a model that loads anywhere."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from ftlab import ask, submit
from ftlab.job import LocalOptions
from ftlab.rules import resolve
from ftlab.train.model import autocast, load_model
from tests.small import chat_rows, preference_rows, save_model, write_rows
from tests.train.test_against_trl import BATCH, N_STEPS, our_steps, their_steps

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def values(tmp_path):
    return {
        "model": str(save_model(tmp_path / "model")),
        "training_file": str(write_rows(tmp_path / "t.jsonl", chat_rows(40))),
        "lora": False,
        "batch_size": BATCH,
        "n_epochs": 4,
        "learning_rate": 3e-4,
    }


def test_losses_and_gradients_equal_trl(values, tmp_path):
    # So large a decay that a norm which decays too would show.
    spec = resolve({**values, "warmup_ratio": 0.1, "weight_decay": 10.0}).spec
    model = load_model(spec, LocalOptions(), "cpu")
    assert all(parameter.requires_grad for parameter in model.parameters())
    seen = their_steps(spec, chat_rows(40), copy.deepcopy(model), tmp_path / "trl")
    steps = our_steps(spec, model)
    assert len(steps) == N_STEPS
    assert [v["train_loss"] for v in steps] == pytest.approx(seen["losses"], rel=1e-4)
    assert [v["grad_norm"] for v in steps] == pytest.approx(seen["norms"], rel=1e-4)
    assert steps[-1]["train_loss"] < steps[0]["train_loss"] - 0.2


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_run_saves_a_model_that_transformers_loads_and_that_answers(
    values, tmp_path, monkeypatch, method
):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "leases"))
    if method == "dpo":
        values["training_file"] = str(write_rows(tmp_path / "p.jsonl", preference_rows(24)))
    run = submit({**values, "training_method": method, "max_steps": 6}, folder=tmp_path / "runs")
    run.wait(120)
    assert run.status == "completed", run.state
    assert run.adapter.name == "model"
    assert "The tuned model is in" in run.tuned_in_words
    tuned = AutoModelForCausalLM.from_pretrained(run.adapter).state_dict()
    base = AutoModelForCausalLM.from_pretrained(values["model"]).state_dict()
    assert tuned.keys() == base.keys()
    assert all(not torch.equal(tuned[name], base[name]) for name in base)
    found = ask(run, "Where is order 3?", max_tokens=8)
    assert found.tuned != ""


def test_half_precision_computes_and_full_precision_trains():
    spec = resolve({"model": "demo", "training_file": "t.jsonl", "lora": False}).spec
    options = LocalOptions(dtype="bfloat16")
    model = load_model(spec, options, "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    with autocast(spec, options, "cpu"):
        logits = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert logits.dtype == torch.bfloat16
    with autocast(spec, LocalOptions(), "cpu"):
        assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.dtype == torch.float32
