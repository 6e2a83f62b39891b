"""The box that mends a data file: which repairs, what they would change, and the new file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.fixes import known_fixes
from ftlab.data.outputs import beside
from ftlab.data.repair import Change, Repair, fixable, preview, repair
from ftlab.data.report import DataReport
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.ui.anchor import Anchor
from ftlab.ui.convert_box import free_name, needs_conversion
from ftlab.ui.guard import guarded
from ftlab.ui.row_viewer import RowViewer
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

CHANGES_SHOWN = 10


class RepairBox(widgets.VBox):
    """Shown while something can be mended mechanically, or rows were edited by hand."""

    def __init__(self, state: State, viewer: RowViewer) -> None:
        self.state, self.viewer = state, viewer
        self.choices: dict[str, widgets.Checkbox] = {}
        self.anchor = Anchor()
        self.head = widgets.HTML().add_class("ft-group")
        self.boxes = widgets.VBox().add_class("ft-choices")
        self.look = widgets.Button(description="Show what would change")
        self.write = widgets.Button(button_style="primary")
        self.task = Task(state, self._check_buttons)
        self.form = widgets.VBox(
            [self.head, self.boxes, widgets.HBox([self.look, self.write]).add_class("ft-buttons")]
        )
        super().__init__([self.anchor, self.form, self.task.said])
        self.add_class("ft-box")
        self._report: DataReport | None = None
        self._written = ""
        self.look.on_click(guarded(state.tell, lambda _: self._look()))
        self.write.on_click(guarded(state.tell, lambda _: self._write()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["reports", "values", "beat"])
        self.refresh()

    @property
    def ticked(self) -> tuple[str, ...]:
        """The repairs that are chosen."""
        return tuple(name for name, box in self.choices.items() if box.value)

    def choose(self, name: str) -> None:
        """Tick a repair and bring the box into view."""
        if name in self.choices:
            self.choices[name].value = True
        self.anchor.show()

    def refresh(self) -> None:
        """Show what can be mended in the file that is named now."""
        report = self.state.report_of("training_file")
        if report is not self._report:
            self._offer(report)
        names, edits = tuple(self.choices), self.viewer.edits
        wanted = report is not None and bool(names or edits)
        show(self.form, visible=wanted)
        if report is not None and self._written not in ("", report.path):
            self._written = ""
            set_html(self.task.said, "")
        show(self, visible=wanted or bool(self._written))
        if report is not None and wanted:
            set_html(self.head, head_html(report, names, len(edits)))
            self.write.description = f"Write {_target(report).name}"
        self._check_buttons()

    def _offer(self, report: DataReport | None) -> None:
        """One box per repair; what an engine refuses is ticked beforehand, advice is not."""
        self._report = report
        names = fixable(report) if report is not None and not needs_conversion(report) else ()
        refused = {str(i.fix) for i in (report.issues if report else ()) if i.blocks}
        self.choices = {name: _choice(name, ticked=name in refused) for name in names}
        for box in self.choices.values():
            box.observe(guarded(self.state.tell, lambda _: self._check_buttons()), "value")
        self.boxes.children = list(self.choices.values())

    def _check_buttons(self) -> None:
        off = self.task.is_busy or not (self.ticked or self.viewer.edits)
        for button in (self.look, self.write):
            button.disabled = off
            button.tooltip = "Tick a repair first" if off and not self.task.is_busy else ""

    def _look(self) -> None:
        path, names, edits = self._asked()
        self.task.start(
            "Looking for changes",
            lambda: preview(path, names, edits, CHANGES_SHOWN),
            changes_html,
        )

    def _write(self) -> None:
        path, names, edits = self._asked()
        self.task.start(
            f"Writing a mended copy of {Path(path).name}",
            lambda: repair(path, None, names, edits, self.task.progress),
            self._wrote,
        )

    def _asked(self) -> tuple[str, tuple[str, ...], dict[int, Any]]:
        assert self._report is not None
        return self._report.path, self.ticked, dict(self.viewer.edits)

    def _wrote(self, made: Repair) -> str:
        """Go on with the new file, and say where everything is."""
        if made.path is not None:
            self._written = str(made.path)
            self.state.set("training_file", str(made.path))
        return wrote_html(made)


def head_html(report: DataReport, names: tuple[str, ...], n_edits: int) -> str:
    """How many rows can be mended, and by hand were."""
    found = [i for i in report.issues if i.fix in names]
    numbers = {line for issue in found for line in issue.lines if line > 0}
    every = all(issue.count <= len(issue.lines) for issue in found)
    n_rows = len(numbers) if every else max(len(numbers), *(issue.count for issue in found))
    parts = []
    if names and n_rows:
        at_least = "" if every else "at least "
        parts.append(f"{at_least}{n_rows:,} row{'s' if n_rows > 1 else ''} can be mended")
    elif names:
        parts.append("The file can be mended")
    if n_edits:
        parts.append(f"{n_edits:,} row{'s' if n_edits > 1 else ''} edited by hand")
    text = "; ".join(parts)
    return escaped(text[:1].upper() + text[1:])


def changes_html(changes: tuple[Change, ...]) -> str:
    """The first changes as differences; texts of rows are escaped."""
    if not changes:
        return "Nothing would change."
    shown = "".join(f'<div class="ft-change">{change.html()}</div>' for change in changes)
    more = "The first changes:" if len(changes) == CHANGES_SHOWN else "All changes:"
    return f'<span class="ft-dim">{more}</span><div class="ft-changes">{shown}</div>'


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
    lines += [
        f'<span class="ft-error">{SHAPES["error"]} {escaped(problem.message)}</span>'
        for problem in made.problems
    ]
    return "<br>".join(lines)


def _choice(name: str, *, ticked: bool) -> widgets.Checkbox:
    return widgets.Checkbox(
        description=known_fixes()[name].rstrip("."), value=ticked, indent=False
    ).add_class("ft-choice")


def _target(report: DataReport) -> Path:
    return free_name(beside(Path(report.path), None, "fixed"))
