"""The controls of the form, one kind for each kind of field.

An input is a widget with a way to read it and a way to show a value in it. What is no value of
its field stays in it as it was typed.
"""

from __future__ import annotations

import sys
from typing import Any

import ipywidgets as widgets

from ftlab.model_files import ModelInfo
from ftlab.recommendation import Recommendation
from ftlab.ui.chips import Chips
from ftlab.ui.knobs import (
    FORM_FIELDS,
    FORM_KNOBS,
    NOT_GIVEN,
    choices_of,
    help_of,
    is_list,
    kinds_of,
    names_in_list,
    takes_none,
    takes_numbers,
    written,
)
from ftlab.ui.known_models import known_models, without_mark
from ftlab.ui.slider import RateSlider

MODULES = ("lora_trainable_modules", "lora_exclude_modules")
COMMON_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEFT_OUT = "(left out)"
NOT_A_CHOICE = "{} (not a choice)"


class Input:
    """One field's control. `widget` is what a person writes into; `row` is all that is shown."""

    widget: Any

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def row(self) -> list[widgets.Widget]:
        return [self.widget]

    def read(self) -> Any:
        """The value that stands in it; NOT_GIVEN when it says nothing of its own."""
        raise NotImplementedError

    def show(self, value: Any) -> None:
        """Show a value, valid or not, or NOT_GIVEN."""
        raise NotImplementedError

    def hint(self, value: Any) -> None:
        """Show faintly what the field will be while nothing is given."""

    def learn(self, advice: Recommendation | None, info: ModelInfo) -> None:
        """Take in what is recommended, and what is known of the model."""

    def _common(self) -> dict[str, Any]:
        style = {"description_width": ""}
        return {"description": self.name, "tooltip": help_of(self.name), "style": style}


class TextInput(Input):
    """Free text, and numbers as people write them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.widget = self._made()

    def _made(self) -> Any:
        return widgets.Text(continuous_update=True, **self._common())

    def read(self) -> Any:
        return read_text(self.name, self.widget.value)

    def show(self, value: Any) -> None:
        self.widget.value = "" if value is NOT_GIVEN else written(value)

    def hint(self, value: Any) -> None:
        text = "" if value in (None, ()) else written(value)
        if self.widget.placeholder != text:
            self.widget.placeholder = text


class ModelInput(TextInput):
    """Text with the known models to choose from; what marks one is not part of its name."""

    def _made(self) -> Any:
        box = widgets.Combobox(
            options=known_models(), ensure_option=False, continuous_update=True, **self._common()
        )
        box.observe(lambda change: setattr(box, "value", without_mark(change.new)), "value")
        return box

    def read(self) -> Any:
        return read_text(self.name, without_mark(self.widget.value))


class RateInput(TextInput):
    """Text, and a slider over powers of ten beside it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.slider = RateSlider(label=f"{name}, by slider")
        self.slider.observe(self._slid, "value")
        self.widget.observe(lambda _: self._follow(), "value")

    @property
    def row(self) -> list[widgets.Widget]:
        return [self.widget, self.slider]

    def learn(self, advice: Recommendation | None, info: ModelInfo) -> None:
        """Draw the recommended range into the slider."""
        with self.slider.hold_sync():
            self.slider.best = None if advice is None else float(advice.value)
            self.slider.low = None if advice is None else advice.low
            self.slider.high = None if advice is None else advice.high

    def _follow(self) -> None:
        """The slider stands where the text says, or nowhere."""
        value = self.read()
        is_rate = isinstance(value, (int, float)) and 0 < value < sys.float_info.max
        self.slider.value = float(value) if is_rate else None

    def _slid(self, change: Any) -> None:
        if change.new is not None and self.read() != change.new:
            self.widget.value = written(change.new)


NONE = object()
"""Stands for None among the values of a dropdown, to which None means that nothing is chosen."""


def _selectable(value: Any) -> Any:
    return NONE if value is None else value


class ChoiceInput(Input):
    """One of a few values."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._default = FORM_FIELDS[name].default
        self._choices = choices_of(name) or []
        if takes_none(name):
            self._choices = [*self._choices, None]
        self.widget = widgets.Dropdown(options=self._options(), **self._common())
        self.show(NOT_GIVEN)

    def _options(self) -> list[tuple[str, Any]]:
        left_out = [(LEFT_OUT, NOT_GIVEN)] if self._default is None else []
        return [*left_out, *((str(choice), _selectable(choice)) for choice in self._choices)]

    def read(self) -> Any:
        value = None if self.widget.value is NONE else self.widget.value
        return NOT_GIVEN if _is(value, self._default) else value

    def show(self, value: Any) -> None:
        options = self._options()
        if value is NOT_GIVEN and self._default is not None:
            value = self._default
        wanted = _selectable(value)
        label = next((text for text, choice in options if _is(choice, wanted)), None)
        if label is None:
            label = NOT_A_CHOICE.format(written(value))
            options.append((label, wanted))
        if tuple(options) != tuple(self.widget.options):
            self.widget.options = options
        self.widget.label = label


class CheckInput(Input):
    """Yes or no."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._default = FORM_FIELDS[name].default
        self.widget = widgets.Checkbox(value=self._default, indent=False, **self._common())
        self._other: Any = NOT_GIVEN
        self.widget.observe(self._clicked, "value")

    def _clicked(self, _: Any) -> None:
        self._other = NOT_GIVEN

    def read(self) -> Any:
        if self._other is not NOT_GIVEN:
            return self._other
        return NOT_GIVEN if self.widget.value == self._default else self.widget.value

    def show(self, value: Any) -> None:
        """What is neither yes nor no shows as the default, and its message says what it is."""
        self.widget.value = value if isinstance(value, bool) else self._default
        self._other = NOT_GIVEN if isinstance(value, bool) else value


class ChipsInput(Input):
    """A list of names."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        known = names_in_list(name)
        self._is_names = str in kinds_of(name) or name in MODULES or bool(known)
        self.widget = Chips(
            description=name,
            tooltip=help_of(name),
            splits=self._is_names,
            options=known,
        )

    def learn(self, advice: Recommendation | None, info: ModelInfo) -> None:
        """Offer the model's own layers."""
        if self.name in MODULES:
            known = sorted(info.lora_params_per_rank) or COMMON_MODULES
            self.widget.options = ["all-linear", *known]

    def read(self) -> Any:
        chips = tuple(self.widget.value)
        if not chips:
            return NOT_GIVEN
        takes_one = str in kinds_of(self.name)  # "all-linear" is no list
        return chips[0] if takes_one and len(chips) == 1 else chips

    def show(self, value: Any) -> None:
        parts = [] if value is NOT_GIVEN else value
        if not isinstance(parts, (tuple, list)):
            parts = str(parts).split(",") if self._is_names else [str(parts)]
        self.widget.value = [str(part).strip() for part in parts]

    def hint(self, value: Any) -> None:
        self.widget.placeholder = "" if value in (None, ()) else written(value)


def make_input(name: str) -> Input:
    """The control that suits a field."""
    if name == "model":
        return ModelInput(name)
    if is_list(name):
        return ChipsInput(name)
    if FORM_FIELDS[name].annotation is bool:
        return CheckInput(name)
    if choices_of(name) is not None:
        return ChoiceInput(name)
    return RateInput(name) if FORM_KNOBS[name].scale == "log" else TextInput(name)


def read_text(name: str, text: str) -> Any:
    """What a text says as a value of a field: a number if it is one, NOT_GIVEN if it is empty."""
    text = text.strip()
    if not text:
        return NOT_GIVEN
    return _as_number(text) if takes_numbers(name) else text


def _as_number(text: str) -> int | float | str:
    """A number if it is one; otherwise the text, which then shows with its message."""
    plain = text.replace("\u202f", "").replace(" ", "")
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return text


def _is(one: Any, other: Any) -> bool:
    """Equal, and of one kind: True is not 1, and an invalid value may be anything."""
    return type(one) is type(other) and one == other
