"""Limits: the service's reply as it comes, and what fills its gaps."""

from __future__ import annotations

import pytest

from ftlab.limits import Limits

# As the published description of GET /v1/fine-tunes/models/limits has it.
REPLY = {
    "model_name": "Qwen/Qwen3-8B",
    "min_learning_rate": 1e-7,
    "max_learning_rate": 1e-2,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_num_checkpoints": 50,
    "min_max_seq_length": 1024,
    "max_seq_length_sft": 40960,
    "max_seq_length_dpo": 20480,
    "default_gradient_accumulation_steps": 1,
    "merge_output_lora": True,
    "supports_vision": False,
    "supports_tools": True,
    "supports_reasoning": True,
    "supports_full_training": True,
    "lora_training": {
        "default_rank": 8,
        "max_rank": 64,
        "min_batch_size": 8,
        "max_batch_size": 32,
        "max_batch_size_dpo": 16,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    },
    "full_training": {"min_batch_size": 16, "max_batch_size": 64, "max_batch_size_dpo": 32},
}


def test_a_whole_reply_is_taken_as_it_is():
    limits = Limits.from_reply(REPLY)
    assert limits.batch_sizes("sft", lora=True) == (8, 32)
    assert limits.batch_sizes("dpo", lora=True) == (8, 16)
    assert limits.batch_sizes("sft", lora=False) == (16, 64)
    assert limits.batch_sizes("dpo", lora=False) == (16, 32)
    assert (limits.longest_sequence("sft"), limits.longest_sequence("dpo")) == (40960, 20480)
    assert (limits.default_lora_r, limits.max_lora_r) == (8, 64)
    assert limits.lora_trainable_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (limits.min_learning_rate, limits.max_learning_rate) == (1e-7, 1e-2)
    assert (limits.max_n_epochs, limits.max_n_evals, limits.max_n_checkpoints) == (20, 100, 50)
    assert (limits.lora, limits.full, limits.vision) == (True, True, False)
    assert limits.engines == ("together",)


@pytest.mark.parametrize(
    "full",
    [
        {"full_training": None},
        {"full_training": {"min_batch_size": 0, "max_batch_size": 0, "max_batch_size_dpo": 0}},
        {"supports_full_training": False},
    ],
)
def test_full_training_is_missing_in_three_ways(full):
    assert Limits.from_reply({**REPLY, **full}).full is False


def test_what_a_newer_service_adds_is_harmless():
    more = {**REPLY, "max_gpus": 8, "lora_training": {**REPLY["lora_training"], "dora": True}}
    assert Limits.from_reply(more) == Limits.from_reply(REPLY)


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"max_num_epochs": None, "max_seq_length_sft": "long", "max_learning_rate": float("nan")},
        {"lora_training": "yes", "full_training": [1], "max_num_evals": True},
        {"lora_training": {"max_rank": -1, "target_modules": "all"}, "min_max_seq_length": 0},
    ],
)
def test_what_is_of_no_use_is_unknown(reply):
    limits = Limits.from_reply(reply)
    assert (limits.max_n_epochs, limits.max_seq_length_sft, limits.max_lora_r) == (None,) * 3
    assert (limits.max_learning_rate, limits.max_n_evals, limits.min_max_seq_length) == (None,) * 3
    assert limits.lora_trainable_modules == ()


def test_the_service_comes_before_the_catalogue():
    dated = Limits(
        max_lora_r=16, max_seq_length_sft=32768, max_n_epochs=9, source="a page", as_of="2026-02"
    )
    told = Limits.from_reply({"lora_training": {"max_rank": 64}, "max_seq_length_sft": 40960})
    both = told.over(dated)
    assert (both.max_lora_r, both.max_seq_length_sft) == (64, 40960)
    assert both.max_n_epochs == 9
    assert both.source == "the service's own limits; what it leaves out: a page, 2026-02"
    assert (both.engine, both.as_of) == ("together", "")


def test_a_no_of_the_service_is_an_answer():
    no = Limits.from_reply({**REPLY, "supports_full_training": False})
    assert no.over(Limits(full=True, source="a page")).full is False


def test_nothing_to_add_changes_nothing():
    limits = Limits.from_reply(REPLY)
    assert limits.over(None) is limits
    assert limits.over(Limits(max_lora_r=1, source="a page", as_of="2026-02")) is limits
