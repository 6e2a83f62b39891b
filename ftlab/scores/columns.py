"""The columns of a scoring: base, tuned, checkpoints, and the base with examples in the prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ftlab.answers import BASE, tuned_folder
from ftlab.files import sha256_of
from ftlab.html import counted
from ftlab.manifest import MANIFEST
from ftlab.run import Run
from ftlab.scores.sheet import TUNED


class Wanted(NamedTuple):
    """A column to fill."""

    name: str
    model: str
    identity: str
    shots: int = 0


def wanted(run: Run, shots: int, *, checkpoints: bool) -> Iterator[Wanted]:
    """The columns that are asked for. Raises RunError where the run has tuned nothing yet; where
    its checkpoints are asked for, those will do."""
    yield Wanted(BASE, BASE, BASE)
    if run.adapter.exists() or not (checkpoints and run.has_checkpoint):
        yield _tuned(TUNED, tuned_folder(run))
    if shots:
        name = f"base with {counted(shots, 'example')}"
        yield Wanted(name, BASE, f"{BASE} {shots}", shots)
    for step in run.steps_on_disk if checkpoints else []:
        yield _tuned(f"step {step:,}", tuned_folder(run, step))


def _tuned(name: str, folder: Path) -> Wanted:
    return Wanted(name, str(folder), identity_of(folder))


def identity_of(folder: Path) -> str:
    """The same as long as the weights in a folder are."""
    if (folder / MANIFEST).is_file():
        return sha256_of(folder / MANIFEST)
    files = sorted(folder.glob("*.safetensors"))
    told = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
