"""The scores that runs have in their folders, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.comparison.track import Track
from ftlab.html import counted
from ftlab.run import Run
from ftlab.scores.columns import identity_of
from ftlab.scores.metrics import Traits
from ftlab.scores.sheet import BASE, TUNED, kept_sheets
from ftlab.scores.words import range_in_words, value_in_words

OTHER_ROWS = (
    "Their scores are of different rows ({}), and can't be held against each other. Score the runs "
    "on one file, with as many rows."
)


OTHER_WEIGHTS = (
    "The scores of {} are of weights that it has no more; what is held against others are those it "
    "has. Score it again."
)
UNBOUNDED = (math.inf, -math.inf, math.inf)
"""What a value, a low and a high that are not told stand for."""


class Scored(NamedTuple):
    """Scores of a run."""

    file: str
    rows: str
    """Differs where the file or the rows of it do."""
    figures: dict[str, dict[str, tuple[float, float, float]]]
    """Metric → column → value, low and high."""
    traits: dict[str, Traits]
    identity: str
    """Of the tuned weights; empty where only checkpoints were scored."""


def scored(run: Run) -> Iterator[Scored]:
    """The newest first; none where nobody scored it, or they can't be read."""
    for file in kept_sheets(run.score_folder):
        if found := _read(file, file.stat().st_mtime_ns):
            yield found


def side_by_side(tracks: Sequence[Track]) -> list[Scored | None]:
    """The newest scores of each run that are of the same rows; where there are none, its newest."""
    every = [list(scored(track.run)) if track.run else [] for track in tracks]
    known = [one for one in every if one]
    of_first = [one.rows for one in known[0]] if known else []
    of_all = [rows for rows in of_first if all(rows in {s.rows for s in one} for one in known)]
    return [next((s for s in one if s.rows in of_all[:1] or not of_all), None) for one in every]


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
        told = zip((one["value"], *one["interval"]), UNBOUNDED, strict=True)
        value, low, high = (open_ if known is None else float(known) for known, open_ in told)
        figures.setdefault(one["metric"], {})[one["column"]] = (value, low, high)
    lines = [row["line"] for row in data["rows"]]
    name = Path(data["file"]).name
    traits = {name: Traits(**told) for name, told in data["traits"].items()}
    rows = f"{data['sha256']} {lines}"
    identity = data["columns"].get(TUNED, {}).get("identity", "")
    return Scored(f"{name}, {counted(len(lines), 'row')}", rows, figures, traits, identity)


def scores_cells(tracks: Sequence[Track]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table: a row for each metric, a column for each run, base first where
    all have the same."""
    all_scored = side_by_side(tracks)
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


def scores_cautions(tracks: Sequence[Track]) -> Iterator[str]:
    """Why scores can't be held against each other; none where they can."""
    found = side_by_side(tracks)
    known = {one.rows: one.file for one in found if one is not None}
    if len(known) > 1:
        yield OTHER_ROWS.format("; ".join(known.values()))
    pairs = zip(tracks, found, strict=True)
    if old := [track.name for track, one in pairs if one and _is_old(track.run, one)]:
        yield OTHER_WEIGHTS.format(", ".join(old))


def _is_old(run: Run | None, one: Scored) -> bool:
    if run is None or not one.identity or not run.adapter.exists():
        return False
    return identity_of(run.adapter) != one.identity
