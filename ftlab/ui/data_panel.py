"""The Data panel: the files, what is wrong with them, and which tokens really train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.chat import IGNORED, Tokens, tokenise
from ftlab.data.formats import row_problems
from ftlab.data.report import DataReport
from ftlab.data.rows import BadLine, Rows
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.html import escaped, histogram, progress_bar
from ftlab.issues import SHAPES, Issue
from ftlab.models import fetch
from ftlab.ui.fields import FieldRow, fix_label
from ftlab.ui.guard import guarded
from ftlab.ui.state import State

FIELDS = ("training_file", "validation_file", "validation_split", "model")
LINES_SHOWN = 6


class DataPanel(widgets.VBox):
    """Fields, figures, histogram, issues and a viewer of single rows."""

    def __init__(self, state: State) -> None:
        self.state = state
        fields = widgets.VBox([FieldRow(state, name) for name in FIELDS])
        self.empty = widgets.HTML("No data yet. Name a JSONL file above, or start with the demo.")
        self.use_demo = widgets.Button(description="Use the demo data")
        self.progress = widgets.HTML()
        self.figures = widgets.HTML()
        self.issues = widgets.VBox()
        self.viewer = RowViewer(state)
        left = widgets.VBox([self.figures]).add_class("ft-side")
        right = widgets.VBox([self.issues]).add_class("ft-wide")
        self.found = widgets.HBox([left, right]).add_class("ft-row")
        parts = [fields.add_class("ft-fields"), self.empty, self.use_demo, self.progress]
        super().__init__([*parts, self.found, self.viewer])
        self.add_class("ft-panel")
        self.use_demo.on_click(guarded(state.tell, self._demo))
        watched = ["reports", "scanning", "scan_progress", "values"]
        state.observe(guarded(state.tell, lambda _: self.refresh()), watched)
        self.refresh()

    def _demo(self, _: Any) -> None:
        from ftlab import demo

        self.state.update(demo.JOB)

    def refresh(self) -> None:
        """Show the report, or what to do while there is none."""
        report = self.state.report
        has_file = bool(self.state.values.get("training_file"))
        _show(self.empty, visible=not has_file)
        _show(self.use_demo, visible=not has_file)
        _show(self.found, visible=report is not None)
        _show(self.viewer, visible=report is not None and report.n_rows > 0)
        self.progress.value = self._progress()
        if report is not None:
            self.figures.value = figures_html(report)
            issues = [i for r in self.state.reports.values() for i in r.issues]
            self.issues.children = [self._issue_row(issue) for issue in issues] or [
                widgets.HTML("Nothing is wrong with the data.")
            ]

    def _progress(self) -> str:
        if not self.state.scanning:
            return ""
        share = self.state.scan_progress or 0
        return f"Scanning {progress_bar(share)}"

    def _issue_row(self, issue: Issue) -> widgets.Widget:
        shown = ", ".join(f"{line:,}" for line in issue.lines[:LINES_SHOWN])
        more = ", …" if issue.count > LINES_SHOWN else ""
        lines = f' <span class="ft-dim">lines {shown}{more}</span>' if shown else ""
        text = widgets.HTML(
            f'<b class="ft-{issue.level}">{SHAPES[issue.level]}</b> {escaped(issue.message)}{lines}'
        )
        row = widgets.HBox([text.add_class("ft-wide")]).add_class("ft-issue")
        if issue.lines:
            show = widgets.Button(description="show", tooltip=f"Show line {issue.lines[0]}")
            show.on_click(guarded(self.state.tell, lambda _: self.viewer.go(issue.lines[0])))
            row.children = (*row.children, show)
        if isinstance(issue.fix, dict):
            fix = widgets.Button(description=fix_label(issue))
            fix.on_click(guarded(self.state.tell, lambda _: self.state.apply(issue)))
            row.children = (*row.children, fix)
        return row


class RowViewer(widgets.VBox):
    """One row of the training file as the model sees it, with what trains in green."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.line = widgets.Text(description="line", value="1", continuous_update=False)
        self.back = widgets.Button(description="◀", tooltip="Previous row")
        self.on = widgets.Button(description="▶", tooltip="Next row")
        self.view = widgets.HTML()
        self._rows: Rows | None = None
        self._sha256 = ""
        bar = widgets.HBox([self.back, self.line, self.on]).add_class("ft-row")
        super().__init__([bar, self.view])
        self.back.on_click(guarded(state.tell, lambda _: self._step(-1)))
        self.on.on_click(guarded(state.tell, lambda _: self._step(1)))
        self.line.observe(guarded(state.tell, lambda _: self.refresh()), "value")
        watched = ["reports", "resolved"]
        state.observe(guarded(state.tell, lambda _: self.refresh()), watched)

    def go(self, line: int) -> None:
        """Show the row on that line."""
        self.line.value = str(line)

    def _step(self, by: int) -> None:
        rows = self._rows
        if rows is not None and len(rows):
            place = min(max(self._place(rows) + by, 0), len(rows) - 1)
            self.go(rows.line_number(place))

    def _place(self, rows: Rows) -> int:
        """The row on the chosen line, or the next one after it."""
        wanted = int(self.line.value) if self.line.value.strip().isdigit() else 1
        later = (i for i in range(len(rows)) if rows.line_number(i) >= wanted)
        return next(later, len(rows) - 1)

    def refresh(self) -> None:
        """Render the chosen row with the model's own template."""
        report = self.state.report
        if report is None or not report.n_rows:
            self._rows, self._sha256 = None, ""
            return
        if self._rows is None or self._sha256 != report.sha256:
            self._rows, self._sha256 = Rows(Path(report.path)), report.sha256
        self.view.value = self._rendered(self._rows, report)

    def _rendered(self, rows: Rows, report: DataReport) -> str:
        place = self._place(rows)
        spec = self.state.resolved.spec
        title = f'<span class="ft-dim">line {rows.line_number(place):,}</span> '
        if report.model is None:
            return title + _unreadable([], rows.line(place))
        tokenizer = load_tokenizer(fetch(report.model, weights=False))
        try:
            wrong = [p.message for p in row_problems(rows[place]) if "local" in p.blocks]
            if wrong:
                return title + _unreadable(wrong, rows.line(place))
            sequences = tokenise(rows[place], tokenizer, spec.train_on_inputs or "auto")
        except (BadLine, CannotRender) as exc:
            return title + _unreadable([str(exc)], rows.line(place))
        names = ("preferred", "other") if len(sequences) > 1 else ("",)
        return "".join(
            f"{title}{name} {tokens_html(tokens, tokenizer, spec.max_seq_length)}"
            for name, tokens in zip(names, sequences, strict=True)
        )


def _unreadable(reasons: list[str], line: bytes) -> str:
    """Why a row can't be rendered, and the row as it stands in the file."""
    said = "".join(
        f'<div class="ft-error">{SHAPES["error"]} {escaped(reason)}</div>' for reason in reasons
    )
    return f'{said}<div class="ft-tokens">{escaped(line.decode("utf-8", "replace"))}</div>'


def tokens_html(tokens: Tokens, tokenizer: Tokenizer, max_seq_length: int | None) -> str:
    """Every token of a sequence: trained ones marked, those beyond the length struck through."""
    length = max_seq_length or len(tokens.ids)
    kept = tokens.cut(max_seq_length)
    counts = (
        f'<span class="ft-dim">{len(tokens.ids):,} tokens, {kept.n_trained:,} trained, '
        f"{max(len(tokens.ids) - length, 0):,} cut</span>"
    )
    special = frozenset(tokenizer.special_tokens)
    spans = []
    for place, (token, label) in enumerate(zip(tokens.ids, tokens.labels, strict=True)):
        text = tokenizer.decode([token])
        kinds = [
            name
            for name, holds in {
                "on": label != IGNORED and place < length,
                "cut": place >= length,
                "sp": text in special,
            }.items()
            if holds
        ]
        shown = escaped(text).replace("\n", "⏎\n")
        spans.append(f'<span class="{" ".join(kinds)}" title="id {token}">{shown}</span>')
    return f'{counts}<div class="ft-tokens">{"".join(spans)}</div>'


def figures_html(report: DataReport) -> str:
    """Rows, format, tokens by role and the histogram of lengths."""
    lines = [f"<b>{escaped(Path(report.path).name)}</b>", f"{report.n_rows:,} rows"]
    lines.append(escaped(report.format or "unknown format"))
    text = " · ".join(lines)
    tokens = report.tokens
    if tokens is None:
        return text
    share = report.loss_tokens / max(tokens.total, 1)
    roles = ", ".join(
        f"{escaped(role)} {n / max(tokens.total, 1):.0%}" for role, n in tokens.by_role.items()
    )
    at = ", ".join(f"{name} {n:,}" for name, n in tokens.quantiles().items())
    return (
        f"{text}<br>{tokens.total:,} tokens, {report.loss_tokens:,} trained ({share:.0%})"
        f"<br>{roles}<br>tokens per row: {at}"
        f"{histogram(tokens.histogram(), report.max_seq_length, width=310)}"
    )


def _show(widget: widgets.DOMWidget, *, visible: bool) -> None:
    wanted = None if visible else "none"
    if widget.layout.display != wanted:
        widget.layout.display = wanted
