"""The Data panel: the files, what is wrong with them, and what can be done about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.fixes import known_fixes
from ftlab.data.report import DataReport
from ftlab.html import escaped, progress_bar
from ftlab.issues import SHAPES, Issue
from ftlab.ui.convert_box import ConvertBox, needs_conversion
from ftlab.ui.fields import FieldRow, fix_label
from ftlab.ui.figures import figures_html
from ftlab.ui.guard import guarded
from ftlab.ui.repair_box import RepairBox
from ftlab.ui.row_html import has_lines
from ftlab.ui.row_viewer import RowViewer
from ftlab.ui.shown import set_html, show
from ftlab.ui.split_box import SplitBox
from ftlab.ui.state import CANCELLED, SCANNED, State
from ftlab.ui.upload import Upload

FIELDS = ("validation_split", "model")
LINES_SHOWN = 6
ISSUES_SHOWN = 30
SURE_AFTER = 1.5  # seconds of a scan after which its speed says when it will end


class DataPanel(widgets.VBox):
    """Fields, figures, histogram, issues with their cures, and a viewer of single rows."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.uploads = {name: self._upload(name) for name in SCANNED}
        self.rows = {name: FieldRow(state, name) for name in (*SCANNED, *FIELDS)}
        files = [widgets.VBox([self.rows[n], self.uploads[n]]) for n in SCANNED]
        others = [self.rows[name] for name in FIELDS]
        fields = widgets.VBox([f.add_class("ft-file") for f in files] + others)
        self.empty = widgets.HTML(
            "No data yet. Name a file above (JSONL, JSON, CSV or Parquet), upload one, or start "
            "with the demo."
        )
        self.use_demo = widgets.Button(description="Use the demo data")
        self._make_progress()
        self.figures = widgets.HTML()
        self.issues = widgets.VBox()
        self.viewer = RowViewer(state)
        self.repair_box = RepairBox(state, self.viewer)
        self.convert_box = ConvertBox(state)
        self.split_box = SplitBox(state)
        self.found = widgets.HBox(
            [
                widgets.VBox([self.figures]).add_class("ft-side"),
                widgets.VBox([self.issues]).add_class("ft-wide"),
            ]
        ).add_class("ft-row")
        boxes = [self.convert_box, self.repair_box, self.split_box]
        parts = [fields.add_class("ft-fields"), self.empty, self.use_demo, self.working]
        super().__init__([*parts, self.failed, self.found, *boxes, self.viewer])
        self.add_class("ft-panel")
        self._listed: tuple[Any, ...] | None = None
        self._drawn: tuple[DataReport, int | None] | None = None
        self._listen()
        self.refresh()

    def _upload(self, name: str) -> Upload:
        what = "Upload" if name == "training_file" else "Upload validation rows"
        return Upload(lambda path: self.state.set(name, path.name), self.state.tell, what)

    def _make_progress(self) -> None:
        self.progress = widgets.HTML().add_class("ft-wide")
        self.cancel = widgets.Button(description="Cancel", tooltip="End the scan")
        self.working = widgets.HBox([self.progress, self.cancel]).add_class("ft-working")
        self.failure = widgets.HTML().add_class("ft-wide")
        self.again = widgets.Button(description="Scan again")
        self.failed = widgets.HBox([self.failure, self.again]).add_class("ft-working")

    def _listen(self) -> None:
        tell = self.state.tell
        self.use_demo.on_click(guarded(tell, self._demo))
        self.cancel.on_click(guarded(tell, lambda _: self.state.cancel_scan()))
        self.again.on_click(guarded(tell, lambda _: self._scan_again()))
        watched = ["reports", "scanning", "scan_progress", "scan_failure", "preview", "checked"]
        self.state.observe(guarded(tell, lambda _: self.refresh()), watched)

    def _demo(self, _: Any) -> None:
        from ftlab import demo

        self.state.update(demo.JOB)

    def _scan_again(self) -> None:
        with self.state.lock:
            self.state.scan()

    def refresh(self) -> None:
        """Show the report, or what to do while there is none."""
        state = self.state
        has_file = bool(state.values.get("training_file"))
        report = state.report_of("training_file")
        show(self.empty, visible=not has_file)
        show(self.use_demo, visible=not has_file)
        show(self.working, visible=state.scanning)
        show(self.failed, visible=bool(state.scan_failure) and not state.scanning)
        show(self.found, visible=report is not None)
        show(self.viewer, visible=any(map(self._lines_of, SCANNED)))
        set_html(self.progress, progress_html(state))
        level = "warning" if state.scan_failure == CANCELLED else "error"
        wrong = f'<b class="ft-{level}">{SHAPES[level]}</b> {escaped(state.scan_failure)}'
        set_html(self.failure, f'<span role="alert">{wrong}</span>')
        if report is not None:
            self._show_figures(report)
            self._list_issues()

    def _show_figures(self, report: DataReport) -> None:
        """Drawn anew only where they change: this is called with every key that is pressed."""
        drawn = report, self.state.resolved.spec.max_seq_length
        if self._drawn is None or self._drawn[0] is not report or self._drawn[1] != drawn[1]:
            self._drawn = drawn
            set_html(self.figures, figures_html(*drawn))

    # --- issues ------------------------------------------------------------------------------

    def _list_issues(self) -> None:
        """One row per issue; made anew only for other reports, since buttons may have focus."""
        reports = {name: self.state.report_of(name) for name in SCANNED}
        listed = tuple(reports.values())
        if self._listed is not None and all(
            a is b for a, b in zip(listed, self._listed, strict=True)
        ):
            return
        self._listed = listed
        found = [(n, i) for n, report in reports.items() if report for i in report.issues]
        rows: list[widgets.Widget] = [self._issue_row(*one) for one in found[:ISSUES_SHOWN]]
        if len(found) > ISSUES_SHOWN:
            more = f"{len(found) - ISSUES_SHOWN:,} more kinds; these come first."
            rows.append(widgets.HTML(f'<span class="ft-dim">{more}</span>'))
        self.issues.children = rows or [widgets.HTML("Nothing is wrong with the data.")]

    def _issue_row(self, file: str, issue: Issue) -> widgets.Widget:
        text = widgets.HTML(issue_html(issue)).add_class("ft-wide")
        row = widgets.HBox([text]).add_class("ft-issue")
        buttons = [self._show_button(file, issue), self._fix_button(file, issue)]
        row.children = (text, *(button for button in buttons if button is not None))
        return row

    def _lines_of(self, file: str) -> bool:
        """Whether single rows of a file can be shown."""
        report = self.state.report_of(file)
        return report is not None and has_lines(report)

    def _show_button(self, file: str, issue: Issue) -> widgets.Button | None:
        line = next((number for number in issue.lines if number > 0), None)
        if line is None or not self._lines_of(file):
            return None
        show_row = self.viewer.show_issue
        return self._button("show", f"Show line {line:,}", lambda: show_row(issue.code, line, file))

    def _fix_button(self, file: str, issue: Issue) -> widgets.Button | None:
        fix = issue.fix
        if isinstance(fix, dict):
            return self._button(fix_label(issue), "", lambda: self.state.apply(issue))
        if file != "training_file":
            return None
        does = known_fixes().get(fix or "")
        converts = needs_conversion(self.state.report_of(file))
        if converts and (does or issue.code == "unknown_format"):
            tooltip = "Show what the rows become"
            return self._button("convert", tooltip, self.convert_box.anchor.show)
        return self._button("fix", does, lambda: self.repair_box.choose(str(fix))) if does else None

    def _button(self, text: str, tooltip: str, function: Callable[[], Any]) -> widgets.Button:
        button = widgets.Button(description=text, tooltip=tooltip)
        button.on_click(guarded(self.state.tell, lambda _: function()))
        return button


def issue_html(issue: Issue) -> str:
    """Its level by shape and colour, what was found, and the first lines."""
    numbers = [line for line in issue.lines if line > 0]
    shown = ", ".join(f"{line:,}" for line in numbers[:LINES_SHOWN])
    more = ", …" if max(issue.count, len(numbers)) > LINES_SHOWN else ""
    word = "line" if len(numbers) == 1 and not more else "lines"
    lines = f' <span class="ft-dim">{word} {shown}{more}</span>' if shown else ""
    shape = f'<b class="ft-{issue.level}" title="{issue.level}">{SHAPES[issue.level]}</b>'
    return f"{shape} {escaped(issue.message)}{lines}"


def progress_html(state: State) -> str:
    """How far a scan is, how long it still takes, and the first figures of a large file."""
    if not state.scanning:
        return ""
    name = escaped(Path(str(state.values.get("training_file") or "")).name)
    share = state.scan_progress or 0.0
    left = _left(state.scan_first, share)
    percent = f" · {share:.0%}" if state.scan_progress is not None else ""
    first = f'<span class="ft-dim">{escaped(state.preview)}</span>' if state.preview else ""
    return f"Scanning {name}{percent}{left}{progress_bar(share)}{first}"


def _left(first: tuple[float, float] | None, share: float) -> str:
    """How long a scan still takes at the speed that it has had."""
    if first is None:
        return ""
    passed, done = time.monotonic() - first[0], share - first[1]
    if passed < SURE_AFTER or done <= 0:
        return ""
    return f" · {_duration((1 - share) * passed / done)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
