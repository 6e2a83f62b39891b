"""The rows with the highest losses: those that are hard, or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets

from ftlab.data.report import DataReport
from ftlab.data.row_texts import texts
from ftlab.data.rows import BadLine, Rows
from ftlab.errors import UnreadableData
from ftlab.events import RowLosses
from ftlab.html import escaped, short
from ftlab.row_losses import highest
from ftlab.run import Run
from ftlab.ui.fold import Fold
from ftlab.ui.guard import guarded
from ftlab.ui.run_rows import field_of, report_for
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

SHOWN = 8
RECENT_STEPS = 20
TEXT_SHOWN = 160  # characters of a row
ABOUT = (
    "A high loss has two usual reasons: the row says what nothing else says, or it is wrong. Look "
    "at the first few before the next run."
)
NONE_YET = "No step of this run has told of its rows yet."
ELSEWHERE = "What the rows say shows here while their file is in the Data tab as the run took it."


class Hardest(NamedTuple):
    """The rows with the highest losses of one kind, and of when they are."""

    file: str
    """"training" or "validation"."""
    when: str
    rows: list[tuple[int, float]]
    """(line, loss)."""


class HardRowsBox(Fold):
    """Reads the losses of the selected run's rows, but only while it is open."""

    state: State

    def __init__(self, state: State) -> None:
        self.note, self.rows = widgets.HTML(), widgets.VBox()
        self._drawn: Any = None
        self._known: dict[str, tuple[DataReport, Rows]] = {}
        tooltip = "The rows with the highest losses at the newest evaluation and the last steps"
        super().__init__(state, "Rows it finds hardest", tooltip, [self.note, self.rows])
        state.observe(guarded(state.tell, lambda _: self._beat()), ["beat", "reports"])
        self._beat()

    def _beat(self) -> None:
        show(self, visible=self.state.run is not None)
        if self.is_open:
            self.refresh()

    def refresh(self) -> None:
        """Show what the selected run has told; drawn anew only where that has changed."""
        run = self.state.run
        if run is None:
            return
        n_bytes = run.row_file.stat().st_size if run.row_file.exists() else 0
        files = {name: self._rows_of(run, name) for name in ("training", "validation")}
        drawn = (run.id, n_bytes, *(rows and rows.path for rows in files.values()))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        found = list(hardest(run))
        missing = any(files[one.file] is None for one in found)
        note = f"{ABOUT} {ELSEWHERE if missing else ''}" if found else NONE_YET
        set_html(self.note, f'<div class="ft-dim">{escaped(note.strip())}</div>')
        self.rows.children = [part for one in found for part in self._parts(one, files[one.file])]

    def _parts(self, found: Hardest, rows: Rows | None) -> Iterator[widgets.Widget]:
        run = self.state.run
        field = "training_file" if run is None else field_of(run, found.file)
        yield widgets.HTML(escaped(found.when)).add_class("ft-group")
        for line, loss in found.rows:
            button = widgets.Button(description=f"line {line:,}", disabled=rows is None)
            button.tooltip = "Show the row in the Data tab"
            button.on_click(guarded(self.state.tell, _shows(self.state, field, line)))
            text = "" if rows is None else escaped(beginning(rows, line))
            view = widgets.HTML(f'<b>{short(loss)}</b><span title="{text}">{text}</span>')
            yield widgets.HBox([button, view]).add_class("ft-hard-row")

    def _rows_of(self, run: Run, file: str) -> Rows | None:
        """The rows as they were, where their file is in the form and has not changed since."""
        report = report_for(self.state, run, file)
        if report is None:
            return None
        if file not in self._known or self._known[file][0] is not report:
            self._known[file] = report, Rows(Path(report.path))
        return self._known[file][1]


def hardest(run: Run) -> Iterator[Hardest]:
    """Of the newest evaluation, and of the last steps; what was not told is left out."""
    spec, steps = run.job.spec, list[RowLosses]()
    measures = bool(spec.validation_file or spec.validation_split)
    for one in run.told_of_rows():
        if one.file == "training" and len(steps) < RECENT_STEPS:
            steps.append(one)
        if one.file == "validation" and measures:
            yield Hardest(one.file, f"Validation at step {one.step:,}", highest([one], SHOWN))
            measures = False
        if len(steps) == RECENT_STEPS and not measures:
            break
    if steps:
        when = f"Training, steps {steps[-1].step:,} to {steps[0].step:,}"
        yield Hardest("training", when, highest(steps, SHOWN))


def beginning(rows: Rows, line: int) -> str:
    """What the row on a line begins with, as text."""
    try:
        row = rows[rows.place_of(line)]
        text = " · ".join(" ".join(text.split()) for *_, text in texts(row))
    except BadLine:
        return ""
    except UnreadableData as exc:  # the file is being written
        return str(exc)
    return text if len(text) <= TEXT_SHOWN else f"{text[: TEXT_SHOWN - 1]}…"


def _shows(state: State, field: str, line: int) -> Any:
    return lambda _: state.show_row(field, line)
