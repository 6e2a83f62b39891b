"""What the newest scores of the exported weights say, as the card and the hub have it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ftlab.exports.asked import Asked
from ftlab.html import counted
from ftlab.scores.columns import identity_of
from ftlab.scores.figures import Score
from ftlab.scores.found import Scores
from ftlab.scores.scoring import kept_scores
from ftlab.scores.sheet import BASE, TUNED
from ftlab.scores.tables import harness_cells
from ftlab.scores.words import apart_in_words, figure_in_words

NONE = "These weights were not scored."
BASIS = "The figures are of the model as it was trained, with their 95 % intervals over the rows."


class Scored(NamedTuple):
    """Scores, and the column in them that stands for the exported weights."""

    scores: Scores
    column: str

    @property
    def pairs(self) -> list[tuple[Score | None, Score]]:
        """Each metric of base and tuned model."""
        found = (score for score in self.scores.table if score.column == self.column)
        return [(self.scores.get(score.metric, BASE), score) for score in found]

    @property
    def file(self) -> str:
        return Path(self.scores.sheet.file).name


def scored(asked: Asked) -> Scored | None:
    """The newest of the very weights that are exported; None where nobody scored these."""
    identity = identity_of(asked.tuned)
    for scores in kept_scores(asked.run):
        for name, column in scores.columns.items():
            if column.identity == identity and (one := Scored(scores, name)).pairs:
                return one
    return None


def scores_section(found: Scored | None) -> Iterator[str]:
    """Lines of Markdown: which rows, a table of base and tuned, and what is to be known with it."""
    if found is None:
        yield NONE
        return
    sheet = found.scores.sheet
    yield f"`{found.file}`, {counted(len(sheet.rows), 'row')}, SHA-256 `{sheet.sha256}`. {BASIS}"
    yield ""
    yield from _table(["metric", BASE, TUNED, ""], [_cells(*pair) for pair in found.pairs])
    for note in sheet.notes:
        yield from ("", note)
    if found.column == TUNED and found.scores.harness:
        yield ""
        yield from _table(*harness_cells(found.scores.harness))


def _cells(base: Score | None, tuned: Score) -> list[str]:
    before = "" if base is None else figure_in_words(base)
    said = ", ".join(filter(None, (tuned.verdict, apart_in_words(tuned))))
    return [tuned.traits.title, before, figure_in_words(tuned), said]


def _table(titles: list[str], rows: list[list[str]]) -> Iterator[str]:
    for row in (titles, ["---"] * len(titles), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def model_index(found: Scored | None, name: str) -> Iterator[str]:
    """The same for the hub, as lines of YAML; nothing where there is no figure."""
    pairs = [] if found is None else found.pairs
    tuned = [score for _, score in pairs if math.isfinite(score.found.value)]
    if found is None or not tuned:
        return
    yield f"model-index:\n- name: {json.dumps(name)}\n  results:"
    yield "  - task: {type: text-generation}"
    yield f"    dataset: {{type: json, name: {json.dumps(found.file)}}}"
    yield "    metrics:"
    for score in tuned:
        told = {"type": score.metric, "name": score.traits.title, "value": score.found.value}
        yield f"    - {json.dumps(told)}"
