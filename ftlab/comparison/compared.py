"""compare(): the curves of several runs over each other, and what differs between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.comparison.costs import costs_cells, without_blanks
from ftlab.comparison.data import TITLES as DATA_TITLES
from ftlab.comparison.data import files_of
from ftlab.comparison.differences import Difference, can_be_ranked, cautions, differences
from ftlab.comparison.imported import TRAINER_STATE, read_tracks
from ftlab.comparison.scored import scores_cautions, scores_cells
from ftlab.comparison.track import Track, track_of
from ftlab.errors import RunError
from ftlab.files import existing
from ftlab.html import SERIES, curves, escaped, short, table
from ftlab.run import Run
from ftlab.runs import Runs
from ftlab.sweeps.folder import PLAN, Sweep
from ftlab.units import duration

LAST = 0.1  # share of the steps whose mean is the training loss at the end
TITLES = ("run", "steps", "training loss at the end", "validation loss", "best", "at step", "time")


class Reached(NamedTuple):
    """What a run has come to."""

    steps: int
    train_loss: float | None
    """The mean of the last tenth of its steps: a single one is noise."""
    eval_loss: float | None
    """The last."""
    best_eval_loss: float | None
    """The lowest after the first step."""
    best_step: int | None
    seconds: float | None
    tokens: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other. Shows itself in a notebook; `as_dict()` is plain data."""

    tracks: tuple[Track, ...]

    @cached_property
    def reached(self) -> tuple[Reached, ...]:
        return tuple(map(reached, self.tracks))

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Only the fields that differ."""
        return tuple(differences(self.tracks))

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """Why these losses can't simply be held against each other."""
        broken = [_broken(track) for track in self.tracks if track.broken()]
        scores = scores_cautions(self.tracks)
        return (*cautions(self.differences, self.tracks), *broken, *scores)

    @property
    def headline(self) -> str:
        """Which run is best, and by how much; empty where nobody measured, or not the same."""
        known = [(r.best_eval_loss, place) for place, r in enumerate(self.reached)]
        ranked = sorted((loss, place) for loss, place in known if loss is not None)
        measured = [self.tracks[place] for _, place in ranked]
        if len(ranked) < 2 or not all(can_be_ranked(*pair) for pair in combinations(measured, 2)):
            return ""
        (best, first), (second, other) = ranked[:2]
        name, step = self.tracks[first].name, self.reached[first].best_step
        share = (second - best) / abs(second) if second else 0.0
        by = f"{share:.1%} below" if second else "below"
        if 0.999 < share < 1:
            by = "more than 99.9% below"
        if second == best:
            by = "as low as"
        then = f"{by} {self.tracks[other].name} ({short(second)})"
        return f"{name} has the lowest validation loss: {short(best)} at step {step:,}, {then}."

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        runs = [
            {"name": track.name, "source": track.source, **found._asdict()}
            for track, found in zip(self.tracks, self.reached, strict=True)
        ]
        return {
            "headline": self.headline,
            "runs": runs,
            "differences": {one.field: list(one.values) for one in self.differences},
            "scores": _plain(scores_cells(self.tracks)),
            "costs": _plain(costs_cells(self.tracks)),
            "data": _plain(self.data_cells()),
            "cautions": list(self.cautions),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """What the runs have come to in words, under TITLES."""
        return [_in_words(*pair) for pair in zip(self.tracks, self.reached, strict=True)]

    def reached_cells(self) -> Cells:
        """Titles and rows of the same, without what no run has."""
        return without_blanks(list(TITLES), [list(row) for row in self.rows()])

    def __repr__(self) -> str:
        lines = [self.headline] if self.headline else []
        lines += [": ".join((row[0], _line(row))) for row in self.rows()]
        lines += [f"{one.field}: {' | '.join(one.values)}" for one in self.differences]
        return "\n".join([*lines, *self.cautions])

    def _repr_html_(self) -> str:
        """Tables and curves without scripts; beyond as many runs as there are colours, no curves
        could be told apart."""
        series = {
            track.name: list(zip(*track.along("train_loss"), strict=True)) for track in self.tracks
        }
        drawn = curves(series) if len(series) <= len(SERIES) else ""
        said = "".join(f"<div>● {escaped(text)}</div>" for text in self.cautions)
        head = f"<div><b>{escaped(self.headline)}</b></div>" if self.headline else ""
        tables = f"{self.reached_html()}{self.more_html()}{self.differences_html()}"
        return f"<div>{head}{said}{tables}{self.data_html()}{drawn}</div>"

    def reached_html(self) -> str:
        """A row for each run."""
        return cells_html(self.reached_cells())

    def more_html(self) -> str:
        """The scores that the runs have, and what they took against what was estimated."""
        costs = without_blanks(*costs_cells(self.tracks))
        return cells_html(scores_cells(self.tracks)) + cells_html(costs)

    def data_html(self) -> str:
        """The files that the runs trained on, where they are not one; reads them."""
        return cells_html(self.data_cells())

    def data_cells(self) -> Cells:
        """Titles and rows; no rows where all trained on one file, or nobody tells on which."""
        digests = {track.data.sha256 for track in self.tracks if track.data is not None}
        found = files_of(self.tracks) if len(digests) > 1 else []
        return list(DATA_TITLES), [list(one.cells()) for one in found]

    def differences_html(self) -> str:
        """A row for each field that differs, a column for each run."""
        if len(self.tracks) < 2:
            return ""
        if not self.differences:
            return "<div>Nothing that is known of their settings differs.</div>"
        names = [track.name for track in self.tracks]
        rows = ([escaped(cell) for cell in (one.field, *one.values)] for one in self.differences)
        return table(("field", *names), rows)


Cells = tuple[list[str], list[list[str]]]
"""Titles and rows of a table of text."""


def cells_html(cells: Cells) -> str:
    """A table, nothing where it has no rows."""
    titles, rows = cells
    return table(titles, ([escaped(cell) for cell in row] for row in rows)) if rows else ""


def _plain(cells: Cells) -> list[dict[str, str]]:
    titles, rows = cells
    return [dict(zip(titles, row, strict=True)) for row in rows]


def compare(*runs: Any, folder: Path | str | None = None) -> Comparison:
    """Hold runs against each other: ids or folders, Run objects, sweeps (each of their arms), and
    files of other tools (trainer_state.json, a CSV of W&B, TensorBoard's folder); also as one list.

    Ids are looked up in `folder`. Raises FtlabError for what is none of these.
    """
    given = [one for run in runs for one in (run if _is_list(run) else [run])]
    if not given:
        raise RunError(
            "There is nothing to compare; it takes runs, sweeps or files of other tools. "
            "Give for example the ids that `ftlab runs` lists."
        )
    return Comparison(tuple(told_apart([t for one in given for t in tracks_of(one, folder)])))


def tracks_of(one: Any, folder: Path | str | None = None) -> list[Track]:
    """The tracks of one thing that was given."""
    if isinstance(one, Track):
        return [one]
    if isinstance(one, Sweep):
        return [track_of(run, arm.name) for arm, run in one.arms]
    if isinstance(one, Run):
        return [track_of(one)]
    return _found(one, Runs(folder))


def _found(name: str | Path, runs: Runs) -> list[Track]:
    """What lies there: a run, a sweep, or what another tool has left."""
    given = Path(name).expanduser()
    for path in (runs.folder / given.name, given):
        if existing(path / PLAN):
            return tracks_of(Sweep(path))
        if existing(path / "job.json"):
            return tracks_of(Run(path))
    if existing(given):
        return read_tracks(given)
    raise RunError(
        f"{str(name)!r} is neither a run in {runs.folder} nor a file; a run is named by its id or "
        f"folder, that of another tool by a file such as {TRAINER_STATE}. See `ftlab runs`."
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, Path))


def told_apart(tracks: Iterable[Track]) -> Iterable[Track]:
    """Those with one name get numbers."""
    seen: dict[str, int] = {}
    for track in tracks:
        n = seen[track.name] = seen.get(track.name, 0) + 1
        yield track if n == 1 else Track(**{**vars(track), "name": f"{track.name} ({n})"})


def reached(track: Track) -> Reached:
    """What a run has come to; figures that were no numbers are left out."""
    train, evaluated = _finite(track, "train_loss"), _finite(track, "eval_loss")
    measured = {step: loss for step, loss in evaluated.items() if step > 0}
    best = min(measured, key=lambda step: measured[step], default=None)
    tail = list(train.values())[-math.ceil(LAST * len(train)) :] if train else []
    return Reached(
        steps=max((step for points in track.series.values() for step in points), default=0),
        train_loss=sum(tail) / len(tail) if tail else None,
        eval_loss=next(reversed(measured.values()), None),
        best_eval_loss=None if best is None else measured[best],
        best_step=best,
        seconds=max(track.seconds.values(), default=None),
        tokens=max(track.tokens.values(), default=None),
    )


def _finite(track: Track, metric: str) -> dict[int, float]:
    return {s: v for s, v in track.series.get(metric, {}).items() if math.isfinite(v)}


def _in_words(track: Track, found: Reached) -> tuple[str, ...]:
    losses = (found.train_loss, found.eval_loss, found.best_eval_loss)
    step = "" if found.best_step is None else f"{found.best_step:,}"
    time = "" if found.seconds is None else duration(found.seconds)
    shown = ("" if loss is None else f"{loss:.4g}" for loss in losses)
    return (track.name, f"{found.steps:,}", *shown, step, time)


def _line(row: tuple[str, ...]) -> str:
    pairs = zip(TITLES[1:], row[1:], strict=True)
    return ", ".join(f"{title} {cell}" for title, cell in pairs if cell)


def _broken(track: Track) -> str:
    steps = track.broken()
    more = f" and {len(steps) - 1:,} more" if len(steps) > 1 else ""
    return (
        f"The training loss of {track.name} is no number at step {steps[0]:,}{more}; the curve has "
        "a gap there. Look at the rows of that step, or lower its learning rate."
    )
