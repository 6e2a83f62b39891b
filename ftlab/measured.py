"""What probes measured on this machine, remembered by model shape and settings.

A small JSON file beside the scans' cache; where it can't be read or written, estimates stay what
the formulas say.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from ftlab.data.cache import folder as cache_folder
from ftlab.devices import Device, processor

VERSION = 4
"""To be raised when the trainer changes so that older measurements mislead."""
KEPT = 200
ALIKE = 30  # times as many parameters
DISTURBED = 0.55  # of the cores; undisturbed steps on 2 cores got 0.8 and more


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a few real steps took."""

    at: str
    """Date, as 2026-11-21."""
    n_steps: int
    """Steps of the run's own rows that were timed."""
    peak_bytes: int
    """Most that was in memory: of the process on a CPU, of torch's allocator on a GPU."""
    start_seconds: float
    """From the start of the process to the first step."""
    step_seconds: Annotated[float, Field(gt=0)]
    """Mean of the timed steps."""
    step_tokens: Annotated[float, Field(gt=0)]
    """Mean of the timed steps, without padding."""
    end_seconds: float = 0.0
    """To save the adapter."""
    eval_tokens_per_second: float | None = None
    reference_tokens_per_second: float | None = None
    """Of the model before training, which looks at each pair once; None without a reference."""
    cpu_share: float | None = None
    """Of all cores' time, what the timed steps got on a CPU, 0 to 1."""
    expected: float | None = None
    """What the formula says a timed step takes, in seconds: how this machine compares."""

    @property
    def slowness(self) -> float | None:
        """Measured time as a share of what the formula says; None is unknown."""
        return self.step_seconds / self.expected if self.expected else None

    @property
    def was_disturbed(self) -> bool:
        """Whether other programs took much of the time; a run is then faster without them."""
        return self.cpu_share is not None and self.cpu_share < DISTURBED


def settings(
    device: Device, shape: Mapping[str, Any], setup: Mapping[str, Any], rows: Mapping[str, Any]
) -> dict[str, Any]:
    """What a measurement holds for: this machine, a model's shape, how it trains, which rows."""
    machine = {**_machine(), "device": device.title, "memory": device.memory_bytes}
    return {"machine": machine, "shape": {**shape}, "setup": {**setup}, "rows": {**rows}}


@lru_cache(maxsize=1)
def _machine() -> dict[str, Any]:
    system = f"{platform.system()} {platform.machine()}"
    return {"system": system, "processor": processor(), "cores": os.cpu_count()}


def find(wanted: Mapping[str, Any]) -> Measurement | None:
    """The measurement of exactly these settings."""
    found = _entries().get(_key(wanted))
    return None if found is None else found[1]


def slowness(wanted: Mapping[str, Any]) -> tuple[float, bool] | None:
    """How this machine compares to the formula, by the newest measurement that tells: of the same
    model (True), or of another that is not much smaller or larger (False)."""
    here = [
        (known["shape"] == wanted["shape"], place, measured.slowness)
        for place, (known, measured) in enumerate(_entries().values())
        if known["machine"] == wanted["machine"]
        and measured.slowness
        and _is_alike(known["shape"], wanted["shape"])
    ]
    if not here:
        return None
    same_model, _, ratio = max(here, key=lambda entry: entry[:2])
    return (ratio, same_model) if ratio else None


def _is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the one says something of the other: in a tiny model other things take the time."""
    sizes = one["n_params"], other["n_params"]
    return max(sizes) <= ALIKE * min(sizes)


def remember(wanted: Mapping[str, Any], measured: Measurement) -> None:
    """Keep a measurement in place of an older one of the same settings."""
    try:
        with _locked():
            entries = {**_read()}
            entries.pop(_key(wanted), None)
            entries[_key(wanted)] = (dict(wanted), measured)
            kept = list(entries.values())[-KEPT:]
            plain = [{"settings": known, "measured": asdict(found)} for known, found in kept]
            part = _file().with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps({"version": VERSION, "entries": plain}), encoding="utf-8")
            part.replace(_file())
    except OSError:
        return  # the next estimate is then what the formula says


def _file() -> Path:
    return cache_folder() / "probes" / "measured.json"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    _file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _file().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


Entries = dict[str, tuple[dict[str, Any], Measurement]]


def _entries() -> Entries:
    """All, oldest first; read again when the file has changed."""
    file = _file()
    try:
        return _read_as_of(file, file.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=2)  # the form asks with every key that is pressed
def _read_as_of(_file_read: Path, _changed_at: int) -> Entries:
    return _read()


_MEASUREMENT = TypeAdapter(Measurement)  # anybody may have written to the file


def _read() -> Entries:
    try:
        saved = json.loads(_file().read_text(encoding="utf-8"))
        if saved["version"] != VERSION:
            return {}
        return {
            _key(entry["settings"]): (
                entry["settings"],
                _MEASUREMENT.validate_python(entry["measured"]),
            )
            for entry in saved["entries"]
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _key(wanted: Mapping[str, Any]) -> str:
    return json.dumps(wanted, sort_keys=True)
