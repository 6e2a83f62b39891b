"""Jobs as a person may ask of the hosted service, good and bad, and models with their limits.

Everything is drawn from a seed. A job is a mapping of Together's keywords; a model is the
service's own reply about its limits. Values are those at and around every bound, of other types
than asked for, and not there at all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

NAN, INF = float("nan"), float("inf")
SHARES = [0, 0.0, 0.1, 1, 1.0, -0.01, 1.01, NAN, INF, -INF, None]
AMOUNTS = [0, 0.0, 0.5, 1, 3.0, -1, -0.001, NAN, INF, None]
COUNTS = [0, 1, 2, 3, 5, 10, -1, 1.5, NAN, None, 2**60]
YES_NO = [True, False]
WORDS = ["some-name", "", None, 5, ["a"]]
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]


class Asked(NamedTuple):
    """A job and the model it is for."""

    values: dict[str, Any]
    reply: dict[str, Any]


def replies(draw: random.Random) -> dict[str, Any]:
    """A model's limits as the service tells them."""
    low = draw.choice([1, 8, 16])
    high = draw.choice([size for size in (8, 16, 32, 64, 128) if size >= low])
    dpo = draw.choice([size for size in (8, 16, 32, 64) if low <= size <= high] or [low])
    rank = draw.choice([8, 16, 64])
    sft = draw.choice([2048, 8192, 32768, 131072])
    sizes = {"min_batch_size": low, "max_batch_size": high, "max_batch_size_dpo": dpo}
    full, has_full = draw.choice(
        [
            (sizes, True),
            ({name: 4 * size for name, size in sizes.items()}, True),
            (None, False),
            (dict.fromkeys(sizes, 0), False),
        ]
    )
    return {
        "model_name": "Qwen/Qwen3-8B",
        "min_learning_rate": draw.choice([1e-9, 1e-7]),
        "max_learning_rate": draw.choice([0.01, 1.0]),
        "max_num_epochs": draw.choice([4, 20]),
        "max_num_evals": draw.choice([5, 100]),
        "max_num_checkpoints": draw.choice([2, 50]),
        "min_max_seq_length": draw.choice([256, 1024]),
        "max_seq_length_sft": sft,
        "max_seq_length_dpo": draw.choice([sft, sft // 2]),
        "default_gradient_accumulation_steps": 1,
        "merge_output_lora": True,
        "supports_vision": draw.random() < 0.4,
        "supports_tools": True,
        "supports_reasoning": False,
        "supports_full_training": has_full,
        "lora_training": {
            **sizes,
            "default_rank": rank,
            "max_rank": rank * draw.choice([1, 2]),
            "target_modules": MODULES,
        },
        "full_training": full,
    }


def values_of(reply: dict[str, Any]) -> dict[str, list[Any]]:
    """Keyword → values worth trying for a model."""
    sizes = [part for part in (reply["lora_training"], reply["full_training"]) if part]
    batches = [size for part in sizes for size in part.values() if isinstance(size, int)]
    lengths = [v for name, v in reply.items() if "max_seq_length" in name]
    rank = reply["lora_training"]["max_rank"]
    return {
        "training_file": ["file-1", "", None, 5],
        "model": [reply["model_name"], "demo", "./models/mine", "", None, 5],
        "validation_file": ["file-2", "", None, 5],
        "from_checkpoint": ["ft-1", "ft-1:20", "me/Qwen3-8B-a1b2:3", "ft-1:last", "", None, 5],
        "from_hf_model": ["me/mine-7B", "https://huggingface.co/me/mine", "me/Mine-405B", "", None],
        "hf_model_revision": ["main", "", None, 5],
        "suffix": ["v1", "x" * 41, "a b", "", None, 5],
        "n_epochs": [*COUNTS, reply["max_num_epochs"], reply["max_num_epochs"] + 1],
        "n_evals": [*COUNTS, reply["max_num_evals"], reply["max_num_evals"] + 1],
        "n_checkpoints": [*COUNTS, reply["max_num_checkpoints"], reply["max_num_checkpoints"] + 1],
        "batch_size": ["max", "mx", *COUNTS, *(b + i for b in batches for i in (-1, 0, 1))],
        "max_seq_length": [*COUNTS, *(n + i for n in lengths for i in (-1, 0, 1))],
        "gradient_accumulation_steps": COUNTS,
        "random_seed": COUNTS,
        "packing": [*YES_NO, "no", 2],
        "learning_rate": [1e-5, 3e-4, 0, 1e-12, 0.5, 2, -1, NAN, INF, None, "fast"],
        "lr_scheduler_type": ["cosine", "linear", "constant", "wsd", "cosin", "", None],
        "min_lr_ratio": SHARES,
        "warmup_ratio": SHARES,
        "scheduler_num_cycles": AMOUNTS,
        "max_grad_norm": AMOUNTS,
        "weight_decay": AMOUNTS,
        "lora": [*YES_NO, None],
        "lora_r": [*COUNTS, rank, rank + 1],
        "lora_alpha": [*COUNTS, 16, 32.0, 16.5, INF],
        "lora_dropout": SHARES,
        "lora_trainable_modules": ["all-linear", "q_proj,v_proj", "q_proj, w_up", "", None, 5],
        "train_vision": [*YES_NO, "maybe"],
        "training_method": ["sft", "dpo", "ppo", "", None, 5],
        "train_on_inputs": [*YES_NO, "auto", "yes", 1, None],
        "dpo_beta": AMOUNTS,
        "dpo_normalize_logratios_by_length": YES_NO,
        "rpo_alpha": AMOUNTS,
        "simpo_gamma": AMOUNTS,
        "early_stopping_enabled": YES_NO,
        "early_stopping_patience": COUNTS,
        "early_stopping_min_delta": AMOUNTS,
        "early_stopping_warmup_evals": COUNTS,
        "wandb_project_name": WORDS,
        "wandb_api_key": WORDS,
        "hf_api_token": WORDS,
        "hf_output_repo_name": WORDS,
        "lora_rank": [8],
        "epochs": [3],
    }


def bases(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Jobs with nothing wrong in them, or only that the model can't be trained whole."""
    start = {"training_file": "file-1", "model": reply["model_name"]}
    stopping = {"validation_file": "file-2", "n_evals": 4, "early_stopping_enabled": True}
    return [
        {**start},
        {**start, "lora": True},
        {**start, "lora": False},
        {**start, "lora": True, **stopping},
        {**start, "lora": True, "training_method": "dpo"},
        {**start, "lora": False, "training_method": "dpo"},
        {"training_file": "file-1", "from_checkpoint": "ft-1"},
        {**start, "lora": True, "from_hf_model": "me/mine-7B"},
    ]


def single_changes(draw: random.Random) -> Iterator[Asked]:
    """Every value of every keyword on every base."""
    for place in range(len(bases(replies(draw)))):
        reply = replies(draw)
        for name, values in values_of(reply).items():
            for value in values:
                yield Asked({**bases(reply)[place], name: value}, reply)


def chance_jobs(draw: random.Random, n: int) -> Iterator[Asked]:
    """Jobs with up to six values that nobody chose."""
    for _ in range(n):
        reply = replies(draw)
        known = values_of(reply)
        names = draw.sample(sorted(known), draw.randint(1, 6))
        values = draw.choice(bases(reply)) | {name: draw.choice(known[name]) for name in names}
        yield Asked(values, reply)
