"""The jobs of the real runs: grids of learning rates, and runs that are spoiled on purpose."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ftlab import demo
from tests.diagnosis.truth import REAL_HELD_OUT, REAL_TUNING
from tests.small import byte_level, chat_rows, save_architecture, save_model, write_rows

FIRST, SECOND, THIRD = REAL_TUNING


class Grid(NamedTuple):
    """A job, and its learning rates a factor of sqrt(10) apart."""

    seed: int
    spec: dict[str, Any]
    highest: float
    n_arms: int = 8


def made_data(folder: Path) -> None:
    """The models and files that the jobs name."""
    save_model(folder / "llama")
    save_architecture(folder / "qwen3", "qwen3")
    save_architecture(folder / "gpt2", "gpt2")
    save_architecture(folder / "phi3", "phi3")
    save_architecture(folder / "mistral", "mistral")
    save_architecture(folder / "experts", "qwen3_moe")
    save_architecture(folder / "gemma3", "gemma3_text")
    write_rows(folder / "chats.jsonl", chat_rows(900))
    write_rows(folder / "other_chats.jsonl", chat_rows(24, start=900))
    for width in (256, 320, 384):
        save_model(folder / f"wide_{width}", hidden_size=width, intermediate_size=2 * width)
    write_rows(folder / "codes_1.jsonl", code_rows(1))
    write_rows(folder / "codes_2.jsonl", code_rows(2))
    for name, n in (("rows_24", 24), ("rows_48", 48)):
        lines = demo.TRAIN.read_text(encoding="utf-8").splitlines()
        (folder / f"{name}.jsonl").write_text("\n".join(lines[:n]) + "\n", encoding="utf-8")
    held_out = demo.HELD_OUT.read_text(encoding="utf-8").splitlines()[:24]
    (folder / "held_out.jsonl").write_text("\n".join(held_out) + "\n", encoding="utf-8")


def code_rows(length: int) -> list[dict]:
    """Words that are one token each, and letters that follow from nothing."""
    draw, tokenizer = random.Random(8), byte_level()
    words = {tokenizer.decode([token]).strip() for token in range(267, tokenizer.get_vocab_size())}
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        {"prompt": word, "completion": "".join(draw.choices(letters, k=length))}
        for word in sorted(words)
        if len(word) > 1 and len(tokenizer.encode(word).ids) == 1
    ]


DEMO = {
    "model": "demo",
    "training_file": str(demo.TRAIN),
    "validation_file": "held_out.jsonl",
    "batch_size": 4,
    "n_evals": 5,
    "warmup_ratio": 0.05,
}
SMALL = {
    **{"model": "llama", "training_file": "chats.jsonl", "validation_file": "other_chats.jsonl"},
    **{"batch_size": 8, "n_evals": 8, "warmup_ratio": 0.05, "lora": False},
}
GRIDS: dict[str, Grid] = {
    "demo": Grid(FIRST, {**DEMO, "max_steps": 120}, 0.3),
    "llama, all weights": Grid(FIRST, {**SMALL, "n_epochs": 2, "max_steps": 180}, 0.3),
    "demo, pairs": Grid(
        FIRST,
        {
            **{"model": "demo", "training_method": "dpo", "training_file": str(demo.PREFERENCES)},
            **{"validation_split": 0.08, "batch_size": 2, "max_steps": 110},
            **{"n_evals": 4, "warmup_ratio": 0.1},
        },
        0.1,
    ),
    "demo, other settings": Grid(
        SECOND,
        {
            **{**DEMO, "max_steps": 130, "batch_size": 5, "lora_r": 4, "lora_alpha": 4},
            **{"lr_scheduler_type": "linear", "warmup_ratio": 0.0},
        },
        0.6,
    ),
    "qwen3, all weights": Grid(
        SECOND,
        {
            **{**SMALL, "model": "qwen3", "max_steps": 200, "n_epochs": 2},
            **{"lr_scheduler_type": "linear", "warmup_ratio": 0.0},
        },
        0.3,
    ),
    "gpt2, all weights": Grid(
        FIRST,
        {
            **{**SMALL, "model": "gpt2", "max_steps": 240, "n_epochs": 3, "batch_size": 6},
            **{"lr_scheduler_type": "constant"},
        },
        0.1,
    ),
    "phi3, all weights": Grid(
        SECOND,
        {
            **{**SMALL, "model": "phi3", "max_steps": 150, "n_epochs": 2, "batch_size": 12},
            **{"lr_scheduler_type": "wsd", "warmup_ratio": 0.1},
        },
        0.3,
    ),
}
GRIDS |= {
    "demo, large rank": Grid(
        THIRD,
        {
            **{**DEMO, "max_steps": 110, "batch_size": 8, "lora_r": 32, "lora_alpha": 32},
            **{"lr_scheduler_type": "constant", "n_evals": 6},
        },
        0.2,
    ),
    "mistral, all weights": Grid(
        THIRD,
        {**{**SMALL, "model": "mistral", "max_steps": 170, "n_epochs": 2, "batch_size": 10}},
        0.2,
    ),
    "gemma3, all weights": Grid(
        THIRD,
        {
            **{**SMALL, "model": "gemma3", "max_steps": 140, "n_epochs": 3, "batch_size": 16},
            **{"lr_scheduler_type": "linear", "min_lr_ratio": 0.1},
        },
        0.2,
    ),
}
GRIDS |= {
    "demo, all weights": Grid(
        REAL_HELD_OUT,
        {**DEMO, "max_steps": 110, "batch_size": 5, "lora": False, "n_evals": 6},
        0.1,
    ),
    "experts, all weights": Grid(
        REAL_HELD_OUT,
        {**SMALL, "model": "experts", "max_steps": 150, "n_epochs": 2, "batch_size": 10},
        0.2,
    ),
    "demo, other pairs": Grid(
        REAL_HELD_OUT,
        {
            **{"model": "demo", "training_method": "dpo", "training_file": str(demo.PREFERENCES)},
            **{"validation_split": 0.08, "batch_size": 3, "max_steps": 90, "dpo_beta": 0.3},
            **{"lora_r": 4, "lora_alpha": 8, "n_evals": 4},
        },
        0.1,
        7,
    ),
    "llama, no warm-up": Grid(
        REAL_HELD_OUT,
        {
            **{**SMALL, "max_steps": 200, "n_epochs": 3, "batch_size": 6, "warmup_ratio": 0.0},
            **{"max_grad_norm": 0.0, "lr_scheduler_type": "linear"},
        },
        0.2,
    ),
}
LEARNED = ("demo", "demo, other settings", "demo, large rank")
"""Those whose adapter another run can go on from."""
FEW = {"n_epochs": 40, "n_evals": 10, "max_steps": 160}
BY_HEART = {
    **{"learning_rate": 1e-3, "n_epochs": 5, "max_steps": None, "n_evals": 0},
    **{"validation_file": None, "lora": False, "lr_scheduler_type": "constant"},
}
CODES_1 = {"model": "wide_384", "training_file": "codes_1.jsonl", "batch_size": 3, **BY_HEART}
CODES_3 = {"model": "wide_320", "training_file": "codes_1.jsonl", "batch_size": 4, **BY_HEART}
CODES_2 = {"model": "wide_256", "training_file": "codes_2.jsonl", "batch_size": 4, **BY_HEART}


class Spoiled(NamedTuple):
    """A run at a multiple of the best rate of a grid."""

    seed: int
    kind: str
    grid: str
    changes: dict[str, Any]


LARGE = {"batch_size": 256, "n_epochs": 30, "max_steps": 100}
_MADE = [
    ("few_rows", "demo", {**FEW, "training_file": "rows_48.jsonl"}),
    ("few_rows", "demo, other settings", {**FEW, "training_file": "rows_24.jsonl", "n_epochs": 60}),
    ("repeated_unpredictable_rows", "llama, all weights", CODES_2),
    ("repeated_unpredictable_rows", "qwen3, all weights", CODES_1),
    ("few_rows", "demo, large rank", {**FEW, "training_file": "rows_48.jsonl", "n_epochs": 30}),
    ("repeated_unpredictable_rows", "mistral, all weights", CODES_3),
    ("batch_of_one", "demo, large rank", {"batch_size": 1, "max_steps": 200}),
    ("batch_of_one", "gemma3, all weights", {"batch_size": 1, "max_steps": 260}),
    (
        "whole_data_in_a_step",
        "mistral, all weights",
        LARGE,
    ),
    ("few_rows", "demo, all weights", {**FEW, "training_file": "rows_24.jsonl", "n_epochs": 50}),
    ("repeated_unpredictable_rows", "experts, all weights", {**CODES_1, "batch_size": 5}),
    ("batch_of_one", "demo, all weights", {"batch_size": 1, "max_steps": 200}),
    ("batch_of_one", "experts, all weights", {"batch_size": 1, "max_steps": 260}),
    ("whole_data_in_a_step", "experts, all weights", LARGE),
    ("batch_of_one", "demo", {"batch_size": 1, "max_steps": 200}),
    ("batch_of_one", "demo, other settings", {"batch_size": 1, "max_steps": 220}),
    ("batch_of_one", "llama, all weights", {"batch_size": 1, "max_steps": 220}),
    (
        "whole_data_in_a_step",
        "llama, all weights",
        LARGE,
    ),
    (
        "whole_data_in_a_step",
        "qwen3, all weights",
        LARGE,
    ),
]


def _grids(per_seed: int, without: str = "\n") -> Iterator[str]:
    """So many grids of each seed, whose names do not hold that."""
    for seed in (*REAL_TUNING, REAL_HELD_OUT):
        of_seed = [name for name, grid in GRIDS.items() if grid.seed == seed]
        yield from [name for name in of_seed if without not in name][:per_seed]


_MADE += [
    *(("random_targets", grid, {}) for grid in _grids(2, without="pairs")),
    *(("frozen_adapter", grid, {}) for grid in _grids(2)),
    *(("nothing_trains", grid, {}) for grid in _grids(1, without="pairs")),
    *(("nothing_left_to_learn", grid, {}) for grid in GRIDS if grid in LEARNED),
]
SPOILED: dict[str, Spoiled] = {
    f"{kind}: {grid}": Spoiled(GRIDS[grid].seed, kind, grid, changes)
    for kind, grid, changes in _MADE
}
