"""Readers of rows in the shapes of other tools.

A reader knows one shape: `matches(row)` by its keys, `convert(row)` into a canonical row. What it
does not carry over (ids, scores) is left behind; what it can't carry over truly, it refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from ftlab.data.problems import Row
from ftlab.data.turns import CannotConvert, as_text, say, turns_of, unfit, with_tools

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
PAIR = ("chosen", "rejected")
NO_INPUT = ("", "noinput", "no input")
"""What stands in Alpaca's `input` where there is none."""
Message = dict[str, Any]


class Reader(ABC):
    """One foreign shape of rows."""

    name = ""

    @abstractmethod
    def matches(self, row: Row) -> bool:
        """Whether a row has this shape, by its keys."""

    @abstractmethod
    def convert(self, row: Row) -> dict[str, Any]:
        """The canonical row. Raises CannotConvert."""

    def group(self, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """Numbered rows as `convert` takes them; a shape may spread one over several."""
        return rows


class ShareGPT(Reader):
    """{"conversations": [{"from", "value"}, …]}, with tools; with two answers it is a pair."""

    name = "ShareGPT"

    def matches(self, row: Row) -> bool:
        return "conversations" in row

    def convert(self, row: Row) -> dict[str, Any]:
        messages = [*system_of(row), *turns_of(row["conversations"], "conversations")]
        if not any(key in row for key in PAIR):
            return with_tools({"messages": messages}, row.get("tools"))
        sides = [_side(row, key) for key in PAIR]
        return pair(with_tools({"messages": messages}, row.get("tools")), *sides)


class Alpaca(Reader):
    """{"instruction", "input", "output"}, with system and history, and as pairs of answers; also
    by the names context and response, as Dolly has them."""

    name = "Alpaca"

    def matches(self, row: Row) -> bool:
        return "instruction" in row and (
            "output" in row or "response" in row or all(key in row for key in PAIR)
        )

    def convert(self, row: Row) -> dict[str, Any]:
        messages = system_of(row)
        for number, turn in enumerate(_history(row)):
            if not isinstance(turn, (list, tuple)) or len(turn) != 2:
                raise unfit(f"history[{number}]", turn, "a question and its answer")
            roles = ("user", "assistant")
            messages += [say(r, t, f"history[{number}]") for r, t in zip(roles, turn, strict=True)]
        question = [as_text(row["instruction"], "instruction")]
        inputs = [as_text(row[key], key) for key in ("input", "context") if row.get(key)]
        question += [text for text in inputs if text.strip("<> ").lower() not in NO_INPUT]
        messages.append(say("user", "\n\n".join(question)))
        if all(key in row for key in PAIR):
            return pair({"messages": messages}, *(_side(row, key) for key in PAIR))
        key = "output" if "output" in row else "response"
        return {"messages": [*messages, say("assistant", row[key], key)]}


class Preferences(Reader):
    """TRL's {"prompt", "chosen", "rejected"}, as texts or messages. Without a prompt, it is what
    both answers begin with, as messages or as "Human:" and "Assistant:" in one text."""

    name = "TRL preference"

    def matches(self, row: Row) -> bool:
        return all(key in row for key in PAIR)

    def convert(self, row: Row) -> dict[str, Any]:
        chosen, rejected = (_side(row, key) for key in PAIR)
        shared = _n_shared(chosen, rejected)
        messages = [*system_of(row), *_prompt(row, chosen[:shared])]
        if not messages:
            raise CannotConvert(
                "The row has chosen and rejected and no prompt; both answer one prompt. Give it "
                "in a column `prompt`, or begin both with the same messages."
            )
        given = with_tools({"messages": messages}, row.get("tools"))
        return pair(given, chosen[shared:], rejected[shared:])


class FunctionCalls(Reader):
    """OpenAI's messages of before `tools`: `functions`, `function_call`, the role function."""

    name = "OpenAI functions"

    def matches(self, row: Row) -> bool:
        messages = row.get("messages")
        if not isinstance(messages, list):
            return False
        return "functions" in row or any(
            isinstance(m, dict) and (m.get("role") == "function" or m.get("function_call"))
            for m in messages
        )

    def convert(self, row: Row) -> dict[str, Any]:
        messages = turns_of(row["messages"], "messages")
        where = "functions" if row.get("functions") else "tools"
        return with_tools({"messages": messages}, row.get(where), where)


READERS: tuple[Reader, ...] = (ShareGPT(), Alpaca(), Preferences(), FunctionCalls())


def pair(given: dict[str, Any], chosen: list[Message], rejected: list[Message]) -> dict[str, Any]:
    """A canonical row of two answers. Raises CannotConvert."""
    for key, side in zip(PAIR, (chosen, rejected), strict=True):
        if len(side) != 1 or side[0]["role"] != "assistant":
            raise unfit(key, [m["role"] for m in side], "one answer of the assistant")
    return {"input": given, "preferred_output": chosen, "non_preferred_output": rejected}


def system_of(row: Row) -> list[Message]:
    """The system message of a row that has its text in a column."""
    return [say("system", row["system"], "system")] if row.get("system") else []


def _history(row: Row) -> list[Any]:
    history = row.get("history") or []
    if not isinstance(history, list):
        raise unfit("history", history, "a list of questions and answers")
    return history


def _side(row: Row, key: str) -> list[Message]:
    """An answer as messages, with what it repeats of the prompt."""
    side = row.get(key)
    if isinstance(side, str) and side.startswith(HUMAN):
        return _transcript(side)
    if isinstance(side, dict):
        return turns_of([side], key)
    return turns_of(side, key) if isinstance(side, list) else [say("assistant", side, key)]


def _transcript(text: str) -> list[Message]:
    """The turns of a text with "Human:" and "Assistant:" before each."""
    messages = []
    for part in text.split(HUMAN)[1:]:
        asked, *answers = part.split(ASSISTANT)
        messages.append(say("user", asked.strip()))
        messages += [say("assistant", answer.strip()) for answer in answers]
    return messages


def _n_shared(chosen: list[Message], rejected: list[Message]) -> int:
    """How many messages both begin with; the last one of each is its answer."""
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared


def _prompt(row: Row, shared: list[Message]) -> list[Message]:
    """The messages of the prompt, which the answers may repeat."""
    prompt = row.get("prompt")
    if not prompt:
        return shared
    if isinstance(prompt, str) and prompt.startswith(HUMAN):
        given = [m for m in _transcript(prompt) if m["content"]]
    else:
        given = turns_of(prompt, "prompt") if isinstance(prompt, list) else [say("user", prompt)]
    begins_alike = shared[: len(given)] == given or isinstance(prompt, str)
    return shared if shared and begins_alike else [*given, *shared]
