"""Issue: one problem, said in three facts (what was found, what is allowed, what to do).

Feedback is data. Checks return issues and never raise; panels, the notebook and the terminal
only differ in how they draw them.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from reprlib import Repr
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Level = Literal["error", "warning", "tip"]
SHAPES: dict[str, str] = {"error": "▲", "warning": "●", "tip": "ℹ"}
LINES_KEPT = 100
LARGEST = 2**53
"""Bound of whole numbers: up to it they are exact as floats, and JSON keeps them everywhere."""


@dataclass(frozen=True, slots=True)
class Issue:
    level: Level
    message: str = ""
    """What was found, what is allowed, what to do."""
    code: str = ""
    """Name of the rule or check that found it."""
    where: str = ""
    """A field of the spec, or a JSON path such as `messages[1].role`."""
    blocks: tuple[str, ...] = ()
    """Engines that will refuse because of it; empty for advice, however grave."""
    lines: tuple[int, ...] = ()
    """The first hundred lines of the file that it is about, from 1."""
    count: int = 1
    """How often it was found, beyond the lines kept."""
    fix: dict[str, Any] | str | None = None
    """Changes to the values of the spec (None leaves a field out), or the name of a data repair."""

    def __str__(self) -> str:
        return f"{SHAPES[self.level]} {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Issue:
        """Back from `as_dict`, also after a trip through JSON."""
        kept = dict(data)
        for name in ("blocks", "lines"):
            kept[name] = tuple(kept.get(name, ()))
        return cls(**kept)


def errors_for(issues: Iterable[Issue], engine: str) -> list[Issue]:
    """The issues because of which `engine` will refuse."""
    return [issue for issue in issues if engine in issue.blocks]


def by_gravity(issues: Iterable[Issue]) -> list[Issue]:
    """Errors first, then warnings, then tips; otherwise in the order they came."""
    return sorted(issues, key=lambda issue: list(SHAPES).index(issue.level))


def from_validation(
    error: ValidationError,
    model: type[BaseModel],
    engines: tuple[str, ...],
    aliases: Mapping[str, str],
    other_units: Mapping[str, str] = MappingProxyType({}),
) -> list[Issue]:
    """One issue per field that pydantic refused, whatever the number of its complaints.

    `aliases` maps names that other tools use to ours, for a hint on unknown fields;
    `other_units` says what ours is where such a name's value can't be taken as it stands.
    """
    issues: dict[str, Issue] = {}
    for problem in error.errors(include_url=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if name in issues:
            continue
        value = _typed_value(problem, error, name)
        if problem["type"] == "extra_forbidden":
            ours = aliases.get(name) or _closest(name, model)
            issues[name] = (
                _other_unit(name, ours, other_units[name], engines)
                if ours and name in other_units
                else _unknown_field(name, value, ours, model, engines)
            )
        else:
            issues[name] = _bad_value(name, value, model.model_fields[name], engines)
    return list(issues.values())


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words, from its type and bounds: "a whole number of at least 1"."""
    kinds = [_kind_in_words(kind, field.metadata) for kind in alternatives(field.annotation)]
    return " or ".join(dict.fromkeys(kinds))


def _typed_value(problem: Any, error: ValidationError, name: str) -> Any:
    """What the person gave for the whole field, also when pydantic complains of an inner part."""
    if len(problem["loc"]) == 1:
        return problem["input"]
    whole = [p["input"] for p in error.errors() if p["loc"] == (name,)]
    return whole[0] if whole else problem["input"]


def _closest(name: str, model: type[BaseModel]) -> str | None:
    """The field that was most likely meant."""
    close = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.75)
    return close[0] if close else None


def _other_unit(name: str, ours: str, unit: str, engines: tuple[str, ...]) -> Issue:
    return Issue(
        "error",
        f"Unknown field `{name}`; ftlab has `{ours}` instead, which is {unit}. Give that.",
        code="unknown_field",
        where=name,
        blocks=engines,
    )


def _unknown_field(
    name: str, value: Any, ours: str | None, model: type[BaseModel], engines: tuple[str, ...]
) -> Issue:
    if ours is None:
        advice = "Take it out; the fields are listed in the form and in `JobSpec`'s help."
    else:
        advice = f"ftlab calls it `{ours}`."
    return Issue(
        "error",
        f"Unknown field `{name}`; a spec takes only the fields of JobSpec. {advice}",
        code="unknown_field",
        where=name,
        blocks=engines,
        fix={name: None, ours: value} if ours and _takes(model, ours, value) else {name: None},
    )


def _takes(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether a field takes a value; not if the other tool's unit is another."""
    try:
        model(**{name: value})
    except ValidationError:
        return False
    return True


def _bad_value(name: str, value: Any, field: FieldInfo, engines: tuple[str, ...]) -> Issue:
    nearest = _nearest(value, field)
    advice = "Leave it out or give such a value." if nearest is None else f"Use {nearest!r}."
    # What is nested may hold anything, a key among it.
    given = "a mapping" if isinstance(value, Mapping) else shown(value)
    return Issue(
        "error",
        f"{name} is {given}; it takes {_bounds(value, field)}. {advice}",
        code="bad_value",
        where=name,
        blocks=engines,
        fix=None if nearest is None else {name: nearest},
    )


def _bounds(value: Any, field: FieldInfo) -> str:
    """What the field takes; the bound that all numbers have is named to who goes beyond it."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    beyond = is_number and value > LARGEST
    return allowed(field) + (f", below {LARGEST:,}" if beyond else "")


LONGEST_SHOWN = 60  # characters of a value in a message
SAFE_BITS = 1024  # Python refuses to write out whole numbers of more than 4,300 digits


class _Brief(Repr):
    """What a message shows of a value, without building more of it: a few kilobytes of YAML can
    stand for gigabytes of lists in lists."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 3, 20, 20, 20
        self.maxstring = self.maxother = self.maxlong = 2 * LONGEST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() <= SAFE_BITS:
            return super().repr_int(x, level)
        return f"a whole number of about {math.log10(abs(x)):,.0f} digits"


_BRIEFLY = _Brief()


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = _BRIEFLY.repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "…"


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for kind in get_args(annotation) if kind is not type(None)]
    return [annotation]


def _kind_in_words(kind: Any, metadata: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        metadata = [rule for hint in inner for rule in getattr(hint, "metadata", [hint])]
    if get_origin(kind) is Literal:
        return ", ".join(repr(choice) for choice in get_args(kind))
    if kind is bool:
        return "True, False"
    if kind is int:
        return "a whole number" + _bounds_in_words(metadata)
    if kind is float:
        return "a number" + _bounds_in_words(metadata)
    if get_origin(kind) is tuple:
        names = get_args(kind)[0]
        known = ", ".join(map(repr, get_args(names))) if get_origin(names) is Literal else "names"
        return f"a list of {known}"
    return "text" + _bounds_in_words(metadata)


def _bounds_in_words(metadata: list[Any]) -> str:
    words = {
        "gt": "above {}",
        "ge": "of at least {}",
        "lt": "below {}",
        "le": "of at most {}",
        "min_length": "of at least {} character",
        "max_length": "of at most {} characters",
        "pattern": "of letters, digits, '.', '_' and '-'",
    }
    parts = [
        text.format(f"{bound:g}" if isinstance(bound, float) else bound)
        for rule in metadata
        for attribute, text in words.items()
        if (bound := getattr(rule, attribute, None)) is not None and bound != LARGEST
    ]
    return " " + " and ".join(parts) if parts else ""


def _nearest(value: Any, field: FieldInfo) -> Any:
    """The allowed value that was most likely meant, or None when that is a guess."""
    choices = [
        choice
        for kind in alternatives(field.annotation)
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]
    if isinstance(value, str) and choices:
        texts, given = [str(choice) for choice in choices], value.lower()
        begun = [text for text in texts if given.startswith(text)]  # adamw_torch is an adamw
        close = begun or difflib.get_close_matches(given, texts, n=1)
        return max(close, key=len) if close else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for rule in field.metadata:
            if (low := getattr(rule, "ge", None)) is not None and value < low:
                return low
            high = getattr(rule, "le", None)
            if high not in (None, LARGEST) and value > high:  # nobody means 9 × 10^15
                return high
    return None
