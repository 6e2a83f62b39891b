"""What a row of data asks, and what it takes for the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ftlab.data.template import Message, joined_text


class Question(NamedTuple):
    """A row without its last answer."""

    system: str
    history: tuple[Message, ...]
    """The turns before the prompt, without the system prompt."""
    prompt: str
    """What is asked last; empty where the row's last turn before its answer is no user's."""
    tools: list[Any] | None
    reference: str
    """The answer of the row, the preferred one of two."""


def question_of(row: Mapping[str, Any]) -> Question | None:
    """None where a row asks nothing."""
    if "completion" in row:
        texts = [str(joined_text(row.get(name, ""))) for name in ("prompt", "completion")]
        return Question("", (), texts[0], None, texts[1])
    asked = row["input"] if row.get("preferred_output") else row
    messages = [*asked.get("messages", []), *row.get("preferred_output", [])]
    last = next((i for i in reversed(range(len(messages))) if _is_answer(messages[i])), 0)
    if not last:
        return None
    system = message_text(messages[0]) if messages[0].get("role") == "system" else ""
    turns = messages[bool(system) : last]
    given = asked.get("tools") or None
    tools: list[Any] | None = json.loads(given) if isinstance(given, str) else given
    reference = message_text(messages[last])
    if turns and turns[-1].get("role") == "user":
        return Question(system, tuple(turns[:-1]), message_text(turns[-1]), tools, reference)
    return Question(system, tuple(turns), "", tools, reference) if turns else None


def message_text(message: Message) -> str:
    """What a message says; calls of tools as JSON, one on a line."""
    content = joined_text(message.get("content"))
    calls = _calls(message.get("tool_calls"))
    return "\n".join([*([str(content)] if content else []), *calls])


def _calls(calls: Any) -> Sequence[str]:
    known = [one for one in calls if isinstance(one, Mapping)] if isinstance(calls, list) else []
    return [json.dumps(one.get("function", one), ensure_ascii=False) for one in known]


def _is_answer(message: Message) -> bool:
    return message.get("role") == "assistant"
