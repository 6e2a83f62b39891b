"""The box that turns rows of other formats and tables into rows that train."""

from __future__ import annotations

from itertools import count, islice
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.data.blocks import TOO_LONG
from ftlab.data.outputs import numbered, plain_stem
from ftlab.data.report import DataReport
from ftlab.data.rows import BadLine, parse_line
from ftlab.data.sources import open_source
from ftlab.html import escaped
from ftlab.ui.anchor import Anchor
from ftlab.ui.guard import guarded
from ftlab.ui.shown import problems_html, set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

ROWS_LOOKED_AT = 20
SAMPLE_SHOWN = 40  # characters
LEFT_OUT = ("(left out)", ())
"""A choice and its value. That equals no name of a column; None would show as an empty field."""
SHAPES_OF_ROWS = {
    "a chat": ("system", "user", "assistant"),
    "prompt and completion": ("prompt", "completion"),
    "preferences": ("system", "user", "chosen", "rejected"),
    "plain text": ("text",),
}
OPTIONAL = frozenset({"system"})


class ConvertBox(widgets.VBox):
    """Shown while most rows have no format that trains."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.anchor = Anchor()
        self.head = widgets.HTML()
        self.shape = widgets.Dropdown(description="rows become", options=list(SHAPES_OF_ROWS))
        self.shape.add_class("ft-whole")
        self.columns = {
            name: widgets.Dropdown(description=name, options=[LEFT_OUT])
            for names in SHAPES_OF_ROWS.values()
            for name in names
        }
        self.choices = widgets.VBox().add_class("ft-fields").add_class("ft-columns")
        self.why_not = widgets.HTML()
        self.convert = widgets.Button(button_style="primary")
        self.task = Task(state, self._check_button)
        buttons = widgets.HBox([self.convert, self.why_not]).add_class("ft-buttons")
        self.form = widgets.VBox([self.head, self.choices, buttons])
        super().__init__([self.anchor, self.form, self.task.said])
        self.add_class("ft-box")
        self.is_shown = False
        self._report: DataReport | None = None
        self._reader: Any = None
        self._written = ""
        self._listen()
        self.refresh()

    def _listen(self) -> None:
        tell = self.state.tell
        self.convert.on_click(guarded(tell, lambda _: self._convert()))
        self.shape.observe(guarded(tell, lambda _: self._lay_out()), "value")
        for choice in self.columns.values():
            choice.observe(guarded(tell, lambda _: self._check_button()), "value")
        watched = ["reports", "values"]
        self.state.observe(guarded(tell, lambda _: self.refresh()), watched)

    def refresh(self) -> None:
        """Offer what the rows that are named now need."""
        report = self.state.report_of("training_file")
        self.is_shown = needs_conversion(report)
        if report is not None and self._written not in ("", report.path):
            self._written = ""
            set_html(self.task.said, "")
        show(self.form, visible=self.is_shown)
        show(self, visible=self.is_shown or bool(self._written))
        if self.is_shown and report is not None and report is not self._report:
            self._report = report
            self._offer(report)

    # --- what is offered ---------------------------------------------------------------------

    def _offer(self, report: DataReport) -> None:
        from ftlab.data.foreign import detect_foreign, suggest_mapping

        rows = first_rows(report.path)
        self._reader = detect_foreign(rows[0]) if rows else None
        samples = columns_of(rows)
        suggested = None if self._reader else suggest_mapping(samples)
        options = [LEFT_OUT, *((_labelled(n, v), n) for n, v in samples.items())]
        for name, choice in self.columns.items():
            choice.options = options
            found = (suggested or {}).get(name)
            choice.value = found if found in samples else LEFT_OUT[1]
        given = set(suggested or ())
        fitting = (s for s, names in SHAPES_OF_ROWS.items() if given and given <= set(names))
        self.shape.value = next(fitting, self.shape.value)
        self.convert.description = f"Convert to {_target(report.path).name}"
        self._lay_out()

    def _lay_out(self) -> None:
        if self._reader is not None:
            name = escaped(self._reader.name)
            self.head.value = f"The rows are in the format of {name}; it is known how to read them."
            self.choices.children = ()
        else:
            self.head.value = "The columns have names of their own. Say which is what:"
            names = SHAPES_OF_ROWS[str(self.shape.value)]
            self.choices.children = (self.shape, *(self.columns[name] for name in names))
        self._check_button()

    @property
    def mapping(self) -> dict[str, str] | None:
        """What each part of a row is read from; None when the format itself says it."""
        if self._reader is not None:
            return None
        names = SHAPES_OF_ROWS[str(self.shape.value)]
        chosen = {name: self.columns[name].value for name in names}
        return {name: str(col) for name, col in chosen.items() if col != LEFT_OUT[1]}

    def _check_button(self) -> None:
        missing = self._missing()
        self.convert.disabled = self.task.is_busy or bool(missing)
        set_html(self.why_not, f'<span class="ft-dim">{escaped(missing)}</span>' if missing else "")

    def _missing(self) -> str:
        mapping = self.mapping
        if mapping is None:
            return ""
        names = SHAPES_OF_ROWS[str(self.shape.value)]
        unsaid = [name for name in names if name not in OPTIONAL and name not in mapping]
        if unsaid:
            return f"Choose a column for {' and '.join(unsaid)} first."
        twice = len(set(mapping.values())) < len(mapping)
        return "One column stands for two things; choose another for one." if twice else ""

    # --- doing it ----------------------------------------------------------------------------

    def _convert(self) -> None:
        assert self._report is not None
        path, mapping = self._report.path, self.mapping
        self.task.start(
            f"Converting {Path(path).name}",
            lambda: _converted(path, mapping, self.task.progress),
            self._wrote,
        )

    def _wrote(self, made: Any) -> str:
        if made.path is None:
            return "No row could be converted; nothing was written. Choose other columns."
        self._written = str(made.path)
        self.state.set("training_file", self._written)
        said = (
            f"<b>{made.n_rows:,} rows</b> are in <code>{escaped(made.path)}</code>; it is the "
            "training file now."
        )
        if made.set_aside is not None:
            said += (
                f"<br>{made.n_set_aside:,} could not be converted and are set aside with their "
                f"reasons: <code>{escaped(made.set_aside)}</code>"
            )
        return said + problems_html(made.problems)


def needs_conversion(report: DataReport | None) -> bool:
    """Whether most rows have no format that trains."""
    if report is None or not report.n_rows or report.format == "tokenized":
        return False
    unknown = sum(i.count for i in report.issues if i.code == "unknown_format")
    return 2 * unknown > report.n_rows


def first_rows(path: str) -> list[dict[str, Any]]:
    """The first rows that can be read at all."""
    rows = []
    for _, line in islice(open_source(path).lines(), ROWS_LOOKED_AT):
        try:
            if line != TOO_LONG:
                rows.append(parse_line(line))
        except BadLine:
            continue
    return rows


def columns_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Column → its first value that says something."""
    found: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            if found.get(name) in (None, ""):
                found[name] = value
    return found


def _labelled(name: str, value: Any) -> str:
    text = " ".join(str(value).split())
    return f"{name}: {text[:SAMPLE_SHOWN]}{'…' if len(text) > SAMPLE_SHOWN else ''}"


def _target(path: str) -> Path:
    file = Path(path)
    return free_name(file.with_name(f"{plain_stem(file, 'converted')}.jsonl"))


def free_name(wanted: Path) -> Path:
    """The name that a new file will get, as far as one can know before it is written."""
    return next(p for n in count(1) if not (p := numbered(wanted, n)).exists())


def _converted(path: str, mapping: dict[str, str] | None, progress: Any) -> Any:
    from ftlab.data.foreign import convert

    return convert(path, _target(path), mapping, progress)
