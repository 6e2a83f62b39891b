"""Families of models through the whole trainer: no padding, mask or layer is Llama's alone."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ftlab.job import Job, LocalOptions
from ftlab.rules import resolve
from ftlab.train.loop import train
from tests.small import (
    ARCHITECTURES,
    chat_rows,
    preference_rows,
    save_architecture,
    write_rows,
)

pytestmark = [
    pytest.mark.slow,
    # peft 0.21 asks for a name that transformers 5.23 gave up, and says that the ranks it gives to
    # fused experts match no module: they are of a tensor.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*rank_pattern keys:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*alpha_pattern keys:RuntimeWarning"),
]
IDS = torch.tensor([[20, 21, 22, 23, 24, 25]])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Family → folder, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("families"), {}

    def of(family):
        if family not in made:
            made[family] = save_architecture(folder / family, family)
        return made[family]

    return of


def job_of(model, folder, method="sft", options=None, **changes):
    rows = chat_rows(8) if method == "sft" else preference_rows(8)
    values = {
        "model": str(model),
        "training_file": str(write_rows(folder / "rows.jsonl", rows)),
        "training_method": method,
        "batch_size": 4,
        "n_epochs": 4,
        "learning_rate": 1e-2,
        "lora_r": 4,
    }
    if changes.get("lora") is False:
        values.pop("lora_r")
    spec = resolve({**values, **changes}).spec
    return Job(spec=spec, provider="local", options=LocalOptions(**options or {}).model_dump())


def losses_of(job, folder):
    """The losses of a run through the whole trainer, which leaves `tuned` in the folder."""
    events = list(train(job, folder / "tuned", "cpu", lambda: None))
    assert events[-1].status == "completed"
    return [
        e.values["train_loss"] for e in events if e.kind == "metrics" and "train_loss" in e.values
    ]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_adapter_learns_and_loads_in_peft(models, tmp_path, family, method):
    losses = losses_of(job_of(models(family), tmp_path, method), tmp_path)
    assert all(torch.tensor(losses).isfinite())
    assert losses[-1] < losses[0] - 0.05
    base = AutoModelForCausalLM.from_pretrained(models(family))
    before = logits(base)
    tuned = PeftModel.from_pretrained(base, tmp_path / "tuned")
    assert not torch.allclose(logits(tuned), before, atol=1e-3)
    with tuned.disable_adapter():
        assert torch.allclose(logits(tuned), before, atol=1e-6)


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_all_weights_learn_and_load_in_transformers(models, tmp_path, family):
    job = job_of(models(family), tmp_path, lora=False, learning_rate=2e-3)
    losses = losses_of(job, tmp_path)
    assert losses[-1] < losses[0] - 0.05
    before = logits(AutoModelForCausalLM.from_pretrained(models(family)))
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
    assert not torch.allclose(logits(tuned), before, atol=1e-3)


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_checkpointing_of_activations_changes_no_loss(models, tmp_path, family):
    plain, again = (
        losses_of(
            job_of(models(family), tmp_path, options={"gradient_checkpointing": on}, max_steps=3),
            tmp_path,
        )
        for on in (False, True)
    )
    assert again == pytest.approx(plain, rel=1e-5)
