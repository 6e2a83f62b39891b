"""What importers note: which setting a value is from, what is lost, and what no message quotes."""

from __future__ import annotations

import json
import time

import pytest

from ftlab.exchange import read
from ftlab.exchange.huggingface import from_arguments
from ftlab.exchange.ledger import UNKNOWN, Keys
from ftlab.exchange.nemo_import import from_nemo
from ftlab.exchange.secrets import quoted

VALUE = "S3CRET"


@pytest.mark.parametrize(
    "settings",
    [
        {"env": {"WANDB_API_KEY": VALUE}},
        {"wandb": {"api_key": VALUE}},
        {"servers": [{"name": VALUE}]},
        {"servers": [[{"name": VALUE}]]},
        {"servers": ({"name": VALUE},)},
        {"authorization": f"Bearer {VALUE}"},
        {"header": f"Bearer {VALUE}"},
        {"header": [f"Bearer {VALUE}"]},
        {"key": VALUE},
        {"hf_key": VALUE},
        {"hf-key": VALUE},
        {"hfKey": VALUE},
        {"my.credentials": VALUE},
        {"some": f"tgp_{VALUE}"},
        {"some": f"hf_{VALUE}"},
        {"some": f"sk-{VALUE}"},
        {"dataset": {"path": "x", "token": VALUE}},
        {"training_file": [{"name": VALUE}]},
        {"lr_scheduler_kwargs": {"token": VALUE}},
        {"r": 8, "lora_rank": {"token": VALUE}},
    ],
)
def test_a_secret_is_in_no_message(settings):
    for found in (from_arguments(settings), from_nemo({"recipe": "x", **settings})):
        assert VALUE not in str((found.lost, found.hints))
        assert VALUE not in str(found.values)
        assert [issue for issue in found.lost if issue.level != "tip"]


def test_nested_settings_of_a_request_are_not_quoted_either():
    body = {"training_method": {"method": "sft", "extra": {"key": VALUE}}, "model": {"key": VALUE}}
    found = read(json.dumps(body))
    assert VALUE not in str(found)
    assert {issue.where for issue in found.lost} == {"training_method.extra", "model"}


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_name", "monkey", "authors"])
def test_a_word_that_only_holds_another_is_no_secret(name):
    assert quoted(name, "foo") == "'foo'"
    assert "foo" in from_arguments({name: "foo"}).lost[0].message


def test_a_name_with_a_dot_is_one_name():
    (issue,) = from_arguments({"optim.lr": 5}).lost
    assert issue.message.startswith("optim.lr is 5; ")
    keys = Keys({"a.b": 1, "a": {"b": 2}})
    assert keys.take("a.b") == 2
    assert [issue.message[:8] for issue in keys.done({}).lost] == ["a.b is 1"]


def test_many_unknown_names_are_one_issue_in_no_time():
    start = time.perf_counter()
    vocabulary = {f"word {n}": n for n in range(50_000)}
    found = from_arguments({**vocabulary, **{f"logging_{n}": 0 for n in range(10_000)}})
    assert time.perf_counter() - start < 1.5
    *told, last = [issue for issue in found.lost if issue.level != "tip"]
    assert len(told) == UNKNOWN
    assert last.message.startswith(f"And {last.count:,} more, ")
    assert len(told) + last.count == 49_999  # a 0 asks for nothing


def test_a_long_name_is_cut():
    long = "x" * 100_000
    for settings in ({long: 1}, {"logging" + long: 1}, {"lr_scheduler_kwargs": {long: 1}}):
        (issue,) = [i for i in from_arguments(settings).lost if i.where]
        assert len(issue.message) + len(issue.where) < 400


@pytest.mark.parametrize(
    ("settings", "ours"),
    [
        ({"batch_size": 16, "per_device_train_batch_size": 4}, "batch_size"),
        ({"warmup_ratio": 0.5, "warmup_steps": 10, "max_steps": 100}, "warmup_ratio"),
        ({"n_evals": 3, "eval_steps": 10, "max_steps": 100}, "n_evals"),
        ({"n_evals": 3, "eval_strategy": "no"}, "n_evals"),
        ({"n_checkpoints": 3, "save_steps": 10, "max_steps": 100}, "n_checkpoints"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "quantization"),
        ({"quantization": "int8", "load_in_4bit": True}, "quantization"),
        ({"use_peft": False, "lora": True}, "lora"),
        ({"train_on_inputs": True, "assistant_only_loss": True}, "train_on_inputs"),
        ({"assistant_only_loss": True, "completion_only_loss": False}, "train_on_inputs"),
        ({"num_epochs": 3, "n_epochs": 5}, "n_epochs"),
        ({"num_train_epochs": 3, "epochs": 5}, "n_epochs"),
        ({"num_train_epochs": 3, "n_epochs": 5, "max_steps": 10}, "n_epochs"),
        ({"learning_rate": 1e-4, "lr": 1e-5}, "learning_rate"),
        ({"lr_scheduler": "linear", "lr_scheduler_type": "cosine"}, "lr_scheduler_type"),
        ({"target_modules": ["q_proj"], "lora_target": ["k_proj"]}, "lora_trainable_modules"),
        ({"rpo_alpha": 1.0, "loss_type": ["sigmoid", "sft"], "loss_weights": [1, 2]}, "rpo_alpha"),
        ({"optimizer": "sgd", "optim": "adamw"}, "optimizer"),
        (
            {"min_lr_ratio": 0.5, "lr_scheduler_type": "cosine",
             "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
            "min_lr_ratio",
        ),
    ],
)  # fmt: skip
def test_a_second_setting_that_means_another_value_is_lost(settings, ours):
    (issue,) = from_arguments(settings).lost
    assert issue.where == ours
    assert f"is given too, and one job has one {ours}, here " in issue.message
    assert issue.message.endswith(". Give one of the two.")


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 4, "per_device_train_batch_size": 4},
        {"warmup_ratio": 0.0, "warmup_steps": 10, "max_steps": 100},
        {"warmup_ratio": 0.1, "warmup_steps": 0},
        {"n_evals": 10, "eval_steps": 10, "max_steps": 100},
        {"use_peft": True, "lora": True, "r": 8},
        {"quantization": "nf4", "load_in_4bit": True, "load_in_8bit": False},
        {"train_on_inputs": False, "assistant_only_loss": True},
        {"num_train_epochs": 3, "max_steps": 100},
        {"assistant_only_loss": False, "completion_only_loss": True},
    ],
)
def test_two_settings_that_mean_the_same_are_not(settings):
    assert from_arguments(settings).lost == []
