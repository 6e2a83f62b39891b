"""From a run's adapter into another run: more of the same, and preferences after answers."""

from __future__ import annotations

import math

import pytest
import torch
from peft import AutoPeftModelForCausalLM

from ftlab.events import Status
from ftlab.providers import prepare
from ftlab.runs import Run
from ftlab.train.loop import train
from tests.small import chat_rows, preference_rows, save_model, write_rows

pytestmark = [
    pytest.mark.slow,
    # peft 0.21 asks for a name that transformers 5.23 gave up.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {
        "model": str(save_model(folder / "model")),
        "sft": str(write_rows(folder / "chats.jsonl", chat_rows(16))),
        "dpo": str(write_rows(folder / "pairs.jsonl", preference_rows(16))),
        "runs": folder / "runs",
    }


def run_of(files, method="sft", **changes):
    """A run through the whole trainer, and its losses."""
    values = {
        "training_method": method,
        "training_file": files[method],
        "batch_size": 8,
        "n_epochs": 4,
        "learning_rate": 2e-2,
        **changes,
    }
    run = Run.create(prepare(values).job, files["runs"])
    writer = run.writer()
    for event in train(run.job, run.adapter, "cpu", lambda: None):
        writer.append(event)
    writer.close()
    assert isinstance(event, Status)
    assert event.status == "completed"
    return run, list(run.history.series["train_loss"].values())


@pytest.fixture(scope="module")
def first(files):
    run, losses = run_of(files, model=files["model"], lora_r=4, lora_alpha=4)
    assert losses[-1] < losses[0] - 0.2
    return run, losses


def test_a_run_goes_on_where_the_other_ended(files, first):
    run, before = first
    more, after = run_of(files, from_checkpoint=f"{run.path}:8", n_epochs=1)
    assert (more.job.spec.lora_r, more.job.spec.lora_alpha) == (4, 4)
    assert more.job.spec.model == files["model"]
    assert after[0] < before[-1] + 0.02  # not as from the base again
    assert after[-1] < before[-1]


def test_preferences_come_after_answers_with_the_same_adapter(files, first):
    run, _ = first
    preferring, losses = run_of(files, "dpo", from_checkpoint=str(run.path))
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)  # it is its own reference so far
    assert losses[-1] < losses[0] - 0.05
    one, other = (
        AutoPeftModelForCausalLM.from_pretrained(r.adapter).state_dict() for r in (run, preferring)
    )
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one if "lora_" in name)


def test_a_noisy_run_learns_otherwise_and_is_repeated_alike(files):
    settings = {"model": files["model"], "lora_r": 4, "n_epochs": 1}
    calm, noisy, again = (
        run_of(files, **settings, **noise)[1]
        for noise in ({}, {"neftune_noise_alpha": 10.0}, {"neftune_noise_alpha": 10.0})
    )
    assert noisy == again
    assert noisy != pytest.approx(calm, rel=1e-4)
