"""The rows that gained and lost most, each with a button that opens it in the Data tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ipywidgets as widgets

from ftlab.html import counted, escaped
from ftlab.scores import Scores
from ftlab.scores.found import Change
from ftlab.scores.tables import change_in_words, summary_html, texts_of
from ftlab.ui.guard import guarded
from ftlab.ui.row_html import has_lines
from ftlab.ui.state import SCANNED, State

SHOWN = 5
ELSEWHERE = "Rows open in the Data tab while their file is there as it was scored."


class Known(NamedTuple):
    """Scores that are kept, and what is shown of them."""

    scores: Scores
    html: str
    gained: list[Change]
    lost: list[Change]

    @classmethod
    def of(cls, scores: Scores) -> Known:
        return cls(scores, summary_html(scores), scores.gained(SHOWN), scores.lost(SHOWN))

    @property
    def title(self) -> str:
        sheet = self.scores.sheet
        return f"{Path(sheet.file).name}, {counted(len(sheet.rows), 'row')}"


class ScoredRows(widgets.VBox):
    """Nothing until scores are shown; its buttons work while the form has the file of the rows."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._known: Known | None = None
        super().__init__()
        state.observe(guarded(state.tell, lambda _: self.show(self._known)), "reports")

    def show(self, known: Known | None) -> None:
        self._known = known
        self.children = () if known is None else (*self._lines(known),)

    def _lines(self, known: Known) -> Iterator[widgets.Widget]:
        field = self._field_of(known)
        for title, changes in (("Gained most", known.gained), ("Lost most", known.lost)):
            if changes:
                yield widgets.HTML(title).add_class("ft-group")
            yield from (self._line(field, change) for change in changes)
        if field is None and (known.gained or known.lost):
            yield widgets.HTML(ELSEWHERE).add_class("ft-dim")

    def _line(self, field: str | None, change: Change) -> widgets.Widget:
        line = change.row.line
        button = widgets.Button(description=f"line {line:,}", disabled=field is None)
        button.tooltip = "Show the row in the Data tab"
        if field is not None:
            open_row = lambda _: self.state.show_row(field, line)  # noqa: E731
            button.on_click(guarded(self.state.tell, open_row))
        return widgets.HBox([button, widgets.HTML(change_html(change))]).add_class("ft-changed")

    def _field_of(self, known: Known) -> str | None:
        """The field of the form whose file was scored, where it is as it was then."""
        for field in SCANNED:
            report = self.state.report_of(field)
            if report is None or report.sha256 != known.scores.sheet.sha256:
                continue
            if has_lines(report):
                return field
        return None


def change_html(change: Change) -> str:
    """What a row asks, what it answers, and what the models say."""
    prompt, *answers = map(escaped, texts_of(change))
    names = ("reference", "base", "tuned")
    told = "".join(
        f"<span>{name}</span><div>{text}</div>"
        for name, text in zip(names, answers, strict=True)
        if text
    )
    head = f"<div><b>{escaped(change_in_words(change))}</b> {prompt}</div>"
    return f'{head}<div class="ft-said-by">{told}</div>'
