"""Single rows of the data files as the model sees them: which tokens train, which are cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.chat import IGNORED, Tokens, tokenise
from ftlab.data.fixes import as_json
from ftlab.data.formats import row_problems
from ftlab.data.found import whole_text
from ftlab.data.report import DataReport
from ftlab.data.rows import BadLine, Rows, parse_line
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.html import escaped, short
from ftlab.issues import SHAPES
from ftlab.models import fetch
from ftlab.ui.anchor import Anchor
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import SCANNED, State

ALL = "all rows"
ORDERS = ("file order", "longest first", "shortest first")
LONGEST_SHOWN = 200_000  # characters of a row; a browser takes no more of it well
TOKENS_SHOWN = 4_000


class RowViewer(widgets.VBox):
    """One row: page through, jump to a line, filter by issue, sort by length, edit in place."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._edits: dict[str, dict[int, Any]] = {}  # by the content of the file
        self._make_bar()
        self._make_editor()
        self._wanted = SCANNED[0]
        self._rows: Rows | None = None
        self._report: DataReport | None = None
        self._last = 0  # the place of the row that is shown
        self._edited = 0  # the line that stands in the editor
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

    def _make_editor(self) -> None:
        self.editing = widgets.HTML()
        self.text = widgets.Textarea(layout={"width": "auto", "height": "180px"})
        self.keep = widgets.Button(description="Keep the change", button_style="primary")
        self.drop = widgets.Button(description="Leave as it was")
        self.said = widgets.HTML()
        buttons = widgets.HBox([self.keep, self.drop])
        self.editor = widgets.VBox([self.editing, self.text, self.said, buttons])
        self.editor.layout.display = "none"

    def _listen(self) -> None:
        tell = self.state.tell
        self.back.on_click(guarded(tell, lambda _: self._step(-1)))
        self.on.on_click(guarded(tell, lambda _: self._step(1)))
        self.edit.on_click(guarded(tell, lambda _: self._open_editor()))
        self.keep.on_click(guarded(tell, lambda _: self._keep()))
        self.drop.on_click(guarded(tell, lambda _: self._leave()))
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
        return self._edits.get(report.sha256, {}) if report and has_lines(report) else {}

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
            self._leave()
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
            self._leave()
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
        number, edits = rows.line_number(place), self._edits_here
        if number in edits:
            return as_json(edits[number])
        return rows.line(place)

    @property
    def _edits_here(self) -> dict[int, Any]:
        return self.edits if self.file.value == "training_file" else {}

    # --- editing -----------------------------------------------------------------------------

    def _open_editor(self) -> None:
        rows = self._rows
        if rows is None:
            return
        place = self._place(rows)
        line, self._edited = self._line(rows, place), rows.line_number(place)
        try:
            self.text.value = _for_editor(parse_line(line))
        except BadLine:
            self.text.value = line.decode("utf-8", "replace").strip()
        self.said.value = ""
        self.editing.value = f"Editing line {self._edited:,}"
        self.editor.layout.display = None

    def _keep(self) -> None:
        if self._report is None:
            return
        try:
            row = parse_line(self.text.value.encode("utf-8", "surrogatepass"))
            if wrong := [p for p in row_problems(row) if p.blocks]:
                raise UnreadableData(" ".join(p.message for p in wrong))
        except UnreadableData as exc:
            self.said.value = f'<span class="ft-error">{SHAPES["error"]} {escaped(exc)}</span>'
            return
        self._edits.setdefault(self._report.sha256, {})[self._edited] = row
        self._leave()
        self.state.beat += 1
        self.refresh()

    def _leave(self) -> None:
        self.editor.layout.display = "none"


def _for_editor(row: Any) -> str:
    """A row over several lines; halves of characters as the escapes that they were."""
    shown = json.dumps(row, ensure_ascii=False, indent=2)
    return shown if whole_text(shown) == shown else json.dumps(row, indent=2)


def has_lines(report: DataReport) -> bool:
    """Whether single rows can be shown: those of lines can be found again without the rest."""
    return report.n_rows > 0 and report.path.endswith(".jsonl")


def line_number(text: str) -> int | None:
    """The number of a line as people type it, also with its thousands set apart."""
    plain = re.sub(r"[\s,_]", "", text)
    return int(plain) if re.fullmatch("[0-9]{1,18}", plain) else None


def off_html(typed: str, rows: Rows, place: int) -> str:
    """Why the row that is shown is not the one that was asked for; empty when it is."""
    first, last = rows.line_number(0), rows.line_number(len(rows) - 1)
    wanted, shown = line_number(typed), rows.line_number(place)
    if wanted == shown:
        return ""
    if wanted is None:
        found = f"“{typed.strip()[:40]}” is no line"
    elif first <= wanted <= last:
        found = f"Line {wanted:,} is blank"
    else:
        found = f"There is no row on line {wanted:,}"
    text = f"{found}; rows are on lines {first:,} to {last:,}. Line {shown:,} is shown."
    shape = f'<b class="ft-warning">{SHAPES["warning"]}</b>'
    return f'<span role="status">{shape} {escaped(text)} Type another number.</span>'


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
