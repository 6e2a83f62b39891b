"""The box that mends a data file: which repairs, what they would change, and the new file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.fixes import known_fixes
from ftlab.data.outputs import beside
from ftlab.data.repair import Look, Repair, hidden_fixes, look, named_fixes, repair, rows_of
from ftlab.data.report import DataReport
from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.ui.anchor import Anchor
from ftlab.ui.convert_box import free_name, needs_conversion
from ftlab.ui.guard import guarded
from ftlab.ui.row_viewer import RowViewer
from ftlab.ui.shown import problems_html, set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

LOOK_SECONDS = 2.0
"""How long changes are looked for without being asked."""
REST = "in_refused"
"""The choice of the repairs that no issue names, for rows that are refused as they stand."""


class RepairBox(widgets.VBox):
    """Shown while something can be mended mechanically, or rows were edited by hand.

    Everything that can be mended is ticked, as `report.repair()` has it: the old file stays as it
    is, and what would change is shown before a click writes it.
    """

    def __init__(self, state: State, viewer: RowViewer) -> None:
        self.state, self.viewer = state, viewer
        self.choices: dict[str, widgets.Checkbox] = {}
        self.anchor = Anchor()
        self.head = widgets.HTML().add_class("ft-group")
        self.boxes = widgets.VBox().add_class("ft-choices")
        self.write = widgets.Button(button_style="primary")
        self.look = widgets.Button(description="Look through the whole file")
        self.looking = Task(state, self._look)
        self.task = Task(state, self._check_buttons)
        buttons = widgets.HBox([self.write, self.look]).add_class("ft-buttons")
        self.form = widgets.VBox([self.head, self.boxes, self.looking.said, buttons])
        super().__init__([self.anchor, self.form, self.task.said])
        self.add_class("ft-box")
        self._report: DataReport | None = None
        self._looked: Any = None
        self._written = ""
        self.look.on_click(guarded(state.tell, lambda _: self._look_on()))
        self.write.on_click(guarded(state.tell, lambda _: self._write()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["reports", "values", "beat"])
        self.refresh()

    @property
    def ticked(self) -> tuple[str, ...]:
        """The repairs that are chosen for all rows."""
        return tuple(name for name, box in self.choices.items() if box.value and name != REST)

    @property
    def in_refused(self) -> tuple[str, ...]:
        """Those for rows that are refused as they stand."""
        rest = self.choices.get(REST)
        chosen = self._report is not None and rest is not None and rest.value
        return hidden_fixes(self._report) if self._report and chosen else ()

    def choose(self, name: str) -> None:
        """Tick a repair, bring the box into view and mark where the repair stands in it."""
        chosen = self.choices.get(name)
        for box in self.choices.values():
            (box.add_class if box is chosen else box.remove_class)("ft-chosen")
        if chosen is not None:
            chosen.value = True
            chosen.focus()
        self.anchor.show()

    def refresh(self) -> None:
        """Show what can be mended in the file that is named now."""
        report = self.state.report_of("training_file")
        if report is not self._report:
            self._offer(report)
        edits = self.viewer.edits
        wanted = report is not None and bool(self.choices or edits)
        show(self.form, visible=wanted)
        if report is not None and self._written not in ("", report.path):
            self._written = ""
            set_html(self.task.said, "")
        show(self, visible=wanted or bool(self._written))
        if report is not None and wanted:
            set_html(self.head, head_html(report, tuple(self.choices), len(edits)))
            self.write.description = f"Write {_target(report).name}"
        self._changed()

    def _offer(self, report: DataReport | None) -> None:
        """One choice per repair, all ticked."""
        self._report, self._looked = report, None
        wanted = report is not None and not needs_conversion(report)
        named = named_fixes(report) if report is not None and wanted else {}
        self.choices = {name: _choice(name, issues) for name, issues in named.items()}
        if report is not None and wanted and hidden_fixes(report):
            self.choices[REST] = _checkbox("In rows that are refused now, whatever else they need")
        for box in self.choices.values():
            box.observe(guarded(self.state.tell, lambda _: self._changed()), "value")
        self.boxes.children = list(self.choices.values())
        set_html(self.looking.said, "")
        show(self.look, visible=False)

    def _changed(self) -> None:
        self._check_buttons()
        self._look()

    def _check_buttons(self) -> None:
        off = self.task.is_busy or not (self.ticked or self.in_refused or self.viewer.edits)
        self.write.disabled = off
        self.write.tooltip = "Tick a repair first" if off and not self.task.is_busy else ""

    # --- what would change -------------------------------------------------------------------

    def _look(self) -> None:
        """Show what would change, for what is ticked now; also when a look has ended that was
        begun for something else."""
        if self._report is None or self.looking.is_busy:
            return
        asked = self._asked()
        if asked == self._looked:
            return
        self._looked = asked
        show(self.look, visible=False)
        if any(asked[1:]):
            self._start_looking(LOOK_SECONDS)
        else:
            set_html(self.looking.said, "")

    def _look_on(self) -> None:
        self._looked = self._asked()
        self._start_looking(None)

    def _start_looking(self, seconds: float | None) -> None:
        path, names, in_refused, edits = self._looked

        def work() -> Look:
            return look(path, names, edits, in_refused=in_refused, seconds=seconds)

        self.looking.start("Looking for changes", work, self._saw)

    def _saw(self, found: Look) -> str:
        show(self.look, visible=not found.is_whole)
        return look_html(found)

    # --- writing -----------------------------------------------------------------------------

    def _write(self) -> None:
        path, names, in_refused, edits = self._asked()

        def work() -> Repair:
            return repair(path, None, names, edits, self.task.progress, in_refused=in_refused)

        self.task.start(f"Writing a mended copy of {Path(path).name}", work, self._wrote)

    def _asked(self) -> tuple[str, tuple[str, ...], tuple[str, ...], dict[int, Any]]:
        assert self._report is not None
        return self._report.path, self.ticked, self.in_refused, dict(self.viewer.edits)

    def _wrote(self, made: Repair) -> str:
        """Go on with the new file, and say where everything is."""
        if made.path is not None:
            self._written = str(made.path)
            self.state.set("training_file", str(made.path))
        return wrote_html(made)


def head_html(report: DataReport, names: tuple[str, ...], n_edits: int) -> str:
    """How many rows can be mended, and by hand were."""
    n_rows, more = rows_of(i for i in report.issues if i.fix in names)
    parts = []
    if names and n_rows:
        at_least = "at least " if more else ""
        parts.append(f"{at_least}{_rows(n_rows)} can be mended")
    elif names:
        parts.append("The file can be mended")
    if n_edits:
        parts.append(f"{_rows(n_edits)} edited by hand")
    text = "; ".join(parts)
    return escaped(text[:1].upper() + text[1:])


def look_html(found: Look) -> str:
    """Examples of what would change, as differences; texts of rows are escaped."""
    looked = "" if found.is_whole else f" in the first {found.n_lines:,} lines"
    if not found.changes:
        return f'<span class="ft-dim">No single row would change{looked}.</span>'
    shown = "".join(f'<div class="ft-change">{change.html()}</div>' for change in found.changes)
    said = f"What would change{looked}, with examples of every kind:"
    return f'<span class="ft-dim">{said}</span><div class="ft-changes">{shown}</div>'


def wrote_html(made: Repair) -> str:
    """What a repair wrote, and where what it could not mend is."""
    lines = [f"<b>{escaped(made)}</b>"]
    if made.path is not None:
        lines.append(f"Written to <code>{escaped(made.path)}</code>; it is the training file now.")
    if made.set_aside is not None:
        lines.append(
            f"Set aside with their reasons: <code>{escaped(made.set_aside)}</code>. "
            "Mend these rows by hand, or train without them."
        )
    return "<br>".join(lines) + problems_html(made.problems)


def _choice(name: str, issues: list[Issue]) -> widgets.Checkbox:
    n_rows, more = rows_of(issues)
    many = f" · {'at least ' if more else ''}{_rows(n_rows)}" if n_rows else ""
    return _checkbox(known_fixes()[name].rstrip(".") + many)


def _checkbox(text: str) -> widgets.Checkbox:
    return widgets.Checkbox(description=text, value=True, indent=False).add_class("ft-choice")


def _rows(n: int) -> str:
    return f"{n:,} row{'' if n == 1 else 's'}"


def _target(report: DataReport) -> Path:
    return free_name(beside(Path(report.path), None, "fixed"))
