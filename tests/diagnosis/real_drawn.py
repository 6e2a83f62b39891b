"""Real runs of jobs that are drawn from a seed, for a figure that owes nothing to known ones.

    python -m tests.diagnosis.real_drawn SEED FILE [DATA]

writes their curves to FILE: grids of learning rates, then runs that are spoiled on purpose. DATA is
a folder of alpaca_en_demo.json and conversations.jsonl, from which some jobs then take their rows.
About a quarter of an hour on one core; what FILE holds already is not made again.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab import demo
from tests.diagnosis.real_jobs import BY_HEART, Grid, Spoiled, code_rows
from tests.diagnosis.real_runs import make_grid, make_spoiled, saved
from tests.diagnosis.truth import FEW_ROWS
from tests.small import chat_rows, save_architecture, save_model, write_rows

N_ARMS, N_SMALL, LONGEST = 6, 6, 300
FAMILIES = ("llama", "qwen3", "gpt2", "phi3", "mistral", "gemma3_text", "qwen3_moe", "mixtral")
SCHEDULES = ("cosine", "cosine", "linear", "constant", "wsd")
PER_KIND = 2
ROWS, HELD_OUT = 600, 24


class Drawn:
    """The jobs of a seed; their models and files lie in `folder`."""

    def __init__(self, seed: int, folder: Path, data: Path | None) -> None:
        self.seed, self.folder = seed, folder
        self.draw = random.Random(f"jobs:{seed}")
        self.sources = {"chats": chat_rows(ROWS + HELD_OUT, start=self.draw.randrange(5000))}
        self.sources["sums"] = sum_rows(self.draw, ROWS + HELD_OUT)
        self.sources["messages"] = _json_lines(demo.TRAIN) + _json_lines(demo.HELD_OUT)
        if data:
            self.sources["instructions"] = instruction_rows(data / "alpaca_en_demo.json")
            self.sources["conversations"] = _json_lines(data / "conversations.jsonl")
        for name, rows in self.sources.items():
            self.draw.shuffle(rows)
            write_rows(folder / f"{name}.jsonl", rows[HELD_OUT:][:ROWS])
            write_rows(folder / f"{name}_held_out.jsonl", rows[:HELD_OUT])
        self.grids = dict(self._grids())
        self.spoiled = dict(self._spoiled())

    def _grids(self) -> Iterator[tuple[str, Grid]]:
        made = [self._small(family) for family in self.draw.sample(FAMILIES, N_SMALL)]
        made += [self._demo(), self._demo(lora=False), self._pairs()]
        for place, (spec, highest) in enumerate(made):
            off = self.draw.uniform(0.6, 1.7)
            yield f"drawn {self.seed}.{place}", Grid(self.seed, spec, highest * off, N_ARMS)

    def _demo(self, *, lora: bool = True) -> tuple[dict[str, Any], float]:
        """The model that knows its messages a little, on these or on others."""
        sources = [name for name in self.sources if name != "conversations"]
        spec = {**self._usual("messages" if lora else self.draw.choice(sources)), "model": "demo"}
        spec |= {"batch_size": self.draw.randrange(3, 8), "max_steps": self.draw.randrange(80, 140)}
        return {**spec, **(self._adapter() if lora else {"lora": False})}, 0.2 if lora else 0.05

    def _pairs(self) -> tuple[dict[str, Any], float]:
        spec = {**self._usual("messages"), **self._adapter(), "model": "demo"}
        spec |= {"training_method": "dpo", "training_file": str(demo.PREFERENCES)}
        spec |= {"validation_file": None, "validation_split": 0.1, "batch_size": 3, "n_epochs": 2}
        spec |= {"dpo_beta": self.draw.choice((0.1, 0.3)), "max_steps": 80}
        return spec, 0.05

    def _small(self, family: str) -> tuple[dict[str, Any], float]:
        """A model that knows nothing."""
        model = f"{family}_{self.draw.randrange(10**6)}"
        save_architecture(self.folder / model, family)
        return {
            **self._usual(self.draw.choice([*self.sources])),
            "model": model,
            "lora": False,
        }, 0.2

    def _adapter(self) -> dict[str, Any]:
        rank, draw = self.draw.choice((2, 4, 8, 16, 32)), self.draw
        return {
            **{"lora_r": rank, "lora_alpha": rank * draw.choice((1, 2))},
            **{"lora_dropout": draw.choice((0.0, 0.0, 0.05))},
        }

    def _usual(self, source: str) -> dict[str, Any]:
        draw = self.draw
        batch, n_steps = draw.randrange(4, 17), draw.randrange(90, 220)
        n_rows = min(len(self.sources[source]) - HELD_OUT, ROWS)
        return {
            **{"training_file": f"{source}.jsonl", "validation_file": f"{source}_held_out.jsonl"},
            **{
                "batch_size": batch,
                "max_steps": n_steps,
                "n_epochs": 1 + n_steps * batch // n_rows,
            },
            **{"n_evals": draw.randrange(4, 10), "warmup_ratio": draw.choice((0, 0.03, 0.05, 0.1))},
            **{
                "lr_scheduler_type": draw.choice(SCHEDULES),
                "min_lr_ratio": draw.choice((0, 0, 0.1)),
            },
            **{"max_grad_norm": draw.choice((1.0, 1.0, 0.0)), "max_seq_length": 256},
            **{"weight_decay": draw.choice((0.0, 0.01, 0.1))},
        }

    def _spoiled(self) -> Iterator[tuple[str, Spoiled]]:
        for kind in _KINDS:
            fit = [name for name, grid in self.grids.items() if _can(kind, grid.spec)]
            for grid in self.draw.sample(fit, min(PER_KIND, len(fit))):
                changes = self._changes(kind, self.grids[grid].spec)
                yield f"{kind}: {grid}", Spoiled(self.seed, kind, grid, changes)

    def _changes(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        draw = self.draw
        if kind == "few_rows":
            return self._few_rows(spec)
        if kind == "batch_of_one":
            return {"batch_size": 1, "n_epochs": 1, "max_steps": draw.randrange(180, 280)}
        if kind == "whole_data_in_a_step":
            whole = 16 * spec["batch_size"]
            return {"batch_size": whole, "n_epochs": 60, "max_steps": draw.randrange(80, 120)}
        return self._by_heart() if kind == "repeated_unpredictable_rows" else {}

    def _few_rows(self, spec: dict[str, Any]) -> dict[str, Any]:
        n_rows, source = self.draw.randrange(20, 60), spec["training_file"].removesuffix(".jsonl")
        file = f"{source}_{n_rows}.jsonl"
        write_rows(self.folder / file, self.sources[source][HELD_OUT:][:n_rows])
        n_epochs = 15 + 200 * spec["batch_size"] // n_rows
        return {"training_file": file, "n_epochs": n_epochs, "max_steps": 200, "n_evals": 10}

    def _by_heart(self) -> dict[str, Any]:
        width, length = self.draw.choice((256, 320, 384)), self.draw.choice((1, 2))
        save_model(self.folder / f"wide_{width}", hidden_size=width, intermediate_size=2 * width)
        write_rows(self.folder / f"codes_{length}.jsonl", code_rows(length))
        changes = {"model": f"wide_{width}", "training_file": f"codes_{length}.jsonl", **BY_HEART}
        return {**changes, "batch_size": self.draw.choice((3, 4, 5)), "weight_decay": 0.0}


_KINDS = (
    *("random_targets", "nothing_trains", "frozen_adapter", "few_rows", "batch_of_one"),
    *("repeated_unpredictable_rows", "whole_data_in_a_step", "nothing_left_to_learn"),
)


def _can(kind: str, spec: dict[str, Any]) -> bool:
    """Whether a job can be spoiled in that way."""
    of_demo, is_dpo = spec["model"] == "demo", spec.get("training_method") == "dpo"
    if kind == "frozen_adapter":
        return True
    if kind == "nothing_left_to_learn":
        return of_demo and not is_dpo and spec.get("lora") is not False
    if kind == "whole_data_in_a_step":
        return not of_demo and spec["training_file"] != "conversations.jsonl"
    if kind == "batch_of_one":
        return not is_dpo and spec["batch_size"] > FEW_ROWS
    return not is_dpo


def sum_rows(draw: random.Random, n: int) -> list[dict]:
    """Sums whose answers follow from the questions."""
    pairs = [(draw.randrange(10, 99), draw.randrange(1, 9)) for _ in range(n)]
    return [{"prompt": f"{a} and {b} are", "completion": f" {a + b} in all."} for a, b in pairs]


def instruction_rows(file: Path) -> list[dict]:
    """Those that are short."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    made = [
        {"prompt": f"{x['instruction']}\n{x['input']}", "completion": x["output"]} for x in rows
    ]
    return [row for row in made if len(row["prompt"] + row["completion"]) < LONGEST]


def _json_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main(seed: int, file: Path, data: Path | None = None) -> None:
    warnings.simplefilter("ignore")
    found = {x["name"]: x for x in json.loads(file.read_text())} if file.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jobs = Drawn(seed, folder, data)
        for name, grid in jobs.grids.items():
            if not any(known.startswith(f"{name}, ") for known in found):
                found |= {curve["name"]: curve for curve in make_grid(folder, name, grid)}
                saved(found, file)
            for spoiled, one in jobs.spoiled.items():
                if one.grid == name and spoiled not in found:
                    found |= _made(folder, spoiled, one, grid, found)
                    saved(found, file)


def _made(
    folder: Path, name: str, one: Spoiled, grid: Grid, found: dict[str, Any]
) -> dict[str, Any]:
    """A spoiled run by its name; nothing where no rate of its grid is known to be the best."""
    arms = [curve for known, curve in found.items() if known.startswith(f"{one.grid}, ")]
    rate = next((arm["spec"]["learning_rate"] for arm in arms if arm["ratio"] == 1), None)
    if rate is None:
        return {}
    return {name: make_spoiled(folder, name, one, grid.spec | {"learning_rate": rate})}


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
