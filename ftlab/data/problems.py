"""A Problem: one thing wrong with one row, and what the rules about rows share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from ftlab.issues import Level

BOTH = ("together", "local")
TOGETHER = ("together",)
LOCAL = ("local",)
NOBODY: tuple[str, ...] = ()

Row = Mapping[str, Any]


class Problem(NamedTuple):
    """One thing wrong with one row, in the three facts."""

    code: str
    where: str
    """JSON path in the row, such as `messages[1].role`."""
    message: str
    blocks: tuple[str, ...] = BOTH
    """Who will refuse; the same for all problems of a code."""
    level: Level = "error"
    value: str = ""
    """What tells one kind of this problem from another, such as the name of an unknown role."""
    fix: str = ""
    """Name of the repair that takes it away, where one can."""


def about_whole(
    code: str,
    message: str,
    *,
    blocks: tuple[str, ...] = BOTH,
    level: Level = "error",
    value: str = "",
    fix: str = "",
) -> Problem:
    """A problem of a row or a file as a whole, and of no place in it."""
    return Problem(code, "", message, blocks, level, value, fix)


def refused_by(engine: str, problems: Iterable[Problem]) -> bool:
    """Whether one of the problems keeps that engine from taking the row."""
    return any(engine in problem.blocks for problem in problems)


def more_rows(count: int) -> str:
    """What follows the message of a problem that `count` rows have; empty for one."""
    if count == 2:
        return " One more row has this."
    return f" {count - 1:,} more rows have this." if count > 1 else ""


class Repeated(dict[str, Any]):
    """A JSON object in which a key stood twice; the last one holds."""

    names: tuple[str, ...] = ()
    """The keys that stood more than once."""


class Parsed(dict[str, Any]):
    """A row with what its line says and its values no longer do."""

    problems: tuple[Problem, ...] = ()


def in_words(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def is_number(value: Any) -> bool:
    """Whether it is a number that can be written as text, and not true or false."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def has_half_character(text: str) -> bool:
    """Whether it holds half of a surrogate pair, which no encoding of text can write."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def half_character(what: str) -> str:
    """That `what` (a path, or "The row") holds such a half, in the three facts."""
    return (
        f"{what} holds half of a surrogate pair (such as \\ud83d), which is no text; whole "
        "characters are needed. Write the character itself."
    )
