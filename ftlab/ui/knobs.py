"""The fields of the form: those of the spec, and how this machine is used."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ftlab.devices import detect
from ftlab.html import rate
from ftlab.issues import allowed
from ftlab.job import WHERE, LocalOptions
from ftlab.names import FOREIGN_NAMES
from ftlab.recommendation import SMALLEST_PLAIN
from ftlab.spec import FIELDS, GROUPS, Knob, bare_kinds, none_is_value

FORM_FIELDS: dict[str, FieldInfo] = {**FIELDS, **LocalOptions.model_fields}
FORM_KNOBS: dict[str, Knob] = {
    name: next(hint for hint in field.metadata if isinstance(hint, Knob))
    for name, field in FORM_FIELDS.items()
}
FORM_GROUPS = (*GROUPS, WHERE)
OPTIONS = frozenset(LocalOptions.model_fields)
"""Fields that say how a job runs, not what it is."""


class NotGiven:
    """A field that nobody gave; for some, None is a value (`lora`: as the service likes)."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


def kinds_of(name: str) -> tuple[Any, ...]:
    """The types that a field takes: int, float, bool, str, a Literal or a tuple; None left out."""
    return bare_kinds(FORM_FIELDS[name])


def takes_none(name: str) -> bool:
    """Whether None is a value of its own, other than leaving the field out."""
    return name in FORM_FIELDS and none_is_value(FORM_FIELDS[name])


def choices_of(name: str) -> list[Any] | None:
    """The values of a field that has only a few, None for fields that take free input."""
    if name == "device":
        return ["auto", *(device.name for device in detect())]
    choices: list[Any] = []
    for kind in kinds_of(name):
        if kind is bool:
            choices += [True, False]
        elif get_origin(kind) is Literal:
            choices += get_args(kind)
        else:
            return None
    return choices


def is_list(name: str) -> bool:
    return any(get_origin(kind) is tuple for kind in kinds_of(name))


def names_in_list(name: str) -> list[str]:
    """The names that a list may hold; none where it takes any."""
    of_lists = (get_args(kind)[0] for kind in kinds_of(name) if get_origin(kind) is tuple)
    return [choice for kind in of_lists if get_origin(kind) is Literal for choice in get_args(kind)]


def takes_numbers(name: str) -> bool:
    return any(kind in (int, float) for kind in kinds_of(name))


@cache
def help_of(name: str) -> str:
    """What a field means, what it takes, and who honours it."""
    field, knob = FORM_FIELDS[name], FORM_KNOBS[name]
    parts = [field.description or ""]
    if takes_numbers(name):
        parts.append(f"It takes {allowed(field)}.")
    if field.default not in (None, ()):
        parts.append(f"Left out, it is {written(field.default)}.")
    parts.append(honoured_by(knob))
    return " ".join(part for part in parts if part)


def written(value: Any) -> str:
    """A value as people type it: 4.7e-4, 0.05, q_proj, v_proj. Typed again, it is the same."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    if isinstance(value, float) and 0 < abs(value) < SMALLEST_PLAIN:
        return rate(value) if float(rate(value)) == value else str(value)
    # Half of a character of two halves, as JSON may hold one, can't be sent to a page.
    text = str(value).encode("utf-8", "replace").decode()
    return text.removesuffix(".0") if isinstance(value, float) else text


def honoured_by(knob: Knob) -> str:
    """Who takes a field, where that is not everybody."""
    match knob.providers:
        case ("local",):
            return "For jobs on this machine only."
        case ("together",):
            return "For hosted jobs only."
        case ():
            return "No engine honours it yet."
        case _:
            return ""


def _searchable(name: str) -> str:
    foreign = [theirs for theirs, ours in FOREIGN_NAMES.items() if ours == name]
    field = FORM_FIELDS[name]
    words = (name, *foreign, field.description or "", FORM_KNOBS[name].group)
    text = " ".join(words).lower()
    return f"{text} {text.replace('_', ' ').replace('-', '')}"


_TEXTS = {name: _searchable(name) for name in FORM_FIELDS}


def matches(name: str, query: str) -> bool:
    """Whether a field answers to a search: every word is in its name, its help, or what other
    tools call it."""
    words = query.lower().replace("-", "").split()
    return all(word in _TEXTS[name] for word in words)
