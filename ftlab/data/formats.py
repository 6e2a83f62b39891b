"""The shapes a training row can have, and what can be wrong with one.

A format is a class with `matches(row)`, `problems(row)` and the keys that it knows. The rules are
those of Together's documentation and of its SDK 2.14.0, the last one that checked content; it
stops at the first fault of a file, this reports all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from ftlab.issues import shown

BOTH = ("together", "local")
TOGETHER = ("together",)
ROLES = ("system", "user", "assistant", "tool")
# What other formats call them.
FOREIGN_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
FOREIGN_ROLES |= {"ai": "assistant", "function": "tool", "developer": "system"}

Row = Mapping[str, Any]


class Problem(NamedTuple):
    """One thing wrong with one row, in the three facts."""

    code: str
    where: str
    """JSON path in the row, such as `messages[1].role`."""
    message: str
    blocks: tuple[str, ...] = BOTH
    level: str = "error"
    value: str = ""
    """What tells one kind of this problem from another, such as the name of an unknown role."""
    fix: str = ""
    """Name of the repair that takes it away, where one can."""


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
        yield from message_problems(row["messages"], "messages")
        if (
            isinstance(row["messages"], list)
            and row["messages"]
            and not any(_may_be_answer(m) for m in row["messages"])
        ):
            yield Problem(
                "no_assistant",
                "messages",
                'No message is from "assistant"; a conversation needs at least one to train on. '
                "Add the answer or take the row out.",
            )


def _may_be_answer(message: Any) -> bool:
    """From the assistant, or from a role that is wrong and so may stand for it."""
    return isinstance(message, dict) and message.get("role") not in set(ROLES) - {"assistant"}


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
            yield from message_problems(given["messages"], "input.messages")
            yield from _ends_with_answer(given["messages"])
        for key in ("preferred_output", "non_preferred_output"):
            yield from _output_problems(row[key], key)


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
    """Everything wrong with the shape of a row."""
    known = detect(row)
    return [_unknown_format(row)] if known is None else list(known.problems(row))


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
    return Problem(
        "unknown_format",
        "",
        f"The keys are {keys}; a row takes messages, or prompt and completion, or text, or input "
        "with preferred_output and non_preferred_output. Rename the keys or convert the file.",
    )


def message_problems(messages: Any, path: str) -> Iterator[Problem]:
    """Everything wrong with a list of chat messages."""
    if not isinstance(messages, list) or not messages:
        yield Problem(
            "bad_messages",
            path,
            f"{path} is {shown(messages)}; it takes a list of at least one message. "
            'Write [{"role": "user", "content": …}, {"role": "assistant", "content": …}].',
        )
        return
    for index, message in enumerate(messages):
        yield from _one_message(message, f"{path}[{index}]")
    yield from _role_order(messages, path)


def _one_message(message: Any, path: str) -> Iterator[Problem]:
    if not isinstance(message, dict):
        yield Problem(
            "bad_message",
            path,
            f"{path} is {shown(message)}; a message is an object with role and content. "
            'Write {"role": "user", "content": …}.',
        )
        return
    yield from _role_problems(message, path)
    yield from _content_problems(message, path)
    if "weight" in message and (
        not isinstance(message["weight"], int) or message["weight"] not in (0, 1)
    ):
        yield Problem(
            "bad_weight",
            f"{path}.weight",
            f"{path}.weight is {shown(message['weight'])}; a message's weight is 0 (not trained) "
            "or 1. Use 0 or 1; a weight for the whole row goes beside `messages`.",
        )


def _role_problems(message: dict[str, Any], path: str) -> Iterator[Problem]:
    role = message.get("role")
    if role in ROLES:
        return
    known = ", ".join(ROLES)
    if "role" not in message:
        text = f"{path} has no role; it takes one of {known}. Add the role."
    else:
        name = str(role).lower()
        close = [FOREIGN_ROLES[name]] if name in FOREIGN_ROLES else None
        close = close or difflib.get_close_matches(name, ROLES, n=1)
        cure = f'Use "{close[0]}".' if close else "Correct the role."
        text = f"{path}.role is {shown(role)}; it takes one of {known}. {cure}"
    yield Problem("bad_role", f"{path}.role", text, value=shown(role))


def _content_problems(message: dict[str, Any], path: str) -> Iterator[Problem]:
    content = message.get("content")
    calls_tools = message.get("role") == "assistant" and bool(message.get("tool_calls"))
    if isinstance(content, list):
        yield from _part_problems(content, f"{path}.content")
    elif not isinstance(content, str) and not (content is None and calls_tools):
        found = f"is {shown(content)}" if "content" in message else "is missing"
        yield Problem(
            "bad_content",
            f"{path}.content",
            f"{path}.content {found}; it takes text (or, on an assistant's turn with tool_calls, "
            "nothing). Give the text.",
        )
    elif message.get("role") == "assistant" and not calls_tools and not (content or "").strip():
        yield Problem(
            "empty_answer",
            f"{path}.content",
            f"{path}.content is empty; an answer needs text to train on. "
            "Write the answer or take the row out.",
            blocks=(),
            level="warning",
        )


def _part_problems(parts: list[Any], path: str) -> Iterator[Problem]:
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        if kind == "image_url":
            yield Problem(
                "image",
                f"{path}[{index}]",
                f"{path}[{index}] is an image; the embedded trainer takes text only. "
                "Train this file on a hosted vision model, or take the images out.",
                blocks=("local",),
            )
            continue
        yield Problem(
            "bad_part",
            f"{path}[{index}]",
            f'{path}[{index}] is {shown(part)}; a part is {{"type": "text", "text": …}} or '
            '{"type": "image_url", …}. Correct the part, or give plain text as content.',
        )


def _role_order(messages: list[Any], path: str) -> Iterator[Problem]:
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages]
    for index in range(1, len(roles)):
        if roles[index] == roles[index - 1] and roles[index] in ("system", "user", "assistant"):
            yield Problem(
                "same_role_twice",
                f"{path}[{index}].role",
                f'Two messages in a row are from "{roles[index]}" (the second at {path}[{index}]); '
                "user and assistant should take turns. Join the two messages into one.",
                blocks=(),
                level="warning",
            )
    if path == "messages" and roles[-1] not in ("assistant", None) and "assistant" in roles:
        yield Problem(
            "last_not_assistant",
            f"{path}[{len(roles) - 1}].role",
            f'The last message is from "{roles[-1]}"; a row should end with "assistant", since '
            "nothing after the last answer is trained. Add the answer or cut the row there.",
            blocks=(),
            level="warning",
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


def _output_problems(output: Any, path: str) -> Iterator[Problem]:
    if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
        yield Problem(
            "bad_output",
            path,
            f"{path} is {shown(output)}; it takes a list with exactly one assistant message. "
            'Write [{"role": "assistant", "content": …}].',
        )
        return
    message = output[0]
    if message.get("role") != "assistant":
        yield Problem(
            "bad_role",
            f"{path}[0].role",
            f'{path}[0].role is {shown(message.get("role"))}; an output is from "assistant". '
            'Use "assistant".',
        )
    yield from _content_problems(message, f"{path}[0]")


def _text_problems(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, list):
        yield from _part_problems(value, path)
    elif not isinstance(value, str):
        yield Problem(
            "bad_text",
            path,
            f"{path} is {shown(value)}; it takes text. Put the value in quotes or correct it.",
        )
    elif not value.strip() and path != "prompt":
        yield Problem(
            "empty_answer",
            path,
            f"{path} is empty; it needs text to train on. Write the text or take the row out.",
            blocks=(),
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
            )
