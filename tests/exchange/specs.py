"""Specs for the tests of the exchange: of every field a value, and many drawn by chance."""

from __future__ import annotations

import random
from typing import Any

from ftlab.data.report import DataReport
from ftlab.models import ModelInfo
from ftlab.spec import JobSpec

MODEL = "org/some-model-8B"
INFO = ModelInfo(name=MODEL, family="llama", hidden_size=4096, context_length=4096)
REPORT = DataReport(path="train.jsonl", n_rows=1000, format="conversation")
PREFERENCES = DataReport(path="train.jsonl", n_rows=1000, format="preference")
FILES = {"model": MODEL, "training_file": "train.jsonl"}
SFT = {**FILES, "validation_file": "val.jsonl", "n_evals": 4, "max_seq_length": 2048}
DPO = {**SFT, "training_method": "dpo"}

# A value of every field that asks for something, and what must stand beside it.
WISHES: dict[str, dict[str, Any]] = {
    "model": {"model": "org/another-8B"},
    "from_checkpoint": {"model": None, "from_checkpoint": "ft-1:20"},
    "from_hf_model": {"from_hf_model": "me/mine"},
    "hf_model_revision": {"from_hf_model": "me/mine", "hf_model_revision": "v2"},
    "suffix": {"suffix": "orders-1"},
    "training_method": DPO,
    "train_on_inputs": {"train_on_inputs": True},
    "dpo_beta": {**DPO, "dpo_beta": 0.3},
    "dpo_normalize_logratios_by_length": {**DPO, "dpo_normalize_logratios_by_length": True},
    "dpo_reference_free": {**DPO, "dpo_reference_free": True},
    "rpo_alpha": {**DPO, "rpo_alpha": 0.7},
    "simpo_gamma": {**DPO, "simpo_gamma": 1.2},
    "training_file": {"training_file": "other.jsonl"},
    "validation_file": {"validation_file": "held-out.jsonl"},
    "validation_split": {"validation_file": None, "validation_split": 0.1},
    "max_train_rows": {"max_train_rows": 500},
    "max_seq_length": {"max_seq_length": 1024},
    "over_length": {"over_length": "drop"},
    "packing": {"packing": True},
    "n_epochs": {"n_epochs": 3},
    "max_steps": {"max_steps": 40},
    "learning_rate": {"learning_rate": 0.00017},
    "batch_size": {"batch_size": 24},
    "gradient_accumulation_steps": {"batch_size": 8, "gradient_accumulation_steps": 3},
    "lr_scheduler_type": {"lr_scheduler_type": "linear"},
    "warmup_ratio": {"warmup_ratio": 0.05},
    "min_lr_ratio": {"min_lr_ratio": 0.1},
    "scheduler_num_cycles": {"scheduler_num_cycles": 1.5},
    "max_grad_norm": {"max_grad_norm": 0.5},
    "weight_decay": {"weight_decay": 0.02},
    "optimizer": {"optimizer": "sgd"},
    "adam_beta1": {"adam_beta1": 0.8},
    "adam_beta2": {"adam_beta2": 0.98},
    "adam_epsilon": {"adam_epsilon": 1e-6},
    "neftune_noise_alpha": {"neftune_noise_alpha": 5.0},
    "random_seed": {"random_seed": 7},
    "lora": {"lora": False},
    "lora_r": {"lora_r": 4},
    "lora_alpha": {"lora_alpha": 12},
    "lora_dropout": {"lora_dropout": 0.05},
    "lora_trainable_modules": {"lora_trainable_modules": ("q_proj", "v_proj")},
    "lora_exclude_modules": {"lora_exclude_modules": ("down_proj",)},
    "use_rslora": {"use_rslora": True},
    "use_dora": {"use_dora": True},
    "quantization": {"quantization": "nf4"},
    "train_vision": {"train_vision": True},
    "n_evals": {"n_evals": 7},
    "n_checkpoints": {"n_checkpoints": 3},
    "early_stopping_enabled": {"early_stopping_enabled": True},
    "early_stopping_patience": {"early_stopping_enabled": True, "early_stopping_patience": 3},
    "early_stopping_min_delta": {"early_stopping_enabled": True, "early_stopping_min_delta": 0.01},
    "early_stopping_warmup_evals": {
        "early_stopping_enabled": True,
        "early_stopping_warmup_evals": 2,
    },
    "sample_prompts": {"sample_prompts": ("Where is my order?",)},
}


HOSTED_WISHES = {**WISHES, "packing": {"packing": False}}
"""The service packs by itself."""


def with_and_without(name: str, values: dict[str, Any]) -> tuple[JobSpec, JobSpec]:
    """The spec of a wish, and the same with that one field left out (another model or file)."""
    wish = {**SFT, **values}
    rest = {field: value for field, value in wish.items() if field != name}
    return JobSpec(**wish), JobSpec(**({name: FILES[name]} if name in FILES else {}), **rest)


def drawn(seed: int) -> JobSpec:
    """A spec that the hosted service takes, drawn by chance, with most fields left out or given."""
    rng = random.Random(seed)
    values = {**_start(rng), **_common(rng), **_adapter(rng)}
    values |= _preferences(rng) if rng.random() < 0.4 else _supervised(rng)
    return JobSpec(**_some(rng, values, keep=("model", "from_checkpoint", "training_file", "lora")))


def _some(rng: random.Random, values: dict[str, Any], keep: tuple[str, ...]) -> dict[str, Any]:
    """Most of the fields; those that others hang on stay."""
    bound = ("training_method", "validation_file", "n_evals", "early_stopping_enabled")
    return {
        name: value
        for name, value in values.items()
        if name in (*keep, *bound) or rng.random() < 0.7
    }


def _start(rng: random.Random) -> dict[str, Any]:
    files = {"training_file": f"file-{rng.randrange(10**6):06}"}
    kind = rng.randrange(4)
    if kind == 0:
        return {**files, "from_checkpoint": rng.choice(["ft-12:40", "ft-12", "me/out:3"])}
    if kind == 1:
        own = {"from_hf_model": "me/mine", "hf_model_revision": "607a30d"}
        return {**files, "model": MODEL, **own}
    return {**files, "model": rng.choice([MODEL, "org/ünïcode-8B", 'a "quoted" model'])}


def _common(rng: random.Random) -> dict[str, Any]:
    values = {
        "n_epochs": rng.randrange(1, 20),
        "n_checkpoints": rng.randrange(1, 9),
        "batch_size": rng.choice(["max", 8, 16, 32]),
        "gradient_accumulation_steps": rng.randrange(1, 9),
        "learning_rate": rng.choice([1e-5, 3.3e-4, 2e-6, 0.1]),
        "min_lr_ratio": rng.choice([0.0, 0.1, 1.0]),
        "warmup_ratio": rng.choice([0.0, 0.03, 1.0]),
        "max_grad_norm": rng.choice([0.0, 1.0, 2.5]),
        "weight_decay": rng.choice([0.0, 0.01]),
        "packing": rng.random() < 0.5,
        "max_seq_length": rng.choice([512, 2048]),
        "random_seed": rng.randrange(1000),
        "suffix": "orders_v1.2-b",
        "lr_scheduler_type": rng.choice(["cosine", "linear"]),
        "scheduler_num_cycles": rng.choice([0.5, 1.0, 3.7]),
    }
    if rng.random() < 0.5:
        values |= {"validation_file": "file-000001", "n_evals": rng.randrange(4, 30)}
        if rng.random() < 0.5:
            values |= {"early_stopping_enabled": True, "early_stopping_min_delta": 0.01}
    return values


def _adapter(rng: random.Random) -> dict[str, Any]:
    lora = rng.choice([True, True, False, None])
    if not lora:
        return {"lora": lora}
    modules = rng.choice(["all-linear", ("q_proj", "v_proj"), "q_proj,k_proj", ("o_proj",)])
    return {
        "lora": True,
        "lora_r": rng.choice([4, 16, 64]),
        "lora_alpha": rng.randrange(1, 200),
        "lora_dropout": rng.choice([0.0, 0.1]),
        "lora_trainable_modules": modules,
    }


def _supervised(rng: random.Random) -> dict[str, Any]:
    return {"train_on_inputs": rng.choice([True, False, "auto"])}


def _preferences(rng: random.Random) -> dict[str, Any]:
    return {
        "training_method": "dpo",
        "dpo_beta": rng.choice([0.05, 0.5]),
        "dpo_normalize_logratios_by_length": rng.random() < 0.5,
        "rpo_alpha": rng.choice([0.0, 0.3]),
        "simpo_gamma": rng.choice([0.0, 0.9]),
    }
