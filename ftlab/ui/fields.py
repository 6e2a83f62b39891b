"""One field of the spec as a person sees it: label, input, and what there is to say about it."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import ipywidgets as widgets

from ftlab.html import escaped, rate
from ftlab.issues import SHAPES, Issue
from ftlab.spec import FIELDS, KNOBS, described, kinds, parse
from ftlab.ui.guard import guarded
from ftlab.ui.state import State

LEFT_OUT = "(left out)"


class FieldRow(widgets.VBox):
    """The input of a field, its message or its recommended value, and a button that fixes it."""

    def __init__(self, state: State, name: str) -> None:
        self.state, self.name = state, name
        self.input: Any = _make_input(name)
        self.note = widgets.HTML()
        self.note.add_class("ft-note")
        self.fix = widgets.Button(tooltip="Apply this value")
        self.fix.add_class("ft-fix")
        self._issue: Issue | None = None
        super().__init__([self.input, self.note])
        self.add_class("ft-field")
        if name.endswith("_file") or name == "model":
            self.add_class("ft-path")
        self.refresh()
        self.input.observe(guarded(state.tell, self._typed), "value")
        self.fix.on_click(guarded(state.tell, self._fixed))
        state.observe(guarded(state.tell, self._changed), ["values", "issues", "resolved"])

    def _typed(self, change: Any) -> None:
        self.state.set(self.name, read_input(self.name, self.input.value))

    def _fixed(self, _: Any) -> None:
        if self._issue is not None:
            self.state.apply(self._issue)

    def _changed(self, _: Any) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Show the state: its value unless it is what stands there, then what is to be said."""
        value = self.state.values.get(self.name)
        if read_input(self.name, self.input.value) != value:
            self.input.value = show_value(self.name, value, self.input)
        self._issue = next((i for i in self.state.issues if i.where == self.name), None)
        if isinstance(self.input, widgets.Text) and value is None:
            self.input.placeholder = self._placeholder()
        text = self._said()
        if self.note.value != text:
            self.note.value = text
        has_fix = self._issue is not None and isinstance(self._issue.fix, dict)
        if has_fix:
            self.fix.description = fix_label(self._issue)
        parts = (self.input, self.note, self.fix) if has_fix else (self.input, self.note)
        if self.children != parts:
            self.children = parts

    def _said(self) -> str:
        if self._issue is not None:
            level = self._issue.level
            return (
                f'<span class="ft-{level}" role="alert">{SHAPES[level]} '
                f"{escaped(self._issue.message)}</span>"
            )
        filled = self.state.resolved
        if filled is None or self.name not in filled.reasons or self.name in self.state.values:
            return ""
        return f'<span class="ft-dim">{escaped(filled.reasons[self.name])}</span>'

    def _placeholder(self) -> str:
        """What the field will be when nothing is typed."""
        filled = self.state.resolved
        value = FIELDS[self.name].default if filled is None else getattr(filled.spec, self.name)
        if value in (None, ()):
            return KNOBS[self.name].unit
        shown = rate(value) if KNOBS[self.name].scale == "log" else str(value)
        return f"{shown} {KNOBS[self.name].unit}".strip()


def fix_label(issue: Issue | None) -> str:
    """What the button of a fix says: "lora_alpha = 16", "leave dpo_beta out"."""
    if issue is None or not isinstance(issue.fix, dict):
        return ""
    parts = [
        f"leave {name} out" if value is None else f"{name} = {value}"
        for name, value in issue.fix.items()
    ]
    return ", ".join(parts)


def read_input(name: str, shown: Any) -> Any:
    """What an input says as a value of the spec; None when it says nothing of its own."""
    if not isinstance(shown, str):
        return None if shown == FIELDS[name].default or shown is None else shown
    text = shown.strip()
    if not text or text == LEFT_OUT:
        return None
    if _is_list(name) and "," in text:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    value = _as_number(text) if _takes_numbers(name) else text
    if _is_list(name) and str not in kinds(name):
        value = (text,)
    return None if value == FIELDS[name].default and name in _CHOSEN else value


def show_value(name: str, value: Any, shown_in: widgets.Widget) -> Any:
    """A value as its input shows it."""
    if isinstance(shown_in, widgets.Checkbox):
        given, _ = parse({} if value is None else {name: value})  # "no" is False
        return getattr(given, name)
    if isinstance(shown_in, widgets.Dropdown):
        known = [choice for _, choice in shown_in.options]
        wanted = FIELDS[name].default if value is None else value
        return wanted if wanted in known else known[0]
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _make_input(name: str) -> widgets.DOMWidget:
    choices = _choices(name)
    common = {"description": name, "tooltip": described(name), "style": {"description_width": ""}}
    if choices is not None:
        options = [(LEFT_OUT if c is None else str(c), c) for c in choices]
        return widgets.Dropdown(options=options, value=FIELDS[name].default, **common)
    if FIELDS[name].annotation is bool:
        return widgets.Checkbox(value=FIELDS[name].default, indent=False, **common)
    return widgets.Text(continuous_update=True, **common)


def _choices(name: str) -> list[Any] | None:
    """The values of a field that has only a few, None for fields that take free input."""
    if FIELDS[name].annotation is bool:
        return None
    optional = type(None) in get_args(FIELDS[name].annotation)
    choices: list[Any] = [None] if optional else []
    for kind in kinds(name):
        if kind is bool:
            choices += [True, False]
        elif get_origin(kind) is Literal:
            choices += get_args(kind)
        else:
            return None
    return choices


def _takes_numbers(name: str) -> bool:
    return any(kind in (int, float) for kind in kinds(name))


def _is_list(name: str) -> bool:
    return any(get_origin(kind) is tuple for kind in kinds(name))


def _as_number(text: str) -> int | float | str:
    """A number if it is one; otherwise the text, which then shows with its message."""
    plain = text.replace("\u202f", "").replace(" ", "")
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return text


_CHOSEN = frozenset(name for name in FIELDS if _choices(name) is not None)
