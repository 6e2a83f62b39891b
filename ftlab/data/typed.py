"""Rows that are plainly right, decoded and checked in one pass.

`clean(line)` answers only for rows in which `formats.row_problems` finds nothing; whatever is in
the least unusual (tools, weights, parts, an empty answer) gets None and goes the
exact way. A test holds the two against each other. What JSON itself hides is not seen here: a
key that stands twice in an object (the quotes of a block are counted for that).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from ftlab.data.formats import row_problems

Role = Literal["system", "user", "assistant", "tool"]
INSTRUCTION, GENERAL = ("prompt", "completion"), ("text",)


class Clean(NamedTuple):
    """What a scan needs to know of a row that has no problem."""

    format: str
    roles: tuple[str, ...]
    """Of the messages, or of the parts: ("prompt", "completion"), ("text",)."""
    contents: list[str]
    """One text per role; of a preference row both outputs come last, the preferred one first."""


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Role
    content: str


class _Conversation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]


class _Instruction(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt: str
    completion: str


class _General(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str


_Output = Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=1)]


class _Preference(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input: _Conversation
    preferred_output: _Output
    non_preferred_output: _Output


Decode = Callable[[bytes], Clean | None]

_conversation = msgspec.json.Decoder(_Conversation).decode
_instruction = msgspec.json.Decoder(_Instruction).decode
_general = msgspec.json.Decoder(_General).decode
_preference = msgspec.json.Decoder(_Preference).decode


class _Orders(dict[tuple[str, ...], bool]):
    """Orders of roles → whether nothing is wrong with them, asked once of the exact rules."""

    def __missing__(self, roles: tuple[str, ...]) -> bool:
        row = {"messages": [{"role": role, "content": "a"} for role in roles]}
        right = "tool" not in roles and not row_problems(row)
        if len(self) < 10_000 and len(roles) <= 64:
            self[roles] = right
        return right


_ORDERS = _Orders()


def _has_empty(contents: list[str]) -> bool:
    if "" in contents:
        return True
    # White space alone shows in the first character; a generator would take twice as long.
    for text in contents:  # noqa: SIM110
        if text[0].isspace() and text.isspace():
            return True
    return False


def _clean_conversation(line: bytes) -> Clean | None:
    messages = _conversation(line).messages
    roles = tuple([message.role for message in messages])
    contents = [message.content for message in messages]
    if not _ORDERS[roles] or _has_empty(contents):
        return None
    return Clean("conversation", roles, contents)


def _clean_instruction(line: bytes) -> Clean | None:
    row = _instruction(line)
    contents = [row.prompt, row.completion]
    return None if _has_empty(contents) else Clean("instruction", INSTRUCTION, contents)


def _clean_general(line: bytes) -> Clean | None:
    contents = [_general(line).text]
    return None if _has_empty(contents) else Clean("general", GENERAL, contents)


def _clean_preference(line: bytes) -> Clean | None:
    row = _preference(line)
    messages = [*row.input.messages, *row.preferred_output, *row.non_preferred_output]
    roles = tuple([message.role for message in messages])
    contents = [message.content for message in messages]
    answered = roles[-2:] == ("assistant", "assistant") and roles[-3] == "user"
    # With an answer behind it, the input must be a right conversation.
    if not answered or not _ORDERS[roles[:-1]] or _has_empty(contents):
        return None
    return Clean("preference", roles, contents)


DECODERS: dict[str, Decode] = {
    "conversation": _clean_conversation,
    "instruction": _clean_instruction,
    "general": _clean_general,
    "preference": _clean_preference,
}


UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def clean(line: bytes, format_name: str) -> Clean | None:
    """The row when it is of that format and nothing is wrong with it, else None."""
    try:
        return DECODERS[format_name](line)
    except UNDECODABLE:
        return None


def n_quotes_of(row: Clean) -> int:
    """Quotes around its keys and texts, as it stands in a file; a key more, and there are more."""
    match row.format:
        case "conversation":
            return 2 + 8 * len(row.roles)
        case "preference":
            return 8 + 8 * len(row.roles)
        case _:
            return 4 * len(row.roles)


def of_row(format_name: str, row: dict[str, Any]) -> Clean:
    """The same view of a row that went the exact way and has no problem that stops training."""
    match format_name:
        case "instruction":
            parts = [("prompt", row["prompt"]), ("completion", row["completion"])]
        case "general":
            parts = [("text", row["text"])]
        case "preference":
            given = row["input"]["messages"]
            messages = [*given, *row["preferred_output"], *row["non_preferred_output"]]
            parts = [(m["role"], m.get("content")) for m in messages]
        case _:
            parts = [(m["role"], m.get("content")) for m in row["messages"]]
    return Clean(format_name, tuple(r for r, _ in parts), [plain(c) for _, c in parts])


def as_row(row: Clean) -> dict[str, Any]:
    """The row as it stands in a file."""
    if row.format in ("instruction", "general"):
        return dict(zip(row.roles, row.contents, strict=True))
    messages = [
        {"role": role, "content": content}
        for role, content in zip(row.roles, row.contents, strict=True)
    ]
    if row.format == "conversation":
        return {"messages": messages}
    *given, preferred, other = messages
    outputs = {"preferred_output": [preferred], "non_preferred_output": [other]}
    return {"input": {"messages": given}, **outputs}


def plain(content: Any) -> str:
    """The text of a content: as it is, or of its parts; empty for none."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
    return ""


def hashes(row: Clean, besides: str = "") -> tuple[int, int, int]:
    """Hashes of (row, prompt, last answer), signed 64-bit: equal where the decoded texts are.

    They hold within one process; Python salts them anew in the next.
    """
    texts = row.contents
    n_last = 2 if row.format == "preference" else 1
    prompt = hash(tuple(texts[:-n_last])) if len(texts) > n_last else 0
    return hash((row.roles, besides, prompt, *texts[-n_last:])), prompt, hash(texts[-n_last])
