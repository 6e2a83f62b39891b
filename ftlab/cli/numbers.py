"""Numbers that are given as arguments, each refused in words where it does not fit."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable

from ftlab.issues import shown


def positive(text: str) -> int:
    """A whole number from 1."""
    return int(_checked(text, lambda n: n >= 1 and n == int(n), "a whole number from 1", "2048"))


def share(text: str) -> float:
    """A number between 0 and 1."""
    return _checked(text, lambda n: 0 < n < 1, "a number between 0 and 1", "0.05")


def rate(text: str) -> float:
    """A number above 0."""
    return _checked(text, lambda n: n > 0, "a number above 0", "2e-4")


def port(text: str) -> int:
    """That of a server; 0 takes a free one."""
    takes = "a whole number from 0 to 65535"
    return int(_checked(text, lambda n: 0 <= n < 2**16 and n == int(n), takes, "8000"))


def top_p(text: str) -> float:
    """A number above 0, at most 1."""
    return _checked(text, lambda n: 0 < n <= 1, "a number above 0, at most 1", "0.9")


def from_zero(text: str) -> float:
    """A number from 0, as a price or a temperature."""
    return _checked(text, lambda n: n >= 0, "a number from 0", "2.5")


def _checked(text: str, fits: Callable[[float], bool], takes: str, example: str) -> float:
    """The number that an argument is; argparse's own message would name a Python function."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)) and fits(value):
            return value
    raise argparse.ArgumentTypeError(
        f"{shown(text)} is given; it takes {takes}. Give for example {example}."
    )
