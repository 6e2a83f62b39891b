"""Single rows of the training file as the model sees them: which tokens train, which are cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.chat import IGNORED, Tokens, tokenise
from ftlab.data.formats import row_problems
from ftlab.data.report import DataReport
from ftlab.data.rows import BadLine, Rows, parse_line
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.models import fetch
from ftlab.ui.guard import guarded
from ftlab.ui.state import State

ALL = "all rows"
ORDERS = ("file order", "longest first", "shortest first")
LONGEST_SHOWN = 200_000  # characters of a row; a browser takes no more of it well
TOKENS_SHOWN = 4_000


class RowViewer(widgets.VBox):
    """One row: page through, jump to a line, filter by issue, sort by length, edit in place."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.edits: dict[int, Any] = {}
        """Line → the row that shall stand there; the repair writes them."""
        self._kept: dict[str, dict[int, Any]] = {}
        self.line = widgets.Text(description="line", value="1", continuous_update=False)
        self.back = widgets.Button(description="◀", tooltip="Previous row")
        self.on = widgets.Button(description="▶", tooltip="Next row")
        self.only = widgets.Dropdown(description="show", options=[ALL])
        self.order = widgets.Dropdown(description="sort", options=ORDERS)
        self.edit = widgets.Button(description="Edit", tooltip="Edit this row")
        self.counts, self.view = widgets.HTML(), widgets.HTML()
        self.editing = widgets.HTML()
        self.text = widgets.Textarea(layout={"width": "auto", "height": "180px"})
        self.keep = widgets.Button(description="Keep the change", button_style="primary")
        self.drop = widgets.Button(description="Leave as it was")
        self.said = widgets.HTML()
        buttons = widgets.HBox([self.keep, self.drop])
        self.editor = widgets.VBox([self.editing, self.text, self.said, buttons])
        self.editor.layout.display = "none"
        self._rows: Rows | None = None
        self._sha256 = ""
        self._edited = 0  # the line that stands in the editor
        self._places: list[int] = []
        bar = [self.back, self.line, self.on, self.only, self.order, self.edit]
        bar_box = widgets.HBox(bar).add_class("ft-row").add_class("ft-rowbar")
        super().__init__([self.counts, bar_box, self.view, self.editor])
        self._listen()

    def _listen(self) -> None:
        tell = self.state.tell
        self.back.on_click(guarded(tell, lambda _: self._step(-1)))
        self.on.on_click(guarded(tell, lambda _: self._step(1)))
        self.edit.on_click(guarded(tell, lambda _: self._open_editor()))
        self.keep.on_click(guarded(tell, lambda _: self._keep()))
        self.drop.on_click(guarded(tell, lambda _: self._leave()))
        self.line.observe(guarded(tell, lambda _: self.refresh()), "value")
        for choice in (self.only, self.order):
            choice.observe(guarded(tell, lambda _: self._choose()), "value")
        self.state.observe(guarded(tell, lambda _: self.refresh()), ["reports", "resolved"])

    def go(self, line: int) -> None:
        """Show the row on that line."""
        self.line.value = str(line)

    def show_issue(self, code: str, line: int) -> None:
        """Show the rows that an issue is about, from one of its lines."""
        label = next((o for o in self.only.options if o.startswith(f"{code} ")), ALL)
        self.only.value = label
        self.go(line)

    # --- which rows --------------------------------------------------------------------------

    def _choose(self) -> None:
        """Arrange the rows anew and show the first of them."""
        self._arrange()
        if self._rows is not None and self._places:
            self.go(self._rows.line_number(self._places[0]))
        self.refresh()

    def _arrange(self) -> None:
        rows, report = self._rows, self.state.report
        if rows is None or report is None:
            self._places = []
            return
        code = self.only.value.split(" ")[0] if self.only.value not in (None, ALL) else None
        places = list(range(len(rows)))
        if code is not None:
            lines = {n for i in report.issues if i.code == code for n in i.lines}
            places = [p for p in places if rows.line_number(p) in lines]
        if self.order.value != ORDERS[0]:
            places.sort(key=rows.size, reverse=self.order.value == ORDERS[1])
        self._places = places

    def _step(self, by: int) -> None:
        rows = self._rows
        if rows is not None and self._places:
            place = self._place(rows)
            at = self._places.index(place) if place in self._places else -1
            at = min(max(at + by, 0), len(self._places) - 1)
            self.go(rows.line_number(self._places[at]))

    def _place(self, rows: Rows) -> int:
        """The row on the chosen line, or the next one after it."""
        wanted = int(self.line.value) if self.line.value.strip().isdigit() else 1
        return rows.place_of(wanted)

    # --- one row -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Render the chosen row with the model's own template."""
        report = self.state.report
        if report is None or not report.n_rows or not Path(report.path).name.endswith(".jsonl"):
            self._rows, self._sha256, self.edits = None, "", {}
            self.view.value = ""
            self._leave()
            return
        if self._rows is None or self._sha256 != report.sha256:
            self._load(report)
        rows = self._rows
        assert rows is not None
        self.counts.value = losses_html(report, self.state.resolved.spec.max_seq_length)
        if not len(rows):
            return
        self.view.value = self._rendered(rows, report)

    def _load(self, report: DataReport) -> None:
        self._rows, self._sha256 = Rows(Path(report.path)), report.sha256
        self.edits = self._kept.setdefault(report.sha256, {})
        codes: dict[str, int] = {}
        for issue in report.issues:
            if issue.lines:
                codes[issue.code] = codes.get(issue.code, 0) + issue.count
        self.only.options = [ALL, *(f"{code} ({n:,})" for code, n in codes.items())]
        self._leave()
        self._arrange()

    def _rendered(self, rows: Rows, report: DataReport) -> str:
        place = self._place(rows)
        number = rows.line_number(place)
        spec = self.state.resolved.spec
        changed = " (edited)" if number in self.edits else ""
        title = f'<span class="ft-dim">line {number:,}{changed}</span> '
        line = self._line(rows, place)
        if len(line) > LONGEST_SHOWN:
            start = line[:2_000].decode("utf-8", "replace")
            text = f"The row has {len(line):,} bytes; up to {LONGEST_SHOWN:,} are shown. It begins:"
            return title + _unreadable([text], start)
        shown = line.decode("utf-8", "replace")
        if report.model is None:
            return title + _unreadable([], shown)
        tokenizer = load_tokenizer(fetch(report.model, weights=False))
        try:
            row = parse_line(line)
            wrong = [p.message for p in row_problems(row) if "local" in p.blocks]
            if wrong:
                return title + _unreadable(wrong, shown)
            sequences = tokenise(row, tokenizer, spec.train_on_inputs or "auto")
        except (BadLine, CannotRender) as exc:
            return title + _unreadable([str(exc)], shown)
        names = ("preferred", "other") if len(sequences) > 1 else ("",)
        return "".join(
            f"{title}{name} {tokens_html(tokens, tokenizer, spec.max_seq_length)}"
            for name, tokens in zip(names, sequences, strict=True)
        )

    def _line(self, rows: Rows, place: int) -> bytes:
        number = rows.line_number(place)
        if number in self.edits:
            return json.dumps(self.edits[number], ensure_ascii=False).encode()
        return rows.line(place)

    # --- editing -----------------------------------------------------------------------------

    def _open_editor(self) -> None:
        rows = self._rows
        if rows is None:
            return
        place = self._place(rows)
        line, self._edited = self._line(rows, place), rows.line_number(place)
        try:
            self.text.value = json.dumps(parse_line(line), ensure_ascii=False, indent=2)
        except BadLine:
            self.text.value = line.decode("utf-8", "replace").strip()
        self.said.value = ""
        self.editing.value = f"Editing line {self._edited:,}"
        self.editor.layout.display = None

    def _keep(self) -> None:
        rows = self._rows
        if rows is None:
            return
        try:
            row = parse_line(self.text.value.encode("utf-8", "surrogatepass"))
            if wrong := [p for p in row_problems(row) if p.blocks]:
                raise UnreadableData(" ".join(p.message for p in wrong))
        except UnreadableData as exc:
            self.said.value = f'<span class="ft-error">{SHAPES["error"]} {escaped(exc)}</span>'
            return
        self.edits = {**self.edits, self._edited: row}
        self._kept[self._sha256] = self.edits
        self._leave()
        self.state.beat += 1
        self.refresh()

    def _leave(self) -> None:
        self.editor.layout.display = "none"


def losses_html(report: DataReport, max_seq_length: int | None) -> str:
    """What a length costs, for the length that stands in the form now."""
    stats = report.tokens
    if stats is None or not stats.n_sequences:
        return ""
    kept, whole = stats.trained_within(max_seq_length), stats.trained_within(None)
    lost = 1 - kept / whole if whole else 0.0
    at = f"at max_seq_length {max_seq_length:,}" if max_seq_length else "with no max_seq_length"
    parts = [
        f"{stats.n_untrained(max_seq_length):,} rows train nothing",
        f"{stats.n_answer_cut(max_seq_length):,} answers are cut",
        f"{lost:.1%} of the trained tokens are lost",
        f"packed {stats.packing_efficiency(max_seq_length):.0%} full",
        f"{stats.recommended_length():,} keeps 99.9 %",
    ]
    return f'<div class="ft-losses"><b>{at}</b> · {" · ".join(parts)}</div>'


def _unreadable(reasons: list[str], line: str) -> str:
    """Why a row can't be rendered, and the row as it stands in the file."""
    said = "".join(
        f'<div class="ft-error">{SHAPES["error"]} {escaped(reason)}</div>' for reason in reasons
    )
    return f'{said}<div class="ft-tokens">{escaped(line)}</div>'


def tokens_html(tokens: Tokens, tokenizer: Tokenizer, max_seq_length: int | None) -> str:
    """Every token of a sequence: trained ones marked, those beyond the length struck through."""
    length = max_seq_length or len(tokens.ids)
    kept = tokens.cut(max_seq_length)
    more = len(tokens.ids) - TOKENS_SHOWN
    counts = (
        f'<span class="ft-dim">{len(tokens.ids):,} tokens, {kept.n_trained:,} trained, '
        f"{max(len(tokens.ids) - length, 0):,} cut"
        f"{f'; the first {TOKENS_SHOWN:,} are shown' if more > 0 else ''}</span>"
    )
    special = frozenset(tokenizer.special_tokens)
    spans = []
    pairs = list(zip(tokens.ids, tokens.labels, strict=True))[:TOKENS_SHOWN]
    for place, (token, label) in enumerate(pairs):
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
