"""Lines that are almost JSON, where what they mean is certain.

Python's print of a row (single quotes, True, None), a comma or a bracket too many as in an array
that was cut into lines, several rows on one line, raw control characters, odd spaces between the
parts. Nothing is guessed: quotes that don't pair up, curly quotes, missing commas, names without
quotes and lines that end in the middle stay what they are.
"""

from __future__ import annotations

import json
import re

LONGEST = 1 << 20
"""Characters. A row that trains is shorter, and a longer one would keep a scan waiting."""
_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", '"': '"', "'": "'"}

# A quote always matches, if need be to the end of the line: looking for its partner anew from each
# of a million quotes would take hours.
_PARTS = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*(?:(")|\\?\Z)'
    r"|'[^'\\]*(?:\\.[^'\\]*)*(?:(')|\\?\Z)"
    r"|(?<![\[{]),(?=[\s\ufeff\u200b]*[\]}])"
    r"|\b(?:True|False|None)\b"
    r"|[^\S \t\r\n]+|[\ufeff\u200b]+",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SPACE = " \t\r\n,"
_BETWEEN = re.compile(r"\s*,?\s*")
_BREAKS = {ord("\n"): " ", ord("\r"): " "}  # between parts; within strings they are escaped
_decode = json.JSONDecoder().raw_decode


class _Uncertain(Exception):
    """A part may mean two things, or nothing."""


def as_rows(text: str) -> list[str] | None:
    """The rows of a line as JSON, one per line; none for a bracket that stands alone.

    None where it is not certain what the line means. Strings that are JSON stay as they are.
    """
    if len(text) > LONGEST:
        return None
    try:
        return _objects(_PARTS.sub(_as_json, text))
    except (_Uncertain, ValueError, RecursionError):
        return None


def _objects(text: str) -> list[str]:
    """The objects of a text, without the commas between and around them and a bracket that is
    half of a pair. Raises _Uncertain, ValueError, RecursionError."""
    text = text.strip(_SPACE)
    opens, closes = text.startswith("["), text.endswith("]")
    if opens and closes and len(text) > 1:
        raise _Uncertain  # a list of rows, or the messages of one
    text = text[opens : len(text) - (closes and not opens)].strip(_SPACE)
    rows, at = [], 0
    while at < len(text):
        value, end = _decode(text, at)
        if not isinstance(value, dict):
            raise _Uncertain
        rows.append(text[at:end].translate(_BREAKS))
        between = _BETWEEN.match(text, end)
        at = between.end() if between else end
    return rows


def _as_json(found: re.Match[str]) -> str:
    part = found.group()
    if part[0] in "\"'":
        if not found[1] and not found[2]:
            raise _Uncertain  # it never ends
        return _string(part)
    if part == ",":
        return ""
    return _WORDS.get(part, " ")


def _string(part: str) -> str:
    """A string of JSON or of Python as one of JSON. Raises _Uncertain, ValueError."""
    if part[0] == '"' and _is_json(part):
        return part
    text = _ESCAPE.sub(_meant, part[1:-1])
    try:
        # Two halves of a character, each escaped for itself, are one character in JSON.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)


def _is_json(part: str) -> bool:
    try:
        json.loads(part)
    except ValueError:
        return False
    return True


def _meant(found: re.Match[str]) -> str:
    short, four, eight, letter = found.groups()
    if letter is None:
        return chr(int(short or four or eight, 16))  # ValueError beyond the last character
    if letter not in _ESCAPES:
        raise _Uncertain  # Python keeps this backslash, JSON has no such escape
    return _ESCAPES[letter]
