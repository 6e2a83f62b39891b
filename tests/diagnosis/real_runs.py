"""Real runs of ftlab's trainer that are labelled by how they were made, and their curves on disk.

    python -m tests.diagnosis.real_runs [NAME …]

makes them anew: grids of learning rates on small jobs, then runs that are spoiled on purpose at
the best rate of a grid. About ten seconds each on one core.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import warnings
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ftlab import demo
from ftlab.errors import FtlabError
from tests.diagnosis.real_curves import RECORDED
from tests.diagnosis.truth import (
    AS_GOOD,
    FEW_ROWS,
    MADE,
    OVERFITTED,
    REAL_HELD_OUT,
    REAL_TUNING,
    SCATTERING,
    TELLING,
    labels_of_rate,
)
from tests.small import (
    byte_level,
    chat_rows,
    preference_rows,
    save_architecture,
    save_model,
    write_rows,
)

FIRST, SECOND, THIRD = REAL_TUNING
SQRT_10 = 10**0.5
DIGITS = {"train_loss": 4, "grad_norm": 2, "eval_loss": 4}


class Grid(NamedTuple):
    """A job, and its learning rates a factor of sqrt(10) apart."""

    seed: int
    spec: dict[str, Any]
    highest: float
    n_arms: int = 8


def made_data(folder: Path) -> dict[str, str]:
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
    write_rows(folder / "pairs.jsonl", pairs(480))
    write_rows(folder / "other_pairs.jsonl", pairs(40, start=480))
    for width in (256, 320, 384):
        save_model(folder / f"wide_{width}", hidden_size=width, intermediate_size=2 * width)
    write_rows(folder / "codes_1.jsonl", code_rows(1))
    write_rows(folder / "codes_2.jsonl", code_rows(2))
    for name, n in (("rows_24", 24), ("rows_48", 48)):
        lines = demo.TRAIN.read_text(encoding="utf-8").splitlines()
        (folder / f"{name}.jsonl").write_text("\n".join(lines[:n]) + "\n", encoding="utf-8")
    held_out = demo.HELD_OUT.read_text(encoding="utf-8").splitlines()[:24]
    (folder / "held_out.jsonl").write_text("\n".join(held_out) + "\n", encoding="utf-8")
    return {"folder": str(folder)}


def pairs(n: int, start: int = 0) -> list[dict]:
    """Pairs of which every fourth prefers the worse answer, so that there is something to miss."""
    draw, rows = random.Random(start), preference_rows(n, start)
    names = ("preferred_output", "non_preferred_output")
    return [
        row if draw.random() > 0.25 else {**row, names[0]: row[names[1]], names[1]: row[names[0]]}
        for row in rows
    ]


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


# --- making them -----------------------------------------------------------------------------


def carried_out(
    folder: Path, spec: dict[str, Any], seed: int, change: Callable[[Any], None] | None = None
) -> dict[str, Any]:
    """The curve of a run: what is known of its job, and its metrics by step."""
    from ftlab.advice import recommend
    from ftlab.data.report import scan
    from ftlab.events import Metrics
    from ftlab.models import read_info
    from ftlab.providers import prepare
    from ftlab.train import loop
    from ftlab.train.training import Training

    values = {"random_seed": seed, "n_epochs": 1, **_with_paths(folder, spec)}
    ready = prepare(values)
    recommended = recommend(
        ready.job.spec, scan(values["training_file"]), read_info(values["model"])
    )
    chosen = loop.prepared(ready.job, "cpu")
    if change:
        change(chosen)
    adapter = folder / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    with tempfile.TemporaryDirectory() as states:
        run = Training(chosen, lambda: None, loop.Saving(Path(states)))
        events, failure = [], ""
        try:
            for event in chain(run.began(), run.steps(), run.ended(adapter)):
                events.append(event)
        except FtlabError as exc:  # its loss or gradient is no number
            failure = str(exc)
    series: dict[str, dict[int, float]] = {}
    for event in events:
        if isinstance(event, Metrics):
            for name, value in event.values.items():
                series.setdefault(name, {})[event.step] = value
    resolved = ready.job.spec
    return {
        "spec": {
            name: getattr(resolved, name)
            for name in (
                *("learning_rate", "lr_scheduler_type", "warmup_ratio", "min_lr_ratio"),
                *("scheduler_num_cycles", "batch_size", "n_epochs", "training_method"),
            )
        },
        "recommended_lr": recommended["learning_rate"].value,
        "vocab_size": _vocabulary(values["model"]),
        "steps_per_epoch": -(-chosen.training.n_sequences // int(resolved.batch_size or 1)),
        "n_steps": run.n_steps,
        **({"failure": failure} if failure else {}),
        "loss_tokens": sorted(series["loss_tokens"].values())[len(series["loss_tokens"]) // 2],
        **{name: _short(series[name], DIGITS[name]) for name in DIGITS if name in series},
    }


def _with_paths(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """The names of files and models that lie in `folder` as their paths."""
    named = {"model", "training_file", "validation_file"} & spec.keys()
    found = {k: str(folder / spec[k]) for k in named if spec[k] and (folder / spec[k]).exists()}
    return {k: v for k, v in {**spec, **found}.items() if v is not None}


def _vocabulary(model: str) -> int:
    folder = demo.MODEL if model == "demo" else Path(model)
    return json.loads((folder / "config.json").read_text())["vocab_size"]


def _short(points: dict[int, float], digits: int) -> dict[str, list[float]]:
    """Step → value as two lists of so many digits; without the steps where they are 1, 2, 3, …"""
    values = [float(f"{value:.{digits}g}") for value in points.values()]
    values = [int(value) if value.is_integer() else value for value in values]
    if [*points] == [*range(1, len(points) + 1)]:
        return {"values": values}
    return {"steps": [*points], "values": values}


def _relabelled(label: Callable[[Any], list[int]]) -> Callable[[Any], None]:
    """Give every row of the training data other labels."""

    def change(ready: Any) -> None:
        read = ready.training._as_trained
        ready.training._as_trained = lambda row: _replaced(read(row), label)

    return change


def _replaced(row: Any, label: Callable[[Any], list[int]]) -> Any:
    return row._replace(labels=array("i", label(row)))


def _random_targets(ready: Any) -> None:
    draw = random.Random(1)
    size = ready.trainer.model.config.vocab_size

    def label(row: Any) -> list[int]:
        return [x if x < 0 else draw.randrange(size) for x in row.labels]

    _relabelled(label)(ready)


def _nothing_trains(ready: Any) -> None:
    _relabelled(lambda row: [-100] * len(row.labels))(ready)


def _frozen(ready: Any) -> None:
    for parameter in ready.trainer.model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient * 0)


CHANGES = {
    "random_targets": _random_targets,
    "nothing_trains": _nothing_trains,
    "frozen_adapter": _frozen,
}


def make_grid(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The arms of a grid, each with its curve and its right answers."""
    grid, arms = GRIDS[name], []
    for place in range(grid.n_arms):
        rate = float(f"{grid.highest / SQRT_10**place:.3g}")
        arms.append(carried_out(folder, {**grid.spec, "learning_rate": rate}, grid.seed))
        print(name, rate, best(arms[-1]), arms[-1]["train_loss"]["values"][-1], flush=True)
    lowest = min(map(best, arms))
    optimum = next(a["spec"]["learning_rate"] for a in arms if best(a) == lowest)
    if sum(best(a) > (1 + AS_GOOD) * lowest for a in arms) < TELLING * len(arms):
        return
    for arm in arms:
        rate = arm["spec"]["learning_rate"]
        regret = (best(arm) - lowest) / lowest
        allowed = labels_of_rate(rate / optimum, regret, arm["train_loss"]["values"])
        if "failure" in arm:
            allowed = {"diverged"}
        if arm["eval_loss"]["values"][-1] >= OVERFITTED * best(arm):
            allowed |= {"overfitting"}
        if arm["spec"]["batch_size"] <= FEW_ROWS:
            allowed |= {"noisy_batch"}
        facts = {"seed": grid.seed, "ratio": rate / optimum, "regret": regret}
        yield {"name": f"{name}, {rate:g}", "allowed": sorted(allowed), **facts, **arm}


def best(arm: dict[str, Any]) -> float:
    """The lowest eval_loss after the first step; infinite where there is none."""
    points = zip(arm["eval_loss"]["steps"], arm["eval_loss"]["values"], strict=True)
    losses = [loss for step, loss in points if step > 0 and loss == loss]
    return min(losses, default=float("inf"))


def make_spoiled(folder: Path, name: str, optimum: float) -> dict[str, Any]:
    one = SPOILED[name]
    spec = {**GRIDS[one.grid].spec, "learning_rate": optimum, **one.changes}
    if one.kind == "nothing_left_to_learn":
        carried_out(folder, spec, one.seed + 1)
        kept = folder / "learned"
        (folder / "adapter").rename(kept)
        spec = {**spec, "from_checkpoint": str(kept)}
    curve = carried_out(folder, spec, one.seed, CHANGES.get(one.kind))
    scatters = one.kind in SCATTERING and curve["spec"]["batch_size"] <= FEW_ROWS
    allowed = MADE[one.kind] | ({"noisy_batch"} if scatters else set())
    evaluations = curve.get("eval_loss")
    if evaluations and evaluations["values"][-1] >= OVERFITTED * best(curve):
        allowed = allowed | {"overfitting"}
    return {"name": name, "allowed": sorted(allowed), "seed": one.seed, **curve}


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    known = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
    found = {curve["name"]: curve for curve in known}
    for grid in GRIDS:
        if not names or grid in names:
            with tempfile.TemporaryDirectory() as folder:
                made_data(Path(folder))
                for curve in make_grid(Path(folder), grid):
                    found[curve["name"]] = curve
            save(found)
    for name, one in SPOILED.items():
        if names and name not in names:
            continue
        arms = [c for c in found.values() if c["name"].startswith(f"{one.grid}, ")]
        optimum = next(c["spec"]["learning_rate"] for c in arms if c.get("ratio") == 1)
        with tempfile.TemporaryDirectory() as folder:
            made_data(Path(folder))
            found[name] = make_spoiled(Path(folder), name, optimum)
            print(name, found[name]["train_loss"]["values"][::20], flush=True)
        save(found)


def save(found: dict[str, dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(curve, separators=(",", ":")) for curve in found.values())
    RECORDED.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
