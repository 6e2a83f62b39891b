"""Scores: what was found, with how sure that is and what it means."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.scores.figures import Score, apart, gain, score_of
from ftlab.scores.harness import Line
from ftlab.scores.intervals import Difference
from ftlab.scores.sheet import BASE, TUNED, Column, ScoredRow, Sheet

if TYPE_CHECKING:
    from pandas import DataFrame

LEADING = ("exact_match", "win_rate", "loss")
"""Metrics that a verdict may rest on, the one that says most first."""
APPLIES = 0.5
"""Share of the rows that a metric must apply to for the verdict to rest on it."""


class Change(NamedTuple):
    """A row that gained or lost."""

    row: ScoredRow
    metric: str
    base: float
    tuned: float
    answers: tuple[str | None, str | None]
    """Of base and tuned."""


@dataclass(frozen=True)
class Scores:
    """Shows itself in a notebook; `rows` is a DataFrame, `as_dict()` plain data."""

    sheet: Sheet
    notes: tuple[str, ...] = ()
    harness: tuple[Line, ...] = ()
    """What lm-eval has found."""

    @property
    def columns(self) -> dict[str, Column]:
        return self.sheet.columns

    @cached_property
    def table(self) -> tuple[Score, ...]:
        """Every metric of every column that is whole."""
        scores = (
            score_of(traits, name, self.columns)
            for traits in self.sheet.traits.values()
            for name in self.columns
        )
        return tuple(score for score in scores if score is not None)

    def get(self, metric: str, column: str = TUNED) -> Score | None:
        """One figure; None where it was not found."""
        found = (s for s in self.table if (s.metric, s.column) == (metric, column))
        return next(found, None)

    @property
    def lead(self) -> Score | None:
        """The figure of the tuned model that the verdict rests on."""
        for name in (*LEADING, *self.sheet.traits):
            score = self.get(name)
            if score is not None and score.n >= APPLIES * len(self.sheet.rows):
                return score
        return None

    def against(self, metric: str, column: str, other: str) -> Difference | None:
        """How far two columns are apart, over the rows that both have."""
        columns, traits = self.columns, self.sheet.traits.get(metric)
        if traits is None or column not in columns or other not in columns:
            return None
        return apart(traits, columns[column], columns[other])

    def gained(self, n: int = 5) -> list[Change]:
        """The rows that tuning gained most on."""
        return [change for gains, change in self._changes() if gains > (0, 0)][:n]

    def lost(self, n: int = 5) -> list[Change]:
        """The rows that tuning lost most on."""
        return [change for gains, change in reversed(self._changes()) if gains < (0, 0)][:n]

    def _changes(self) -> list[tuple[tuple[float, float], Change]]:
        """By the metric of the verdict, and by the loss where that is equal; most gain first."""
        lead, base, tuned = self.lead, self.columns.get(BASE), self.columns.get(TUNED)
        if lead is None or base is None or tuned is None:
            return []
        found = list[tuple[tuple[float, float], Change]]()
        for place, row in enumerate(self.sheet.rows):
            by_lead = gain(lead.traits, base, tuned, place)
            if by_lead is None:
                continue
            loss = self.sheet.traits.get("loss", lead.traits)
            by_loss = gain(loss, base, tuned, place)
            name = lead.metric if by_lead or by_loss is None else loss.name
            before, after = (one.values[name][place] or 0.0 for one in (base, tuned))
            answers = base.answers[place], tuned.answers[place]
            found.append(((by_lead, by_loss or 0.0), Change(row, name, before, after, answers)))
        return sorted(found, key=lambda one: one[0], reverse=True)

    @property
    def rows(self) -> DataFrame:
        """One line for each row: what it asks, what the models say, and what that is worth."""
        import pandas as pd

        frame = {
            "line": [row.line for row in self.sheet.rows],
            "prompt": [row.prompt for row in self.sheet.rows],
            "reference": [row.reference for row in self.sheet.rows],
        }
        for name, column in self.columns.items():
            frame[name] = column.answers
            for metric, values in column.values.items():
                if len(values) == len(self.sheet.rows):
                    frame[f"{metric}: {name}"] = values
        return pd.DataFrame(frame)

    def figures(self) -> list[dict[str, Any]]:
        """The table as plain data."""
        return [_plain(score) for score in self.table]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        from ftlab.scores.words import headline

        return {
            "file": self.sheet.file,
            "sha256": self.sheet.sha256,
            "n_rows": len(self.sheet.rows),
            "headline": headline(self),
            "scores": self.figures(),
            "gained": [_changed(change) for change in self.gained()],
            "lost": [_changed(change) for change in self.lost()],
            "usage": {name: one.usage for name, one in self.columns.items() if one.usage},
            "harness": [_line(line) for line in self.harness],
            "notes": self.said,
        }

    @property
    def said(self) -> list[str]:
        """What is to be known with the figures."""
        of_columns = (
            f"{name}: {note}" for name, column in self.columns.items() for note in column.notes
        )
        sheet = self.sheet
        return [*self.notes, *sheet.notes, *sheet.refused, *of_columns, *self._costs()]

    def _costs(self) -> Iterator[str]:
        """What metrics have counted, over all columns."""
        total: dict[str, Counter[str]] = {}
        for column in self.columns.values():
            for metric, counts in column.usage.items():
                total.setdefault(metric, Counter()).update(counts)
        for metric, counts in total.items():
            told = ", ".join(_counted(n, name) for name, n in counts.items())
            yield f"{metric}: {told}."

    def __repr__(self) -> str:
        from ftlab.scores.tables import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from ftlab.scores.tables import as_html

        return as_html(self)


def _counted(n: int, name: str) -> str:
    """ "2 rows without a verdict"."""
    what, _, more = name.partition("_")
    words = f"{what.removesuffix('s') if n == 1 else what} {more.replace('_', ' ')}"
    return f"{n:,} {words.strip()}"


def _plain(score: Score) -> dict[str, Any]:
    found = score.found
    apart = None if score.apart is None else score.apart._asdict()
    return {
        "metric": score.metric,
        "column": score.column,
        "value": _finite(found.value),
        "interval": [_finite(found.low), _finite(found.high)],
        "n": score.n,
        "from_base": apart and {name: _finite(value) for name, value in apart.items()},
        "verdict": score.verdict,
    }


def _finite(value: float) -> float | None:
    """As JSON has it: None is unbounded."""
    return value if math.isfinite(value) else None


def _line(line: Line) -> dict[str, Any]:
    return {
        "task": line.task,
        "metric": line.metric,
        "base": line.base._asdict(),
        "tuned": line.tuned._asdict(),
        "verdict": line.verdict,
    }


def _changed(change: Change) -> dict[str, Any]:
    return {
        "line": change.row.line,
        "metric": change.metric,
        "base": change.base,
        "tuned": change.tuned,
        "answers": dict(zip((BASE, TUNED), change.answers, strict=True)),
    }
