"""What is faster on this machine, as it was measured: whether a CPU multiplies matrices faster in
bfloat16, and the like.

Kept in the cache folder by machine, so that an estimate knows what a run will choose, and a run
that goes on chooses as it did. The trainer measures; nothing here loads torch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ftlab.data.cache import folder
from ftlab.devices import processor
from ftlab.model_files import ModelInfo

NARROWEST = 512
"""Width of a model below which other things than matrices take the time: at 512 bfloat16 trains
1.2 times as fast where its products alone take a sixth (2 cores with AMX, 2026-11)."""
WIDEST = 2048
"""What is measured of a wider layer, so that it takes a moment."""

Shape = tuple[int, int]


def shape_of(info: ModelInfo) -> Shape | None:
    """The widths of the layer to measure; None where a model is so small that it has no say."""
    width, inner = info.hidden_size, info.intermediate_size or info.hidden_size
    if not width or not inner or width < NARROWEST:
        return None
    return min(width, WIDEST), min(inner, WIDEST)


def is_faster(shape: Shape) -> bool | None:
    """What was measured for that shape; None when nothing was."""
    return known(_key(shape))


def remember(shape: Shape, *, faster: bool) -> None:
    """Keep what was measured for that shape."""
    keep(_key(shape), value=faster)


def known(key: str) -> bool | None:
    """What was kept under a key; None when nothing was."""
    found = _read().get(key)
    return found if isinstance(found, bool) else None


def keep(key: str, *, value: bool) -> None:
    """Keep something until the cache is emptied."""
    entries = {**_read(), key: value}
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        part = _file().with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(entries), encoding="utf-8")
        part.replace(_file())
    except OSError:
        return  # the next run measures again


def _read() -> dict[str, object]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _file() -> Path:
    return folder() / "number_formats.json"


def _key(shape: Shape) -> str:
    return f"{processor()}, {os.cpu_count()} cores, {shape[0]} × {shape[1]}"
