"""The shapes a training row can have, and what can be wrong with one.

A format is a class with `matches(row)`, `problems(row)` and the keys that it knows. What the
hosted service refuses follows its SDK, which stops at the first fault of a file where this reports
all: for the file and its lines version 3.1.1, for what is in a row version 2.14.0, the last that
looked there. Two differences from the latter are meant, and tests prove that there are no others:

- blank lines and white space around a row are passed over, as 3.1.1 passes them over;
- a row may have a `weight` of 0 or more beside its text or messages, which 2.14.0 takes for a key
  too many: the service's documentation on preparing data offers it for all JSONL formats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from ftlab.data.messages import FOREIGN_ROLES, ROLES, message_problems, output_problems
from ftlab.data.parts import part_problems
from ftlab.data.problems import (
    BOTH,
    LOCAL,
    NOBODY,
    TOGETHER,
    Parsed,
    Problem,
    Repeated,
    Row,
    about_whole,
    half_character,
    has_half_character,
    in_words,
    is_number,
)
from ftlab.issues import shown

__all__ = ["BOTH", "FOREIGN_ROLES", "LOCAL", "NOBODY", "ROLES", "TOGETHER", "Problem", "Row"]

LARGEST_FILE = int(50.1 * 2**30)
"""Bytes that the service's SDK uploads."""
LINES_OR_TOKENS = (".jsonl", ".parquet")
STRUCTURAL = frozenset(
    {"not_utf8", "not_json", "not_object", "carriage_return", "byte_order_mark", "no_rows"}
    | {"suffix", "too_large", "no_file", "unreadable", "broken", "other_kind", "gzip", "csv"}
    | {"json_array", "pretty_printed", "no_header", "parquet_columns"}
)
"""Codes of what keeps the service's SDK of today from uploading a file at all."""


class Format(Protocol):
    name: str
    keys: frozenset[str]
    """Top-level keys that the service accepts in a row of this format."""
    required: tuple[str, ...]

    def matches(self, row: Row) -> bool: ...
    def problems(self, row: Row) -> Iterator[Problem]: ...


class Conversation:
    """{"messages": [{"role", "content"}, …]}, with tools, tool calls, weights and reasoning."""

    name = "conversation"
    keys = frozenset({"messages", "tools", "weight"})
    required: tuple[str, ...] = ("messages",)

    def matches(self, row: Row) -> bool:
        return "messages" in row

    def problems(self, row: Row) -> Iterator[Problem]:
        yield from _extra_keys(row, self)
        yield from _sample_weight(row)
        yield from message_problems(row["messages"], "messages", needs_answer=True)


class PromptCompletion:
    """{"prompt", "completion"}: trained on the completion."""

    name = "instruction"
    keys = frozenset({"prompt", "completion", "weight"})
    required: tuple[str, ...] = ("prompt", "completion")

    def matches(self, row: Row) -> bool:
        return "prompt" in row and "completion" in row

    def problems(self, row: Row) -> Iterator[Problem]:
        yield from _extra_keys(row, self)
        yield from _sample_weight(row)
        for key in self.required:
            yield from _text_problems(row[key], key)


class Text:
    """{"text"}: plain text, every token is trained."""

    name = "general"
    keys = frozenset({"text", "weight"})
    required: tuple[str, ...] = ("text",)

    def matches(self, row: Row) -> bool:
        return "text" in row

    def problems(self, row: Row) -> Iterator[Problem]:
        yield from _extra_keys(row, self)
        yield from _sample_weight(row)
        yield from _text_problems(row["text"], "text")


class Preference:
    """{"input": {"messages"}, "preferred_output": [one], "non_preferred_output": [one]}."""

    name = "preference"
    keys = frozenset({"input", "preferred_output", "non_preferred_output", "weight"})
    required: tuple[str, ...] = ("input", "preferred_output", "non_preferred_output")

    def matches(self, row: Row) -> bool:
        return all(key in row for key in self.required)

    def problems(self, row: Row) -> Iterator[Problem]:
        yield from _extra_keys(row, self)
        yield from _sample_weight(row)
        given = row["input"]
        if not isinstance(given, dict) or "messages" not in given:
            yield Problem(
                "bad_input",
                "input",
                f"input is {shown(given)}; a preference row takes an object with `messages`. "
                'Write {"messages": [{"role": "user", "content": …}]}.',
            )
        else:
            yield from message_problems(given["messages"], "input.messages", needs_answer=False)
            yield from _ends_with_answer(given["messages"])
            yield from _unknown_input_keys(given)
        for key in ("preferred_output", "non_preferred_output"):
            yield from output_problems(row[key], key)


FORMATS: tuple[Format, ...] = (Conversation(), PromptCompletion(), Preference(), Text())


def detect(row: Row) -> Format | None:
    """The format whose keys a row has; where it has those of two, the first of `FORMATS`."""
    return next((known for known in FORMATS if known.matches(row)), None)


def messages_of(row: Row) -> list[Any]:
    """The messages of a conversation, or of a preference row's input; else none."""
    holder = row.get("input") if "messages" not in row else row
    messages = holder.get("messages") if isinstance(holder, dict) else None
    return messages if isinstance(messages, list) else []


def row_problems(row: Row) -> list[Problem]:
    """Everything wrong with the shape of a row, and with its line where it came from one."""
    known = detect(row)
    found = list(row.problems) if isinstance(row, Parsed) else []
    try:
        found += [_unknown_format(row)] if known is None else known.problems(row)
        found += _odd_values(row, known)
    except RecursionError:
        found.append(_TOO_DEEP)
    return found


def file_problems(path: Path, n_bytes: int) -> list[Problem]:
    """What is wrong with a file before it is read: its suffix, its size."""
    found = []
    if path.suffix not in LINES_OR_TOKENS:
        found.append(_bad_suffix(path))
    if n_bytes > LARGEST_FILE:
        found.append(_too_large(n_bytes))
    if n_bytes == 0:
        found.append(_EMPTY)
    return found


# --- the file --------------------------------------------------------------------------------


_EMPTY = about_whole(
    "no_rows",
    "The file is empty; at least one JSON object on a line of its own is needed. "
    "Write the rows into it.",
)


def _bad_suffix(path: Path) -> Problem:
    found = f"ends in {path.suffix}" if path.suffix else "has no suffix"
    return about_whole(
        "suffix",
        f"{path.name} {found}; the hosted service takes names in .jsonl, and in .parquet for "
        "tokens, in small letters. Rename the file, or convert it where it holds no JSON lines.",
        blocks=TOGETHER,
    )


def _too_large(n_bytes: int) -> Problem:
    return about_whole(
        "too_large",
        f"The file has {n_bytes / 2**30:.1f} GiB; the hosted service takes at most "
        f"{LARGEST_FILE / 2**30:.1f}. Split it.",
        blocks=TOGETHER,
    )


# --- the row ---------------------------------------------------------------------------------


_TOO_DEEP = about_whole(
    "too_deep",
    "The row is nested more deeply than this can follow; rows are a few levels deep. "
    "Correct it or take it out.",
)
_SHAREGPT = Problem(
    "unknown_format",
    "conversations",
    "The row has `conversations`, as ShareGPT's files do; a row takes `messages`. Rename "
    "conversations to messages, from to role (human to user, gpt to assistant) and value to "
    "content.",
    value="ShareGPT",
)


def _unknown_format(row: Row) -> Problem:
    """Why a row fits no format, naming the keys that come closest."""
    if "conversations" in row:
        return _SHAREGPT
    keys = ", ".join(sorted(map(str, row))) or "none"
    return about_whole(
        "unknown_format",
        f"The keys are {keys[:200]}; a row takes messages, or prompt and completion, or text, or "
        "input with preferred_output and non_preferred_output. Rename the keys or convert the "
        "file.",
    )


def _ends_with_answer(messages: Any) -> Iterator[Problem]:
    if not isinstance(messages, list) or not messages:
        return
    last = messages[-1]
    if isinstance(last, dict) and last.get("role") == "assistant":
        yield Problem(
            "input_ends_with_assistant",
            f"input.messages[{len(messages) - 1}].role",
            'The last input message is from "assistant"; the input must end with what is answered. '
            "Move that message into the outputs or take it out.",
        )


def _unknown_input_keys(given: dict[str, Any]) -> Iterator[Problem]:
    for key in given.keys() - {"messages", "tools"}:
        yield Problem(
            "unknown_key",
            f"input.{key}",
            f"input has the key {shown(key)}; it takes messages and tools, and what else it holds "
            "is passed over. Take it out if nothing needs it.",
            blocks=NOBODY,
            level="tip",
            value=shown(key),
        )


def _text_problems(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, list):
        yield from part_problems(value, path, images_allowed=path != "completion")
    elif not isinstance(value, str):
        yield Problem(
            "bad_text",
            path,
            f"{path} is {shown(value)}; it takes text. Put the value in quotes or correct it.",
            value="number" if is_number(value) else "",
            fix="content" if is_number(value) else "",
        )
    elif not value.strip() and path != "prompt":
        yield Problem(
            "empty_answer",
            path,
            f"{path} is empty; it needs text to train on. Write the text or take the row out.",
            blocks=NOBODY,
            level="warning",
        )


def _sample_weight(row: Row) -> Iterator[Problem]:
    weight = row.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < 1e9:
        yield Problem(
            "bad_sample_weight",
            "weight",
            f"weight is {shown(weight)}; a row's weight is a number of 0 or more that multiplies "
            "its loss. Give such a number or leave it out.",
        )


def _extra_keys(row: Row, known: Format) -> Iterator[Problem]:
    for key in row:
        if key not in known.keys:
            yield Problem(
                "extra_key",
                str(key),
                f"The key `{key}` is not part of a row with {', '.join(known.required)}; the "
                f"hosted service takes only {', '.join(sorted(known.keys))}. "
                "Take it out before uploading.",
                blocks=TOGETHER,
                fix="extra_key",
            )


# --- values that JSON readers take differently -----------------------------------------------


def _odd_values(row: Row, known: Format | None) -> Iterator[Problem]:
    """Keys that stand twice, numbers that are none, halves of characters, wherever they are."""
    ours = [(key, row[key]) for key in row if known is None or key in known.keys]
    ahead: list[tuple[str, Any]] = ours[::-1]
    while ahead:
        path, value = ahead.pop()
        if isinstance(value, dict):
            if isinstance(value, Repeated):
                yield repeated_keys(value.names, path)
            ahead += reversed([(f"{path}.{key}", inner) for key, inner in value.items()])
        elif isinstance(value, list):
            ahead += reversed([(f"{path}[{i}]", inner) for i, inner in enumerate(value)])
        elif isinstance(value, str):
            if has_half_character(value):
                yield _half_character(path)
        elif isinstance(value, float) and not math.isfinite(value):
            yield _not_finite(value, path)


def repeated_keys(keys: Sequence[str], path: str) -> Problem:
    names = in_words([f"`{key}`" for key in keys[:3]])
    return Problem(
        "duplicate_key",
        path,
        f"{path or 'The row'} has {names} more than once; in an object each key stands once. The "
        "last one holds here; other programs may take the first. Keep the one that is meant.",
        blocks=NOBODY,
        level="warning",
    )


def _half_character(path: str) -> Problem:
    return Problem(
        "half_character",
        path,
        half_character(path),
        blocks=LOCAL,
        fix="control_characters",
    )


def _not_finite(value: float, path: str) -> Problem:
    return Problem(
        "not_finite",
        path,
        f"{path} is {value}; JSON has finite numbers only, and strict programs refuse the line. "
        "Write a number, a text or null.",
        blocks=NOBODY,
        level="warning",
    )
