"""Messages of other formats, one after the other, as ours: roles, tool calls and their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.issues import shown

ROLE_OF = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "bot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(("observation", "tool", "function", "tool_response"), "tool"),
}
KEPT = ("name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content")


class CannotConvert(UnreadableData):
    """A row that has no true form in the canonical format; the text says why."""


def unfit(where: str, found: Any, takes: str) -> CannotConvert:
    """The refusal of a value."""
    return CannotConvert(f"{where} is {shown(found)}; it takes {takes}. Correct it in the source.")


def say(role: str, content: Any, where: str = "content") -> dict[str, Any]:
    """A message. Raises CannotConvert."""
    return {"role": role, "content": as_text(content, where)}


def as_text(value: Any, where: str) -> str:
    """Text, and numbers as text. Raises CannotConvert."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise unfit(where, value, "text")


def in_json(value: Any, where: str) -> Any:
    """What a text says in JSON; anything else as it is. Raises CannotConvert."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise unfit(where, value, "JSON") from exc


def tools_of(value: Any, where: str = "tools") -> list[dict[str, Any]]:
    """Tools as `tools` holds them, from functions with or without their wrapping."""
    found = [] if value == "" else in_json(value, where)
    if not isinstance(found, list):
        raise unfit(where, value, "a list of functions")
    tools = []
    for place, tool in enumerate(found):
        if not isinstance(tool, dict) or not ("function" in tool or "name" in tool):
            raise unfit(f"{where}[{place}]", tool, "a function with a name")
        wrapped = isinstance(tool.get("function"), dict)
        tools.append(tool if wrapped else {"type": "function", "function": tool})
    return tools


def with_tools(holder: dict[str, Any], value: Any, where: str = "tools") -> dict[str, Any]:
    """A row or an input, with `tools` where there are any."""
    tools = tools_of(value, where) if value else []
    return {**holder, "tools": tools} if tools else holder


class Turns:
    """Messages so far, and the calls whose answers have not come."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._waiting: list[str] = []
        self._n_calls = 0

    def add(self, item: Any, where: str) -> None:
        """The next message, as {"from", "value"} or {"role", "content"}. Raises CannotConvert."""
        if not isinstance(item, Mapping):
            raise unfit(where, item, "a message with a role and content")
        names = ("from", "value") if "from" in item else ("role", "content")
        found, content = item.get(names[0]), item.get(names[1])
        role = ROLE_OF.get(found.lower()) if isinstance(found, str) else None
        if role is None:
            known = ", ".join(sorted(ROLE_OF))
            raise unfit(f"{where}.{names[0]}", found, f"one of {known}")
        where = f"{where}.{names[1]}"
        if role == "call":
            self.call(content, where)
        elif item.get("function_call"):
            self.call(item["function_call"], where, content)
        elif role == "tool" and not item.get("tool_call_id"):
            self.answer(content, where)
        else:
            self._keep(role, item, content, where)

    def call(self, calls: Any, where: str, said: Any = None) -> None:
        """An assistant's turn that calls functions, given as {"name", "arguments"} or several."""
        calls = in_json(calls, where)
        made = [
            self._one_call(call, where) for call in (calls if isinstance(calls, list) else [calls])
        ]
        if not made:
            raise unfit(where, calls, "at least one call")
        self._waiting = [call["id"] for call in made]
        self.messages.append(
            {"role": "assistant", "content": as_text(said or "", where), "tool_calls": made}
        )

    def answer(self, result: Any, where: str) -> None:
        """What a function gave back; it belongs to the first call that has no answer."""
        if not self._waiting:
            raise CannotConvert(
                f"{where} is a function's result and no call before it waits for one; a result "
                "follows its call. Put the call before it, or take the result out."
            )
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        self.messages.append(
            {"role": "tool", "tool_call_id": self._waiting.pop(0), "content": text}
        )

    def _one_call(self, call: Any, where: str) -> dict[str, Any]:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise unfit(where, call, 'a call, as {"name": …, "arguments": {…}}')
        given = call.get("arguments", {})
        if not isinstance(in_json(given, f"{where}, arguments"), dict):
            raise unfit(f"{where}, arguments", given, "a JSON object")
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        self._n_calls += 1
        function = {"name": call["name"], "arguments": text}
        return {"id": f"call_{self._n_calls}", "type": "function", "function": function}

    def _keep(self, role: str, item: Mapping[str, Any], content: Any, where: str) -> None:
        more = {key: item[key] for key in KEPT if item.get(key) is not None}
        if content is None and "tool_calls" in more:
            content = ""
        message = {"role": role, "content": content, **more}
        if not isinstance(content, list):  # parts stay what they are
            message["content"] = as_text(content, where)
        weight = item.get("weight")
        if weight is not None and role == "assistant":
            if weight not in (0, 1):
                raise unfit(f"{where}, weight", weight, "0 or 1")
            message["weight"] = int(weight)
        self.messages.append(message)


def turns_of(items: Any, where: str) -> list[dict[str, Any]]:
    """A list of foreign messages as ours. Raises CannotConvert."""
    if not isinstance(items, list) or not items:
        raise unfit(where, items, "a list of at least one message")
    turns = Turns()
    for place, item in enumerate(items):
        turns.add(item, f"{where}[{place}]")
    return turns.messages
