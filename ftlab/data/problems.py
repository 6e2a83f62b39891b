"""A Problem: one thing wrong with one row, and what the rules about rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

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
    level: str = "error"
    value: str = ""
    """What tells one kind of this problem from another, such as the name of an unknown role."""
    fix: str = ""
    """Name of the repair that takes it away, where one can."""


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
