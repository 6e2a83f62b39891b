"""Where the texts of a row stand, for whoever changes them; anything may stand in the row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftlab.data.formats import messages_of

Row = dict[str, Any]
READ_TEXTS = ("content", "reasoning", "reasoning_content")
"""Keys of a message whose texts a model reads."""
OUTPUTS = ("preferred_output", "non_preferred_output")


def texts(row: Row) -> Iterator[tuple[Any, Any, str]]:
    """(object or list, key in it, text) of everything in a row that a model reads as text."""
    for key in ("prompt", "completion", "text"):
        yield from texts_at(row, key)
    for message in all_messages(row):
        for key in READ_TEXTS:
            yield from texts_at(message, key)
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            made = call.get("function") if isinstance(call, dict) else None
            if isinstance(made, dict):
                yield from texts_at(made, "arguments")


def texts_at(holder: Row, key: str) -> Iterator[tuple[Any, Any, str]]:
    value = holder.get(key)
    if isinstance(value, str):
        yield holder, key, value
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part, "text", part["text"]


def all_messages(row: Row) -> list[Row]:
    """The messages of a row and of its outputs, as far as they are objects."""
    return [m for m in (*messages_of(row), *outputs_of(row)) if isinstance(m, dict)]


def outputs_of(row: Row) -> list[Any]:
    lists = [row[key] for key in OUTPUTS if isinstance(row.get(key), list)]
    return [message for output in lists for message in output]
