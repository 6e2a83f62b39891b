"""The scores that runs have in their folders, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.comparison.track import Track
from ftlab.run import Run
from ftlab.scores.metrics import Traits
from ftlab.scores.sheet import BASE, TUNED, kept_sheets
from ftlab.scores.words import range_in_words, value_in_words

OTHER_ROWS = (
    "Their scores are of different rows ({}), and can't be held against each other. Score the runs "
    "on one file, with as many rows."
)


class Scored(NamedTuple):
    """The newest scores of a run."""

    file: str
    rows: str
    """Differs where the file or the rows of it do."""
    figures: dict[str, dict[str, tuple[float, float, float]]]
    """Metric → column → value, low and high."""
    traits: dict[str, Traits]


def scored(run: Run) -> Scored | None:
    """None where nobody scored it, or its newest scores can't be read."""
    for file in kept_sheets(run.score_folder):
        if found := _read(file, file.stat().st_mtime_ns):
            return found
    return None


@lru_cache(maxsize=64)
def _read(file: Path, _stamp: int) -> Scored | None:
    try:
        data = json.loads(file.read_bytes())
        return _of(data) if data["figures"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of(data: dict[str, Any]) -> Scored:
    figures: dict[str, dict[str, tuple[float, float, float]]] = {}
    for one in data["figures"]:
        low, high = one["interval"]
        figures.setdefault(one["metric"], {})[one["column"]] = (one["value"], low, high)
    lines = [row["line"] for row in data["rows"]]
    name = Path(data["file"]).name
    traits = {name: Traits(**told) for name, told in data["traits"].items()}
    return Scored(f"{name}, {len(lines):,} rows", f"{data['sha256']} {lines}", figures, traits)


def scores_cells(tracks: Sequence[Track]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table: a row for each metric, a column for each run, base first where
    all have the same."""
    all_scored = [scored(track.run) if track.run else None for track in tracks]
    known = [one for one in all_scored if one is not None]
    names = dict.fromkeys(name for one in known for name in one.figures)
    rows = [
        [_title(name, known), _bases(name, known), *(_cell(name, one) for one in all_scored)]
        for name in names
    ]
    return ["metric", BASE, *(track.name for track in tracks)], rows


def _title(name: str, known: list[Scored]) -> str:
    return next(one.traits[name].title for one in known if name in one.traits)


def _bases(name: str, known: list[Scored]) -> str:
    """The base's figure, where all runs have it from the same rows."""
    cells = {_cell(name, one, BASE) for one in known}
    return cells.pop() if len(cells) == 1 else ""


def _cell(name: str, one: Scored | None, column: str = TUNED) -> str:
    figure = None if one is None else one.figures.get(name, {}).get(column)
    if one is None or figure is None:
        return ""
    value, low, high = figure
    traits = one.traits[name]
    return f"{value_in_words(traits, value)} ({range_in_words(traits, low, high)})"


def scores_caution(tracks: Sequence[Track]) -> str:
    """Why scores can't be held against each other; empty where they can."""
    found = (scored(track.run) for track in tracks if track.run is not None)
    known = {one.rows: one.file for one in found if one is not None}
    return OTHER_ROWS.format("; ".join(known.values())) if len(known) > 1 else ""
