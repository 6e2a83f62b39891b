"""Changing a row of the training file in place. The file is left alone: the repair writes a new one
with what was kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.data.formats import row_problems
from ftlab.data.found import whole_text
from ftlab.data.rows import BadLine, parse_line
from ftlab.errors import UnreadableData
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.ui.guard import Teller, guarded
from ftlab.ui.shown import show


class RowEditor(widgets.VBox):
    """The text of one row, and all changes that were kept."""

    def __init__(self, tell: Teller, kept: Callable[[], None]) -> None:
        self._kept = kept
        self._edits: dict[str, dict[int, Any]] = {}  # by the content of the file
        self._file, self._number = "", 0
        self.title = widgets.HTML()
        self.text = widgets.Textarea(layout={"width": "auto", "height": "180px"})
        self.keep = widgets.Button(description="Keep the change", button_style="primary")
        self.drop = widgets.Button(description="Leave as it was")
        self.said = widgets.HTML()
        buttons = widgets.HBox([self.keep, self.drop])
        super().__init__([self.title, self.text, self.said, buttons])
        self.keep.on_click(guarded(tell, lambda _: self._keep()))
        self.drop.on_click(guarded(tell, lambda _: self.leave()))
        self.leave()

    def edits_of(self, sha256: str) -> dict[int, Any]:
        """Line → the row that shall stand there in the file with that content."""
        return self._edits.get(sha256, {})

    def edit(self, sha256: str, number: int, line: bytes) -> None:
        """Offer a line of the file with that content for changes."""
        self._file, self._number = sha256, number
        try:
            self.text.value = _for_editor(parse_line(line))
        except BadLine:
            self.text.value = line.decode("utf-8", "replace").strip()
        self.said.value = ""
        self.title.value = f"Editing line {number:,}"
        show(self, visible=True)

    def leave(self) -> None:
        """Close without keeping anything."""
        show(self, visible=False)

    def _keep(self) -> None:
        try:
            row = parse_line(self.text.value.encode("utf-8", "surrogatepass"))
            if wrong := [p for p in row_problems(row) if p.blocks]:
                raise UnreadableData(" ".join(p.message for p in wrong))
        except UnreadableData as exc:
            self.said.value = f'<span class="ft-error">{SHAPES["error"]} {escaped(exc)}</span>'
            return
        self._edits.setdefault(self._file, {})[self._number] = row
        self.leave()
        self._kept()


def _for_editor(row: Any) -> str:
    """A row over several lines; halves of characters as the escapes that they were."""
    shown = json.dumps(row, ensure_ascii=False, indent=2)
    return shown if whole_text(shown) == shown else json.dumps(row, indent=2)
