"""One issue as a line: its level by shape and colour, its text, and the button that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.issues import SHAPES, Issue
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.knobs import written
from ftlab.ui.shown import set_html, show


class IssueLine(widgets.HBox):
    """Shows one issue, then another; its buttons are made when they are first needed."""

    def __init__(self, state: FormState) -> None:
        self.state = state
        self.issue: Issue | None = None
        self.text = widgets.HTML().add_class("ft-line-text")
        self.fix: widgets.Button | None = None
        self.wave_off: widgets.Button | None = None
        super().__init__([self.text])
        self.add_class("ft-line")

    def show_issue(self, issue: Issue | None) -> None:
        """Show this one, or nothing."""
        show(self, visible=issue is not None)
        if issue is None or issue == self.issue:
            return
        self.issue = issue
        set_html(self.text, issue_html(issue))
        self._make_buttons(issue)

    def _make_buttons(self, issue: Issue) -> None:
        has_fix, is_tip = isinstance(issue.fix, dict), issue in self.state.tips
        if has_fix and self.fix is None:
            self.fix = self._button("ft-fix", "Apply this", self._fixed)
        if is_tip and self.wave_off is None:
            self.wave_off = self._button("ft-wave-off", "Show this tip no more", self._waved_off)
            self.wave_off.description = "dismiss"
        if self.fix is not None:
            self.fix.description = fix_label(issue)
            show(self.fix, visible=has_fix)
        if self.wave_off is not None:
            show(self.wave_off, visible=is_tip)
        buttons = [b for b in (self.fix, self.wave_off) if b is not None]
        if len(self.children) != 1 + len(buttons):
            self.children = (self.text, *buttons)

    def _button(self, name: str, tooltip: str, clicked: Any) -> widgets.Button:
        button = widgets.Button(tooltip=tooltip).add_class(name)
        button.on_click(guarded(self.state.tell, lambda _: clicked()))
        return button

    def _fixed(self) -> None:
        if self.issue is not None:
            self.state.apply(self.issue)

    def _waved_off(self) -> None:
        if self.issue is not None:
            self.state.wave_off(self.issue)


class IssueLines:
    """As many lines as there are issues."""

    def __init__(self, state: FormState) -> None:
        self.state = state
        self.lines: list[IssueLine] = []

    def show_issues(self, issues: list[Issue]) -> list[IssueLine]:
        """All lines, in the order of the issues; those that are not needed are out of sight."""
        while len(self.lines) < len(issues):
            self.lines.append(IssueLine(self.state))
        rest = [None] * (len(self.lines) - len(issues))
        for line, issue in zip(self.lines, [*issues, *rest], strict=True):
            line.show_issue(issue)
        return self.lines


def issue_html(issue: Issue) -> str:
    role = "alert" if issue.level == "error" else "status"
    return (
        f'<span class="ft-{issue.level}" role="{role}">{SHAPES[issue.level]} '
        f"{escaped(issue.message)}</span>"
    )


def fix_label(issue: Issue | None) -> str:
    """What the button of a fix says: "lora_alpha = 16", "leave dpo_beta out"."""
    if issue is None or not isinstance(issue.fix, dict):
        return ""
    return changes_label(issue.fix)


def changes_label(changes: Mapping[str, Any]) -> str:
    """Changes of the form in words."""
    parts = [
        f"leave {name} out" if value is None else f"{name} = {written(value)}"
        for name, value in changes.items()
    ]
    return ", ".join(parts)
