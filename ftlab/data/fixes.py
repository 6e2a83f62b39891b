"""The mechanical repairs, each under its name: what it does is the first line of its docstring.

A repair of lines takes bytes, one of texts a text, one of rows changes the row in place. None of
them guesses: where two cures are possible the fault stays, and the row is set aside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ftlab.data.almost_json import as_rows
from ftlab.data.fix_texts import as_utf8, right_encoding, stripped, unix_newlines, without_controls
from ftlab.data.foreign import detect_foreign
from ftlab.data.formats import BOTH, detect, messages_of, row_problems
from ftlab.data.messages import ROLES, cure_of_role, cure_of_weight
from ftlab.data.row_texts import READ_TEXTS, all_messages, outputs_of, texts_at
from ftlab.data.rows import BOM, BadLine, parse_line
from ftlab.errors import FtlabError

Row = dict[str, Any]


class Fix(NamedTuple):
    """One repair; several may share a name when a fault can sit at several depths."""

    name: str
    does: str
    """In words, for the box that chooses it."""
    mend: Callable[[Any], Any]


LINE_FIXES: list[Fix] = []
"""bytes → bytes, in the order in which they are made."""
TEXT_FIXES: list[Fix] = []
"""str → str."""
ROW_FIXES: list[Fix] = []
"""Row → whether it was changed. The first ones decide what the later ones see."""
FILE_FIXES = {
    "to_jsonl": "Write an array, a table or an archive as one row per line.",
    "blank_line": "Leave out blank lines.",
    "duplicate": "Leave out rows that say the same as an earlier one.",
    "one_format": "Set aside the rows that have another format than most.",
}
"""What is decided of lines as a whole."""

Function = Callable[[Any], Any]


def fix(name: str, kind: list[Fix]) -> Callable[[Function], Function]:
    """Register a repair under a name."""

    def register(mend: Function) -> Function:
        kind.append(Fix(name, (mend.__doc__ or "").split("\n")[0], mend))
        return mend

    return register


def known_fixes() -> dict[str, str]:
    """Name → what it does, of all repairs, about in the order in which they are made."""
    found: dict[str, str] = {}
    for one in (*LINE_FIXES, *ROW_FIXES, *TEXT_FIXES):
        found.setdefault(one.name, one.does)
    return {**found, **FILE_FIXES}


# --- lines -----------------------------------------------------------------------------------


@fix("byte_order_mark", LINE_FIXES)
def byte_order_mark(line: bytes) -> bytes:
    """Take away the byte order mark that some editors write."""
    while line.startswith(BOM):
        line = line.removeprefix(BOM)
    return line


@fix("encoding", LINE_FIXES)
def encoding(line: bytes) -> bytes:
    """Turn Windows-1252 and Latin-1 into UTF-8, and undo UTF-8 that was read as those."""
    return as_utf8(line)


@fix("line_endings", LINE_FIXES)
def line_endings(line: bytes) -> bytes:
    """Put newlines where carriage returns ended lines; several rows come back as several lines."""
    if b"\r" not in line:
        return line
    if parses(line):
        return line.replace(b"\r", b" ")
    pieces = [piece for piece in line.split(b"\r") if piece.strip()]
    return b"\n".join(pieces) if all(map(parses, pieces)) else line


@fix("control_characters", LINE_FIXES)
def raw_controls(line: bytes) -> bytes:
    """Take out control characters, halves of characters and hidden runs of empty space."""
    if not _RAW_CONTROLS.search(line) or parses(line):
        return line
    try:
        return as_json(json.loads(line, strict=False))
    except (ValueError, RecursionError):
        return line


_RAW_CONTROLS = re.compile(b"[\x00-\x1f]")


@fix("json_syntax", LINE_FIXES)
def json_syntax(line: bytes) -> bytes:
    """Write Python's quotes, True and None as JSON; take out commas and brackets too many.

    Several rows come back as several lines, and a bracket that stood alone as none.
    """
    if parses(line):
        return line
    try:
        rows = as_rows(line.decode("utf-8"))
    except UnicodeDecodeError:
        return line
    return line if rows is None else "\n".join(rows).encode()


def parses(line: bytes) -> bool:
    """Whether a line holds a row, whatever is in that."""
    try:
        parse_line(line)
    except BadLine:
        return False
    return True


def as_json(row: Any) -> bytes:
    """A value on one line; halves of characters stay as the escapes that they were."""
    try:
        return json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(row).encode()


# --- texts -----------------------------------------------------------------------------------


@fix("encoding", TEXT_FIXES)
def encoding_of_text(text: str) -> str:
    """Turn Windows-1252 and Latin-1 into UTF-8, and undo UTF-8 that was read as those."""
    return right_encoding(text)


@fix("control_characters", TEXT_FIXES)
def control_characters(text: str) -> str:
    """Take out control characters, halves of characters and hidden runs of empty space."""
    return without_controls(text)


@fix("line_endings", TEXT_FIXES)
def line_endings_of_text(text: str) -> str:
    """Put newlines where carriage returns ended lines."""
    return unix_newlines(text)


# --- rows ------------------------------------------------------------------------------------


@fix("convert", ROW_FIXES)
def convert(row: Row) -> bool:
    """Write rows of ShareGPT, Alpaca, TRL and other formats as messages.

    Raises what the reader of that format raises when it can't.
    """
    reader = detect_foreign(row)
    if reader is None:
        return False
    try:
        converted = reader.convert(row)
    except FtlabError:
        if detect(row) is None:
            raise
        return False
    if detect(row) is not None and refused(converted):
        return False
    row.clear()
    row.update(converted)
    return True


def refused(row: Row) -> list[str]:
    """Why neither engine would take a row."""
    return [p.message for p in row_problems(row) if set(BOTH) <= set(p.blocks)]


@fix("content", ROW_FIXES)
def content(row: Row) -> bool:
    """Put numbers that stand where text belongs into quotes."""
    holders = [(message, "content") for message in all_messages(row)]
    holders += [(row, key) for key in ("prompt", "completion", "text") if key in row]
    numbers = [(holder, key) for holder, key in holders if _is_number(holder.get(key))]
    for holder, key in numbers:
        holder[key] = _as_written(holder[key])
    nulls = [message for message in outputs_of(row) if _calls_with_null(message)]
    for message in nulls:
        del message["content"]
    return bool(numbers or nulls) | _one_kind(messages_of(row))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Number(float):
    """A number that remembers how it was written: 1.10 is no 1.1 when it becomes a text."""

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def _as_written(number: float) -> str:
    return number.text if isinstance(number, Number) else json.dumps(number)


def _calls_with_null(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and "content" in message
        and message["content"] is None
        and bool(message.get("tool_calls"))
    )


def _one_kind(messages: list[Any]) -> bool:
    """Texts become lists of one part where other contents of the conversation are lists."""
    filled = [m for m in messages if isinstance(m, dict) and m.get("content")]
    plain = [message for message in filled if isinstance(message["content"], str)]
    if not plain or not any(isinstance(message["content"], list) for message in filled):
        return False
    for message in plain:
        message["content"] = [{"type": "text", "text": message["content"]}]
    return True


@fix("role", ROW_FIXES)
def role(row: Row) -> bool:
    """Correct misspelt roles, and those with the names of other formats (human, gpt)."""
    changed = False
    wrong = [message for message in all_messages(row) if message.get("role") not in ROLES]
    for message in wrong:
        sure = cure_of_role(message.get("role"))
        if sure is not None:
            message["role"] = sure
            changed = True
    return changed


@fix("weight", ROW_FIXES)
def weight(row: Row) -> bool:
    """Write weights such as "1", 1.0 or true as 0 or 1."""
    changed = _mend_row_weight(row)
    for message in all_messages(row):
        if "weight" not in message or type(message["weight"]) is int:
            continue
        sure = cure_of_weight(message["weight"])
        if sure is not None:
            message["weight"] = sure
            changed = True
    return changed


def _mend_row_weight(row: Row) -> bool:
    """A row's own weight is any number, so that only its type can be corrected."""
    found = row.get("weight")
    if isinstance(found, bool):
        row["weight"] = int(found)
        return True
    if not isinstance(found, str):
        return False
    try:
        number = float(found)
    except ValueError:
        return False
    if not 0 <= number < 1e9:
        return False
    row["weight"] = int(number) if number.is_integer() else number
    return True


@fix("extra_key", ROW_FIXES)
def extra_key(row: Row) -> bool:
    """Take out keys beside the row that the hosted service refuses."""
    known = detect(row)
    extra = [key for key in row if known is not None and key not in known.keys]
    for key in extra:
        value = row.pop(key)
        given = row.get("input")
        if key == "tools" and isinstance(given, dict):  # where a preference row holds them
            given.setdefault("tools", value)
    return bool(extra)


@fix("whitespace", ROW_FIXES)
def whitespace(row: Row) -> bool:
    """Strip messages; space at the end of a prompt moves to the start of its completion.

    What a prompt and its completion say together stays as it is, since nothing stands between
    them; a plain text stays too.
    """
    changed = False
    for message in all_messages(row):
        for holder, key, text in texts_at(message, "content"):
            if isinstance(message.get("content"), str) and stripped(text) != text:
                holder[key] = stripped(text)
                changed = True
    return changed | _move_space(row)


def _move_space(row: Row) -> bool:
    prompt, completion = row.get("prompt"), row.get("completion")
    if not isinstance(prompt, str) or not isinstance(completion, str):
        return False
    kept = prompt.rstrip()
    if kept == prompt or not kept or not completion.strip():
        return False
    row["prompt"], row["completion"] = kept, prompt[len(kept) :] + completion
    return True


@fix("join_turns", ROW_FIXES)
def join_turns(row: Row) -> bool:
    """Join messages in a row from the same role, with a blank line between them."""
    messages = messages_of(row)
    joined: list[Any] = []
    for message in messages:
        if joined and _joinable(joined[-1], message):
            joined[-1] = _joined(joined[-1], message)
        else:
            joined.append(message)
    changed = len(joined) < len(messages)
    messages[:] = joined
    return changed


def _joinable(first: Any, second: Any) -> bool:
    """Whether two messages differ in nothing but what they say."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return False
    both = (first, second)
    others = (first.keys() | second.keys()) - set(READ_TEXTS) - {"weight"}
    said = [message.get(key) or "" for message in both for key in READ_TEXTS]
    return (
        first.get("role") in ("system", "user", "assistant")
        and all(isinstance(m.get("content"), str) and not m.get("tool_calls") for m in both)
        and all(isinstance(text, str) for text in said)
        and first.get("weight", 1) == second.get("weight", 1)
        and all(first.get(key) == second.get(key) for key in others)
    )


def _joined(first: Row, second: Row) -> Row:
    both = {**second, **first}
    for key in READ_TEXTS:
        said = [message[key] for message in (first, second) if message.get(key)]
        if said:
            both[key] = "\n\n".join(said)
    return both


@fix("cut_after_answer", ROW_FIXES)
def cut_after_answer(row: Row) -> bool:
    """End a conversation with its last answer; nothing after it is trained."""
    messages = row.get("messages")
    if not isinstance(messages, list):
        return False
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages]
    if "assistant" not in roles or roles[-1] not in ("system", "user", "tool"):
        return False
    del messages[len(roles) - roles[::-1].index("assistant") :]
    return True
