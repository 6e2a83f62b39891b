"""Scores as tables: of text for a terminal, of HTML for a panel and a saved notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.html import SERIES, counted, escaped, short, table
from ftlab.scores.figures import Score
from ftlab.scores.sheet import BASE, TUNED
from ftlab.scores.words import (
    apart_in_words,
    figure_in_words,
    headline,
    range_in_words,
    title_of,
    value_in_words,
)

if TYPE_CHECKING:
    from ftlab.scores.found import Change, Scores
    from ftlab.scores.harness import Figure, Line

MARKS = {"better": "▲", "worse": "▼", "no better": "="}
LEGEND = ", ".join(f"{mark} {word}" for word, mark in MARKS.items()) + " than base"
COLORS = {"better": SERIES[2], "worse": SERIES[5], "no better": "currentColor"}
TEXT_SHOWN = 160  # characters of an answer


def cells(found: Scores) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of text: a row for each metric, a column for each model."""
    rows = [[title, *map(_cell, scores)] for title, scores in _metrics(found)]
    return ["metric", *found.columns], rows


def _metrics(found: Scores) -> Iterator[tuple[str, list[Score | None]]]:
    """The title of each metric that was found, and its figure of each column."""
    for traits in found.sheet.traits.values():
        scores = [found.get(traits.name, name) for name in found.columns]
        if known := [score for score in scores if score is not None]:
            fullest = max(known, key=lambda score: score.n)
            yield title_of(fullest, len(found.sheet.rows)), scores


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    text = figure_in_words(score)
    return f"{text} {MARKS[kind(score)]}" if score.verdict else text


def kind(score: Score) -> str:
    """Better, worse or no better."""
    return score.verdict.partition(" than ")[0]


def as_text(found: Scores) -> str:
    titles, rows = cells(found)
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (titles, *rows)]
    harness = ["  ".join(row).rstrip() for row in harness_cells(found.harness)[1]]
    return "\n".join([headline(found), *lines, *legend(found), *harness, *found.said])


def legend(found: Scores) -> list[str]:
    """What the marks in a table of text mean, where there are any."""
    return [LEGEND] if any(score.verdict for score in found.table) else []


def as_html(found: Scores) -> str:
    """Tables without scripts."""
    lists = (
        f"<div><b>{title}</b></div>{_table(changes(rows))}"
        for title, rows in (("Gained most", found.gained()), ("Lost most", found.lost()))
        if rows
    )
    return f"<div>{summary_html(found)}{''.join(lists)}</div>"


def summary_html(found: Scores) -> str:
    """What the scores mean, the figures, and what is to be known with them."""
    said = "".join(f"<div><small>{escaped(text)}</small></div>" for text in found.said)
    where = f"{Path(found.sheet.file).name}, {counted(len(found.sheet.rows), 'row')}"
    head = f"<div><b>{escaped(headline(found))}</b></div><div><small>{escaped(where)}</small></div>"
    return f"{head}{figures_html(found)}{_table(harness_cells(found.harness))}{said}"


def figures_html(found: Scores) -> str:
    """A row for each metric, a column for each model."""
    rows = [[escaped(title), *map(_html_cell, scores)] for title, scores in _metrics(found)]
    return table(("metric", *found.columns), rows)


def _html_cell(score: Score | None) -> str:
    if score is None:
        return ""
    value = escaped(value_in_words(score.traits, score.found.value))
    low_high = range_in_words(score.traits, score.found.low, score.found.high)
    text = f"<b>{value}</b> <small>{escaped(low_high)}</small>"
    if not score.verdict:
        return text
    which = kind(score)
    mark = f'<span style="color:{COLORS[which]}">{MARKS[which]}</span>'
    why = f"{score.verdict}: {apart_in_words(score)}"
    return f'{text}<br><small title="{escaped(why)}">{mark} {escaped(score.verdict)}</small>'


def changes(found: list[Change]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of rows that gained or lost."""
    titles = ["line", "base → tuned", "prompt", "reference", BASE, TUNED]
    return titles, [[f"{c.row.line:,}", change_in_words(c), *texts_of(c)] for c in found]


def harness_cells(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of what lm-eval has found."""
    rows = [
        [line.task, line.metric, _figure(line.base), _figure(line.tuned), _marked(line.verdict)]
        for line in lines
    ]
    return ["lm-eval task", "metric", BASE, TUNED, ""], rows


def _figure(figure: Figure) -> str:
    error = "" if figure.stderr is None else f" ± {figure.stderr:.4f}"
    return f"{figure.value:.4f}{error}"


def _marked(verdict: str) -> str:
    return f"{MARKS[verdict.partition(' than ')[0]]} {verdict}" if verdict else ""


def _table(cells: tuple[list[str], list[list[str]]]) -> str:
    titles, rows = cells
    return table(titles, ([escaped(cell) for cell in row] for row in rows)) if rows else ""


def change_in_words(change: Change) -> str:
    """ "exact match 0 → 1"."""
    return f"{change.metric.replace('_', ' ')} {short(change.base)} → {short(change.tuned)}"


def texts_of(change: Change) -> list[str]:
    """What the row asks, its answer, and those of base and tuned, each cut."""
    texts = (change.row.prompt, change.row.reference, *change.answers)
    return [_cut(text or "") for text in texts]


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else f"{text[: TEXT_SHOWN - 1]}…"
