"""How the benchmark of the trainer reckons and prints: what contenders told, beside the goals."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ftlab.data.chat import IGNORED
from ftlab.models import tensor_shapes

WARM_UP = 2  # steps that don't count
_NARROW = ("mlp", "q_proj", "o_proj")


@dataclass(frozen=True)
class Goal:
    """What is wanted of a figure, and what was reached when that was set."""

    wanted: float
    reached: float | None = None
    at_most: bool = False
    """Otherwise at least."""

    def holds(self, figure: float) -> bool:
        return figure <= self.wanted if self.at_most else figure >= self.wanted

    def __str__(self) -> str:
        reached = f", {self.reached:g} when set" if self.reached else ""
        return f"{'at most' if self.at_most else 'at least'} {self.wanted:g}{reached}"


@dataclass(frozen=True)
class Told:
    """What a contender said of its steps, one entry each."""

    first_step: float
    """Seconds from the start of the process to the end of its first step."""
    seconds: list[float]
    cpu_seconds: list[float]
    tokens: list[int]
    losses: list[float]
    peak_bytes: int
    threads: int
    writing: list[float] = field(default_factory=list)
    """Seconds that the event of each step took, where one was written."""
    products: float | None = None
    """Operations per second of bare matrix products, where they were measured."""

    @property
    def counted(self) -> float:
        """Seconds of the steps that count."""
        return sum(self.seconds[WARM_UP:])

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return sum(self.tokens[WARM_UP:]) / self.counted

    @property
    def figures(self) -> dict[str, float]:
        """What the table has; CPU seconds are those of the steps that count."""
        return {
            "tokens/s": self.speed,
            "CPU s": sum(self.cpu_seconds[WARM_UP:]),
            "peak MiB": self.peak_bytes / 2**20,
            "first step s": self.first_step,
        }

    @property
    def reporting(self) -> float:
        """Share of the steps that their events took."""
        return sum(self.writing[WARM_UP:]) / self.counted


def table(contenders: Mapping[str, Sequence[Told]]) -> None:
    """Print medians and ranges."""
    names = next(iter(contenders.values()))[0].figures
    print(f"  {'':20}" + "".join(f"{name:>22}" for name in names))
    for title, tellings in contenders.items():
        columns = zip(*(told.figures.values() for told in tellings), strict=True)
        print(f"  {title:20}" + "".join(f"{spread(column):>22}" for column in columns))


def judge(what: str, figures: Iterable[float], goal: Goal | None) -> bool:
    """Print a figure beside its goal; returns whether that holds."""
    found = list(figures)
    holds = goal is None or goal.holds(statistics.median(found))
    wanted = f"  {'✓' if holds else '✗'} ({goal})" if goal else ""
    print(f"    {what}: {spread(found)}{wanted}")
    return holds


def spread(figures: Iterable[float]) -> str:
    """Median and range, with three digits or all those before the point."""
    found = sorted(figures)
    middle, low, high = (
        f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
        for figure in (statistics.median(found), found[0], found[-1])
    )
    return f"{middle} [{low}-{high}]"


def useful_operations(folder: Path, batch_size: int, *, narrow: bool = False) -> float:
    """Operations of the steps that count, as SFT with LoRA needs them: per token 4 for each weight
    of the layers, 6 for each of the adapter, and what causal attention takes; the head on trained
    tokens alone, and with `narrow` all of the last layer but its keys and values, as ftlab does.
    Nothing is recomputed, nothing is padded."""
    config: dict[str, Any] = json.loads((folder / "model" / "config.json").read_text())
    width, depth = config["hidden_size"], config["num_hidden_layers"]
    dense = sum(_sizes(folder / "model", ".layers."))
    adapter = sum(_sizes(folder / "adapter", ""))
    last = f".layers.{depth - 1}."
    per_token = 4 * dense + 6 * adapter
    left_out = 4 * sum(_sizes(folder / "model", last, _NARROW))
    left_out += 6 * sum(_sizes(folder / "adapter", last, _NARROW))
    lines = (folder / "rows.jsonl").read_text().splitlines()[WARM_UP * batch_size :]
    total = 0.0
    for row in map(json.loads, lines):
        n = len(row["input_ids"])
        trained = sum(label != IGNORED for label in row["labels"])
        total += n * per_token + 6 * width * depth * n * (n + 1)
        total -= narrow * (n - trained) * left_out
        total += 4 * width * config["vocab_size"] * trained
    return total


def _sizes(folder: Path, part: str, kinds: Sequence[str] = ("",)) -> list[int]:
    shapes = tensor_shapes(folder).items()
    wanted = [shape for name, shape in shapes if part in name and any(k in name for k in kinds)]
    return [shape[0] * shape[1] for shape in wanted if len(shape) == 2]


def padding(folder: Path, batch_size: int) -> float:
    """Share of the places of padded batches that hold no token."""
    lines = (folder / "rows.jsonl").read_text().splitlines()
    lengths = [_lengths(json.loads(line)) for line in lines]
    batches = [
        list(chain(*lengths[i : i + batch_size])) for i in range(0, len(lengths), batch_size)
    ]
    places = sum(len(batch) * max(batch) for batch in batches)
    return 1 - sum(map(sum, batches)) / places


def _lengths(row: Mapping[str, list[int]]) -> list[int]:
    if "input_ids" in row:
        return [len(row["input_ids"])]
    return [len(row["prompt_ids"]) + len(row[name]) for name in ("chosen_ids", "rejected_ids")]
