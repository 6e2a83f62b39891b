"""The service's rates: a dated table that a person may edit.

It is `prices.json` beside this file, or the file that FTLAB_PRICES names.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.model_files import ModelInfo

BILLION = 1e9
METHODS = ("sft", "dpo")


@dataclass(frozen=True, slots=True)
class Bracket:
    """Rates of models of a size, or of one model."""

    rates: Mapping[str, Mapping[str, float]]
    """US dollars per million tokens, by training method and what is trained: "lora", "full"."""
    from_b: float = 0
    to_b: float = math.inf
    """Billions of parameters, both ends included."""
    minimum: float = 0
    """What a job costs at least, in US dollars."""
    unconfirmed_minimum: float = 0
    """The same, as `minimum_source` says and the service does not."""
    minimum_source: str = ""
    name: str = ""
    """The model, if the rates are its own."""

    @property
    def title(self) -> str:
        """ "up to 16B", "17–69B", "Qwen/Qwen3-235B-A22B"."""
        if self.name:
            return self.name
        return f"{self.from_b:g}–{self.to_b:g}B" if self.from_b else f"up to {self.to_b:g}B"


@dataclass(frozen=True, slots=True)
class Hardware:
    """A GPU that a dedicated endpoint runs on."""

    name: str
    gib: float
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars, as they were at `source` on `as_of`."""

    brackets: tuple[Bracket, ...]
    """By rising size."""
    models: Mapping[str, Bracket]
    """Models with rates of their own, by name."""
    source: str
    as_of: str
    hardware: tuple[Hardware, ...] = ()
    hardware_source: str = ""
    hardware_as_of: str = ""

    def brackets_of(self, info: ModelInfo) -> tuple[Bracket, ...]:
        """The model's own rates or the bracket of its size; the two around it for a size that
        lies between brackets; none when the size is unknown or above all of them."""
        own = self.models.get(info.name) or self.models.get(info.hosted_name or "")
        if own is not None:
            return (own,)
        if info.n_params is None:
            return ()
        size = info.n_params / BILLION
        inside = [bracket for bracket in self.brackets if bracket.from_b <= size <= bracket.to_b]
        below = [bracket for bracket in self.brackets if bracket.to_b < size]
        above = [bracket for bracket in self.brackets if bracket.from_b > size]
        return tuple(inside) or ((below[-1], above[0]) if below and above else ())


def path() -> Path:
    """The file with the rates."""
    return Path(os.environ.get("FTLAB_PRICES") or Path(__file__).with_name("prices.json"))


def rates(file: Path | None = None) -> Rates:
    """The rates of a file, or of the one in use. Raises UnreadableData for a damaged one."""
    chosen = file or path()
    return _rates(chosen, chosen.stat().st_mtime_ns if chosen.exists() else 0)


@lru_cache(maxsize=2)  # the form asks with every key that is pressed
def _rates(file: Path, stamp: int) -> Rates:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        tuning, endpoints = content["tuning"], content["endpoints"]
        return Rates(
            brackets=tuple(_bracket(entry) for entry in tuning["brackets"]),
            models={name: _bracket(entry, name) for name, entry in tuning["models"].items()},
            source=tuning["source"],
            as_of=tuning["as_of"],
            hardware=tuple(_hardware(entry) for entry in endpoints["hardware"]),
            hardware_source=endpoints["source"],
            hardware_as_of=endpoints["as_of"],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise UnreadableData(
            f"The rates in {file} can't be read ({type(exc).__name__}: {exc}); it is a JSON file "
            'with "tuning" and "endpoints", as ftlab\'s own prices.json. Correct it, or unset '
            "FTLAB_PRICES."
        ) from exc


def _bracket(entry: Mapping[str, Any], name: str = "") -> Bracket:
    rates = {
        method: {training: _amount(rate) for training, rate in entry[method].items()}
        for method in METHODS
        if method in entry
    }
    return Bracket(rates, name=name, **{k: v for k, v in entry.items() if k not in METHODS})


def _hardware(entry: Mapping[str, Any]) -> Hardware:
    return Hardware(entry["name"], _amount(entry["gib"]), _amount(entry["usd_per_hour"]))


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no amount; an amount is a number from 0")
    return float(value)
