"""What a scoring has found, row by row, as it lies in the run's folder: one JSON file for each set
of rows and settings, to which columns are added."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import ftlab
from ftlab.errors import RunError
from ftlab.files import replace_file
from ftlab.processes import held
from ftlab.scores.metrics import Loss, Traits

BASE, TUNED = "base", "tuned"
SAVE_SECONDS = 3.0
"""Between two savings while a column is being filled."""


class Column(BaseModel):
    """What one model says of every row; lists are as long as the rows."""

    title: str
    model: str
    """"base", or the folder of an adapter or a model."""
    identity: str
    """Differs when the model, or what stands before a row, does."""
    shots: int = 0
    answers: list[str | None]
    losses: list[tuple[Loss, ...] | None]
    values: dict[str, list[float | None]] = Field(default_factory=dict)
    """Metric → its value for each row."""
    notes: list[str] = Field(default_factory=list)
    usage: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Metric → what was counted: requests, tokens, rows that gave nothing."""
    seconds: float = 0.0
    """That the models took for it."""

    @classmethod
    def empty(cls, title: str, model: str, identity: str, shots: int, n: int) -> Column:
        return cls(
            title=title,
            model=model,
            identity=identity,
            shots=shots,
            answers=[None] * n,
            losses=[None] * n,
        )


class ScoredRow(BaseModel):
    """What a person reads of a row."""

    line: int
    prompt: str
    reference: str | None


class Sheet(BaseModel):
    """Rows, and a column for each model."""

    model_config = ConfigDict(ser_json_inf_nan="strings", extra="ignore")

    version: int = 1
    ftlab_version: str = ftlab.__version__
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    run: str
    file: str
    sha256: str
    """Of the file."""
    settings: dict[str, Any]
    """What decides what the models say."""
    rows: list[ScoredRow]
    traits: dict[str, Traits] = Field(default_factory=dict)
    """Metric → how it is shown."""
    notes: list[str] = Field(default_factory=list)
    refused: list[str] = Field(default_factory=list)
    """Of rows that can't be scored; it may quote them."""
    figures: list[dict[str, Any]] = Field(default_factory=list)
    """What was made of the columns, for those who look at many runs."""
    columns: dict[str, Column] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same rows and settings."""
        told = [self.sha256, [row.line for row in self.rows], self.settings]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


class Kept:
    """The file of a sheet; written now and then, so that a kill loses little."""

    def __init__(self, folder: Path, sheet: Sheet) -> None:
        self.file, self.sheet = folder / f"{sheet.key}.json", sheet
        self._saved = time.monotonic()

    def save(self, *, now: bool = True) -> None:
        """Write it; unless `now`, only where that was not done a moment ago."""
        if now or time.monotonic() - self._saved > SAVE_SECONDS:
            replace_file(self.file, self.sheet.model_dump_json().encode())
            self._saved = time.monotonic()


def read_sheet(file: Path) -> Sheet:
    """Raises RunError where the file holds none."""
    try:
        return Sheet.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as exc:
        reason = str(exc).splitlines()[0]
        raise RunError(
            f"{file} can't be read ({reason}); it holds the scores of a run as this ftlab or an "
            "older one writes them. Move it away, and score again."
        ) from exc


def kept_sheets(folder: Path) -> list[Path]:
    """The files of a run's scores, the newest first."""
    dated = []
    for file in folder.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            dated.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(dated, reverse=True)]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else scores the run meanwhile. Raises RunError where somebody does."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with held(folder / "lock") as is_alone:
        if not is_alone:
            raise RunError(
                f"Run {folder.parent.name} is being scored by another process; one at a time "
                "writes its scores. Wait until that has ended."
            )
        yield
