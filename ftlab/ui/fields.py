"""One field as a person sees it: label, control, what is recommended, what is wrong."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.ui.field_note import note_html, placeholder
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.inputs import Input, make_input
from ftlab.ui.issue_line import IssueLines
from ftlab.ui.issue_line import fix_label as fix_label
from ftlab.ui.knobs import FORM_KNOBS, NOT_GIVEN, written
from ftlab.ui.offers import is_same, present, recommended_change
from ftlab.ui.shown import set_html, show

WIDE = ("model", "training_file", "validation_file")


class FieldRow(widgets.VBox):
    """Follows the state. Its parts are made when it is first shown; there are many fields."""

    control: Input
    input: Any
    note: widgets.HTML

    def __init__(self, state: FormState, name: str, *, visible: bool = True) -> None:
        self.state, self.name = state, name
        self.is_shown = self._is_made = self._writes = False
        self._hears = 0
        self.use: widgets.Button | None = None
        super().__init__()
        self.add_class("ft-field").add_class(f"ft-f-{name}")
        if name in WIDE:
            self.add_class("ft-path")
        self.set_visible(visible)
        state.observe(guarded(state.tell, lambda _: self.refresh()), "checked")

    def set_visible(self, visible: bool) -> None:  # noqa: FBT001
        """Show the field, or take it and its room away; its place among the others stays."""
        show(self, visible=visible)
        was, self.is_shown = self.is_shown, visible
        if visible and not was:
            self._make()
            self.refresh()

    def _make(self) -> None:
        if self._is_made:
            return
        self._is_made = True
        self.control = make_input(self.name)
        self.input = self.control.widget
        self.note = widgets.HTML().add_class("ft-note")
        self.lines = IssueLines(self.state)
        parts, unit = self.control.row, FORM_KNOBS[self.name].unit
        if unit:
            parts = [*parts, widgets.HTML(escaped(unit)).add_class("ft-unit")]
        self._top = widgets.HBox(parts).add_class("ft-top") if len(parts) > 1 else parts[0]
        self.children = (self._top, self.note)
        self.input.observe(guarded(self.state.tell, lambda _: self._typed()), "value")

    def _typed(self) -> None:
        """What stands in the control is what counts, also when another key came meanwhile."""
        self._hears += 1
        try:
            with self.state.lock:
                if not self._writes:  # otherwise it is this row that wrote, not a person
                    self.state.set(self.name, self.control.read())
        finally:
            self._hears -= 1

    def refresh(self) -> None:
        """Show the state; a control is written to only where it says something else."""
        if not self.is_shown:
            return
        value = self.state.given(self.name)
        if not self._hears and not _is(self.control.read(), value):
            self._show(value)
        if value is NOT_GIVEN:
            self.control.hint(placeholder(self.state, self.name))
        set_html(self.note, note_html(self.state, self.name))
        issues = self.issues()
        self._mark(issues)
        lines = self.lines.show_issues(issues)
        wanted = (self._top, self.note, *([self.use] if self.use else []), *lines)
        if self.children != wanted:
            self.children = wanted

    def _show(self, value: Any) -> None:
        self._writes = True
        try:
            self.control.show(value)
        finally:
            self._writes = False

    @property
    def said(self) -> str:
        """The messages that stand under the field, as HTML."""
        lines = self.lines.lines if self._is_made else []
        return "".join(line.text.value for line in lines if line.layout.display != "none")

    def issues(self) -> list[Issue]:
        """All that is to be said about this field; a tip that asks for what an issue asks for
        already says nothing new."""
        issues = [i for i in self.state.issues if i.where == self.name]
        fixes = [i.fix for i in issues if i.fix]
        tips = (i for i in self.state.tips if i.where == self.name and i.fix not in fixes)
        return [*issues, *tips]

    def _mark(self, issues: list[Issue]) -> None:
        """Where a field is not as recommended: a mark, and a button unless an issue has it."""
        advice = self.state.recommended.get(self.name)
        differs = advice is not None and not is_same(present(self.state, self.name), advice.value)
        offered = advice is not None and any(i.fix == {self.name: advice.value} for i in issues)
        self.control.learn(advice, self.state.info)
        if differs and not offered and self.use is None:
            self.use = widgets.Button(tooltip="Take the recommended value").add_class("ft-use")
            self.use.on_click(guarded(self.state.tell, lambda _: self._use()))
        if self.use is not None:
            show(self.use, visible=differs and not offered)
            if advice is not None and differs:
                self.use.description = f"use {written(advice.value)}"
        _set_class(self, "ft-differs", on=differs)

    def _use(self) -> None:
        change = recommended_change(self.state, self.name)
        if change is not None:
            self.state.update({self.name: change.entry}, typed=False)


def _is(shown: Any, given: Any) -> bool:
    if shown is NOT_GIVEN or given is NOT_GIVEN:
        return shown is given
    return is_same(shown, given)


def _set_class(widget: widgets.DOMWidget, name: str, *, on: bool) -> None:
    if on != (name in widget._dom_classes):
        (widget.add_class if on else widget.remove_class)(name)
