"""Single rows of the data files as the model sees them: which tokens train, which are cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.fixes import as_json
from ftlab.data.report import DataReport
from ftlab.data.rows import Rows
from ftlab.html import short
from ftlab.ui.anchor import Anchor
from ftlab.ui.guard import guarded
from ftlab.ui.row_editor import RowEditor
from ftlab.ui.row_html import has_lines, line_number, losses_html, off_html, row_html
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import SCANNED, State

ALL = "all rows"
ORDERS = ("file order", "longest first", "shortest first")


class RowViewer(widgets.VBox):
    """One row: page through, jump to a line, filter by issue, sort by length, edit in place."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._make_bar()
        self.editor = RowEditor(state.tell, self._kept)
        self._wanted = SCANNED[0]
        self._rows: Rows | None = None
        self._report: DataReport | None = None
        self._last = 0  # the place of the row that is shown
        self._places: list[int] = []
        self._is_loading = False
        self._shaped_by: tuple[Any, ...] = ()
        self._some: tuple[str, dict[int, float], str] = ("", {}, "")
        """The field of a file, line → loss of some of its rows, and what they are."""
        self.anchor = Anchor()
        super().__init__([self.anchor, self.counts, self.bar, self.off, self.view, self.editor])
        self._listen()

    def _make_bar(self) -> None:
        self.file = widgets.Dropdown(description="file")
        self.line = widgets.Text(description="line", value="1", continuous_update=False)
        self.back = widgets.Button(description="◀", tooltip="Previous row")
        self.on = widgets.Button(description="▶", tooltip="Next row")
        self.only = widgets.Dropdown(description="show", options=[ALL])
        self.order = widgets.Dropdown(description="sort", options=ORDERS)
        self.edit = widgets.Button(description="Edit", tooltip="Edit this row")
        parts = [self.file, self.back, self.line, self.on, self.only, self.order, self.edit]
        self.bar = widgets.HBox(parts).add_class("ft-row").add_class("ft-rowbar")
        self.counts, self.off, self.view = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def _listen(self) -> None:
        tell = self.state.tell
        self.back.on_click(guarded(tell, lambda _: self._step(-1)))
        self.on.on_click(guarded(tell, lambda _: self._step(1)))
        self.edit.on_click(guarded(tell, lambda _: self._open_editor()))
        self.line.observe(guarded(tell, lambda _: self.refresh()), "value")
        self.file.observe(guarded(tell, lambda _: self._choose_file()), "value")
        for choice in (self.only, self.order):
            choice.observe(guarded(tell, lambda _: self._choose()), "value")
        self.state.observe(guarded(tell, lambda _: self.refresh()), "reports")
        self.state.observe(guarded(tell, lambda _: self._follow()), "resolved")
        self.state.observe(guarded(tell, lambda _: self._show_wanted()), "row")
        self.state.observe(guarded(tell, lambda _: self._show_some()), "rows")

    def _follow(self) -> None:
        """Render anew where the row would look different; a long row takes its time."""
        spec = self.state.resolved.spec
        shaped_by = spec.max_seq_length, spec.train_on_inputs
        if shaped_by != self._shaped_by:
            self._shaped_by = shaped_by
            self.refresh()

    @property
    def edits(self) -> dict[int, Any]:
        """Line → the row that shall stand there in the training file; the repair writes them."""
        report = self.state.report_of("training_file")
        return self.editor.edits_of(report.sha256) if report and has_lines(report) else {}

    def go(self, line: int) -> None:
        """Show the row on that line."""
        self.line.value = str(line)

    def show_issue(self, code: str, line: int, file: str = "training_file") -> None:
        """Show the rows that an issue is about, from one of its lines."""
        self.file.value = file
        label = next((o for o in self.only.options if o.startswith(f"{code} ")), ALL)
        self.only.value = label
        self.go(line)

    def _show_wanted(self) -> None:
        if self.state.row:
            field, line = self.state.row
            self.file.value, self.only.value = field, ALL
            self.go(line)
            self.anchor.show()

    def _show_some(self) -> None:
        """Let some rows be paged through, from the first of them."""
        if not self.state.rows:
            return
        field, rows, title = self.state.rows
        self._some = field, dict(rows), title
        self.file.value = field
        if self._report is not None:
            with self._loading():
                self._offer_issues(self._report)
        if self.only.value == title:
            self._choose()
        self.only.value = title
        self.anchor.show()

    # --- which rows --------------------------------------------------------------------------

    def _choose_file(self) -> None:
        if not self._is_loading:
            self._wanted = str(self.file.value)
            self.refresh()

    def _choose(self) -> None:
        """Arrange the rows anew and show the first of them."""
        if self._is_loading:
            return
        self._arrange()
        if self._rows is not None and self._places:
            self.go(self._rows.line_number(self._places[0]))
        self.refresh()

    def _arrange(self) -> None:
        rows, report = self._rows, self._report
        if rows is None or report is None:
            self._places = []
            return
        places = list(range(len(rows)))
        if self._shows_some:
            places = [rows.place_of(line) for line in self._some[1]]
        elif self.only.value not in (None, ALL):
            code = self.only.value.split(" ")[0]
            lines = {n for i in report.issues if i.code == code for n in i.lines}
            places = [p for p in places if rows.line_number(p) in lines]
        if self.order.value != ORDERS[0]:
            places.sort(key=rows.size, reverse=self.order.value == ORDERS[1])
        self._places = places

    @property
    def _shows_some(self) -> bool:
        """Whether only the rows that somebody wants are paged through."""
        field, rows, title = self._some
        return bool(rows) and (field, title) == (self.file.value, self.only.value)

    def _step(self, by: int) -> None:
        rows = self._rows
        if rows is not None and self._places:
            place = self._place(rows)
            at = self._places.index(place) if place in self._places else -1
            at = min(max(at + by, 0), len(self._places) - 1)
            self.go(rows.line_number(self._places[at]))

    def _place(self, rows: Rows) -> int:
        """The row on the chosen line, or the next one after it, or the one before what was typed
        and is no line."""
        wanted = line_number(self.line.value)
        return min(self._last, len(rows) - 1) if wanted is None else rows.place_of(wanted)

    # --- one row -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Render the chosen row with the model's own template."""
        if self._is_loading:
            return
        report = self._chosen()
        if report is None:
            self._rows = self._report = None
            self.view.value = ""
            self.editor.leave()
            return
        if report is not self._report:
            self._load(report)
        rows = self._rows
        assert rows is not None
        set_html(self.counts, losses_html(report, self.state.resolved.spec.max_seq_length))
        if not len(rows):
            return
        self._last = place = self._place(rows)
        set_html(self.off, off_html(self.line.value, rows, place))
        set_html(self.view, self._rendered(rows, place, report))

    def _chosen(self) -> DataReport | None:
        """The report of the file that is chosen, among those whose rows can be shown."""
        reports = {name: self.state.report_of(name) for name in SCANNED}
        names = [name for name, report in reports.items() if report and has_lines(report)]
        if [value for _, value in self.file.options] != names:
            with self._loading():
                self.file.options = [(name.removesuffix("_file"), name) for name in names]
                wanted = self._wanted  # it may come later than the other
                self.file.value = wanted if wanted in names else next(iter(names), None)
        show(self.file, visible=len(names) > 1)
        show(self.edit, visible=self.file.value == "training_file")  # the only one that is mended
        return reports.get(str(self.file.value))

    def _load(self, report: DataReport) -> None:
        """Take in another report; what was chosen stays where it still fits."""
        before = self._report
        if before is None or (before.path, before.sha256) != (report.path, report.sha256):
            self._rows = Rows(Path(report.path))
            self.editor.leave()
            if before is not None and before.path == report.path:
                self._some = "", {}, ""  # other rows are on those lines by now
        rows, self._report = self._rows, report
        with self._loading():
            self._offer_issues(report)
            if rows and off_html(self.line.value, rows, self._place(rows)):
                self.go(rows.line_number(0))
        self._arrange()

    def _offer_issues(self, report: DataReport) -> None:
        codes: dict[str, int] = {}
        for issue in report.issues:
            if issue.lines:
                codes[issue.code] = codes.get(issue.code, 0) + issue.count
        before = str(self.only.value)
        labels = {code: f"{code} ({n:,})" for code, n in codes.items()}
        field, rows, title = self._some
        some = {title: title} if rows and field == self.file.value else {}
        self.only.options = [ALL, *labels.values(), *some]
        self.only.value = some.get(before) or labels.get(before.split(" ")[0], ALL)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Let the bar be changed without each change showing a row."""
        self._is_loading = True
        try:
            yield
        finally:
            self._is_loading = False

    def _rendered(self, rows: Rows, place: int, report: DataReport) -> str:
        number = rows.line_number(place)
        spec = self.state.resolved.spec
        changed = " (edited)" if number in self._edits_here else ""
        if self._shows_some and number in self._some[1]:
            changed += f" · loss {short(self._some[1][number])} ·"
        title = f'<span class="ft-dim">line {number:,}{changed}</span> '
        return row_html(title, self._line(rows, place), report.model, spec)

    def _line(self, rows: Rows, place: int) -> bytes:
        number, edits = rows.line_number(place), self._edits_here
        if number in edits:
            return as_json(edits[number])
        return rows.line(place)

    @property
    def _edits_here(self) -> dict[int, Any]:
        return self.edits if self.file.value == "training_file" else {}

    # --- editing -----------------------------------------------------------------------------

    def _open_editor(self) -> None:
        rows, report = self._rows, self._report
        if rows is not None and report is not None:
            place = self._place(rows)
            self.editor.edit(report.sha256, rows.line_number(place), self._line(rows, place))

    def _kept(self) -> None:
        self.state.beat += 1
        self.refresh()
