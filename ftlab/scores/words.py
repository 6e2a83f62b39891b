"""Scores for a person: a headline, a table for a terminal, HTML for a saved notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.html import SERIES, counted, escaped, short, table
from ftlab.scores.figures import Score
from ftlab.scores.metrics import Traits
from ftlab.scores.sheet import BASE, TUNED

if TYPE_CHECKING:
    from ftlab.scores.found import Change, Scores
    from ftlab.scores.harness import Figure, Line

MARKS = {"better": "▲", "worse": "▼", "no better": "="}
COLORS = {"better": SERIES[2], "worse": SERIES[5], "no better": "currentColor"}
FEW = 20  # rows; below that an interval is a rough one
TEXT_SHOWN = 160  # characters of an answer
LEARNT_THE_FORM = (
    "Its loss fell all the same, from {} to {}: it has learned what answers look like, and not "
    "which one is right. See whether each row of the data has its own answer."
)

FORGOTTEN = (
    "It has lost what the base could do before in {}: train fewer steps, at a lower learning rate, "
    "or with other rows mixed in."
)


def value_in_words(traits: Traits, value: float) -> str:
    """Of a mean: a share in percent, anything else with three digits."""
    return f"{value:.1%}" if traits.form == "share" else short(value)


def range_in_words(traits: Traits, low: float, high: float) -> str:
    """An interval: "93.1 to 98.3"."""
    if traits.form == "share":
        return f"{100 * low:.1f} to {100 * high:.1f}"
    return f"{_signless(low)} to {_signless(high)}"


def figure_in_words(score: Score) -> str:
    """With its interval: "66.7% (39.1 to 86.2)"."""
    value = value_in_words(score.traits, score.found.value)
    return f"{value} ({range_in_words(score.traits, score.found.low, score.found.high)})"


def apart_in_words(score: Score) -> str:
    """How far it is from the base: "+95.0 points (91.9 to 97.5)"."""
    if score.apart is None:
        return ""
    return _apart(score.traits, score.apart.value, score.apart.low, score.apart.high)


def _apart(traits: Traits, value: float, low: float, high: float) -> str:
    if traits.form == "share":
        return f"{100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{_signed(value)} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return short(value) if value < 0 else f"+{short(value)}"


def _signless(value: float) -> str:
    return short(value) if math.isfinite(value) else str(value)


def headline(found: Scores) -> str:
    """What the scores mean, in a few sentences."""
    return " ".join(_sentences(found))


def _sentences(found: Scores) -> Iterator[str]:
    yield from _of_columns(found)
    lost = [line for line in found.harness if line.verdict == "worse than base"]
    if lost:
        names = ", ".join(f"{line.task} ({line.metric})" for line in lost)
        yield FORGOTTEN.format(names)


def _of_columns(found: Scores) -> Iterator[str]:
    lead = found.lead
    if lead is None:
        if found.columns:
            yield "Nothing was found by which base and tuned model could be compared."
        return
    base, n = found.get(lead.metric, BASE), counted(lead.n, "row")
    value = value_in_words(lead.traits, lead.found.value)
    low, high = lead.found.low, lead.found.high
    if base is not None:
        before = value_in_words(base.traits, base.found.value)
        yield (
            f"{_capital(lead.traits.title)} is {before} with the base and {value} tuned "
            f"({range_in_words(lead.traits, low, high)}) on {n}: {_judged(lead)}."
        )
    if lead.verdict == "no better than base" and lead.metric != "loss":
        yield from _only_the_form(found)
    yield from _others(found, lead)


def _judged(lead: Score) -> str:
    assert lead.apart is not None
    rough = "; so few rows say little" if lead.n < FEW else ""
    if not lead.apart.value and not lead.apart.low and not lead.apart.high:
        return f"{lead.verdict}{rough}"
    return f"{lead.verdict}, {apart_in_words(lead)}{rough}"


def _only_the_form(found: Scores) -> Iterator[str]:
    before, after = found.get("loss", BASE), found.get("loss")
    if before and after and after.verdict == "better than base":
        yield LEARNT_THE_FORM.format(short(before.found.value), short(after.found.value))


def _others(found: Scores, lead: Score) -> Iterator[str]:
    """How the tuned model stands to the base with examples, and to the checkpoints."""
    for name, column in found.columns.items():
        other, apart = found.get(lead.metric, name), found.against(lead.metric, name, TUNED)
        if name in (BASE, TUNED) or other is None or apart is None:
            continue
        value = value_in_words(lead.traits, other.found.value)
        is_better = apart.is_sure and (apart.value < 0) is lead.traits.lower_is_better
        if column.shots:
            so = "that is as good as tuning, as far as these rows tell"
            if apart.is_sure:
                so = "better than tuning" if is_better else "that does not do what tuning does"
            examples = name.removeprefix("base with ")
            yield f"With {examples} in the prompt the base reaches {value}: {so}."
        elif is_better:
            far = _apart(lead.traits, apart.value, apart.low, apart.high)
            yield f"The checkpoint of {name} is better than the final one: {value}, {far}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- tables ----------------------------------------------------------------------------------


def cells(found: Scores) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of text: a row for each metric, a column for each model."""
    names = list(found.columns)
    rows = [
        [traits.title, *(_cell(found.get(traits.name, name)) for name in names)]
        for traits in found.sheet.traits.values()
        if any(found.get(traits.name, name) for name in names)
    ]
    return ["metric", *names], rows


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
    return "\n".join([headline(found), *lines, *harness, *found.said])


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
    names = list(found.columns)
    rows = [
        [escaped(traits.title), *(_html_cell(found.get(traits.name, name)) for name in names)]
        for traits in found.sheet.traits.values()
        if any(found.get(traits.name, name) for name in names)
    ]
    return table(("metric", *names), rows)


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
