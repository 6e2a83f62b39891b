"""A spec as JSON and as TOML; both hold what a person gave, and what was left out stays out.

TOML is read by the standard library, which has no writer. A spec is one flat table of text,
numbers, switches and lists of text, so the writer here is a few lines, and no dependency.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

from ftlab.exchange.ledger import Exported, Fields, Imported
from ftlab.issues import Issue
from ftlab.spec import FIELDS, GROUPS, KNOBS, JobSpec

INDENT = 2
LONGEST_REASON = 200  # characters of what a parser says


def to_json(spec: JobSpec) -> Exported:
    """The spec as one JSON object with the fields that were given, in a fixed order."""
    return Exported(spec.model_dump_json(exclude_unset=True, indent=INDENT) + "\n", [])


def to_toml(spec: JobSpec) -> Exported:
    """The spec as a TOML document, its fields under comments that name their groups.

    TOML has no null, so a None is lost where it is not what leaving the field out means.
    """
    given = spec.model_dump(exclude_unset=True, exclude_none=True)
    parts: list[str] = []
    for group in GROUPS:
        names = [name for name, knob in KNOBS.items() if knob.group == group and name in given]
        lines = [f"{name} = {_toml(given[name])}" for name in names]
        parts += ["\n".join([f"# {group}", *lines]) + "\n"] if lines else []
    fields = Fields(spec, "TOML")
    for name, field in FIELDS.items():
        if fields[name] is None and field.default is not None:
            fields.lose(
                name,
                f"TOML has no such value, and leaves the field out, which means {field.default!r}. "
                "Save the spec as JSON.",
            )
    return Exported("\n".join(parts), fields.lost())


def from_json(text: str) -> Imported:
    """The values of a JSON object; anything else is one issue and no values."""
    return _read(text, json.loads, "JSON")


def from_toml(text: str) -> Imported:
    """The values of a TOML document; anything else is one issue and no values."""
    return _read(text, tomllib.loads, "TOML")


def from_yaml(text: str) -> Imported:
    """The content of a YAML document; anything else than a mapping is one issue and no values."""
    return _read(text, _load_yaml, "YAML")


def _load_yaml(text: str) -> Any:
    import yaml  # only here: the form and the checks do without it

    class Loader(yaml.SafeLoader):
        """Without aliases: a few lines of them stand for gigabytes, or for themselves."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()
                line = event.start_mark.line + 1
                raise ValueError(
                    f"line {line} holds the alias *{event.anchor}; write out what it stands for"
                )
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc).partition("\n")[0]) from exc
    except (
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
    ) as exc:  # of PyYAML's own constructors
        raise ValueError("a value is not what its tag, such as !!int, says") from exc


def _read(text: str, load: Any, form: str) -> Imported:
    try:
        values = load(text)
    except (ValueError, RecursionError) as exc:
        reason = str(exc)[:LONGEST_REASON]
        return unreadable(
            f"The text is no {form} ({reason}); a spec is one {form} object. Correct it."
        )
    if not isinstance(values, dict):
        kind = type(values).__name__
        return unreadable(f"The text holds a {kind}; a spec is one {form} object. Give an object.")
    return Imported({str(name): value for name, value in values.items()}, [], [])


def unreadable(message: str) -> Imported:
    """Nothing could be read, and why."""
    return Imported({}, [Issue("error", message, "unreadable")], [])


def _toml(value: Any) -> str:
    """A value of a spec in TOML's notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's notation of text is TOML's but for one character, which JSON does not escape.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
