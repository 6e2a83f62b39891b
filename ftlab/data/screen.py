"""One pass over raw bytes that says which lines deserve a closer look.

All needles of all checks go into one Aho-Corasick automaton; runs of digits and doubled keys are
found with numpy. Both leave Python's lock, so that this runs beside the decoding of the rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

QUOTE, BACKSLASH, ZERO = ord('"'), ord("\\"), ord("0")
WEB_UNSAFE = ("<>", "<>&", "<>&'", "<>&'+`")
"""What writers of JSON escape so that it can stand in a web page; each has its own idea of it."""
_HEX = re.compile(r"\\u([0-9a-f]{4})")


Match = tuple[int, int, int]
"""(which needle, start, end) in a block."""


class Screened(NamedTuple):
    """What was seen in a block."""

    hits: dict[int, set[str]]
    """Place of a line in the block → the names that look into it."""
    n_quotes: int | None
    """Quotes that open or close a string; None where they can't be told from others at once."""


class Screen:
    """Names of checks by the needles that they wait for."""

    def __init__(self, needles: Mapping[str, Iterable[str]], digits: Iterable[str]) -> None:
        self.digits = frozenset(digits)
        self._digest = hashlib.sha256()
        owners: dict[bytes, set[str]] = {}
        for name, texts in needles.items():
            for text in texts:
                for form in _forms(text):
                    owners.setdefault(form, set()).add(name)
        self._owners = list(owners.values())
        self._automaton: Any = None
        if owners:
            from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

            self._automaton = BytesAhoCorasick(
                list(owners), matchkind=MatchKind.Standard, implementation=Implementation.DFA
            )

    @property
    def sha256(self) -> str:
        """Of all blocks so far."""
        return self._digest.hexdigest()

    def look(self, data: bytes, lines: list[bytes]) -> Screened:
        """Which lines of a block which checks should see."""
        return self.sorted(data, lines, self.matches(data))

    def matches(self, data: bytes) -> list[Match]:
        """What the needles hit in a block. Python's lock is left twice for the whole of it, so
        that a thread beside can do this without waiting its turn."""
        self._digest.update(data)
        if self._automaton is None:
            return []
        return self._automaton.find_matches_as_indexes(data, overlapping=True)

    def sorted(self, data: bytes, lines: list[bytes], matches: list[Match]) -> Screened:
        """The lines that were hit, and what numpy finds in no time."""
        found = np.frombuffer(data, np.uint8)
        places: list[tuple[int, Iterable[str]]] = [
            (start, self._owners[which]) for which, start, _ in matches
        ]
        if self.digits:
            places += [(at, self.digits) for at in _digit_runs(found)]
        return Screened(_by_line(places, lines), _n_quotes(found))


def _forms(text: str) -> set[bytes]:
    """How a text can stand in JSON: as itself, or escaped, with either case of the hex digits."""
    plain = {json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]}
    plain |= {form.replace("\\b", "\\u0008").replace("\\f", "\\u000c") for form in plain}
    forms = plain | {_escaped(form, letters) for form in plain for letters in WEB_UNSAFE}
    forms |= {_HEX.sub(lambda found: "\\u" + found[1].upper(), form) for form in forms}
    forms |= {form.replace("/", "\\/") for form in forms}
    return {form.encode("utf-8", "surrogatepass") for form in forms}


def _escaped(form: str, letters: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if c in letters else c for c in form)


def _digit_runs(data: np.ndarray) -> list[int]:
    """A place in every run of four digits and more."""
    # Every fourth byte: a run can't pass between them.
    at = np.flatnonzero(data[::4] - ZERO < 10) * 4  # unsigned: what is below "0" wraps to more
    around = [_digits_at(data, at + offset) for offset in range(-3, 4)]
    runs = [np.logical_and.reduce(around[i : i + 4]) for i in range(4)]
    return at[np.logical_or.reduce(runs)].tolist()


def _digits_at(data: np.ndarray, places: np.ndarray) -> np.ndarray:
    inside = (places >= 0) & (places < len(data))
    return inside & (data[np.where(inside, places, 0)] - ZERO < 10)


def _n_quotes(data: np.ndarray) -> int | None:
    quotes, slashes = data == QUOTE, data == BACKSLASH
    if (slashes[:-1] & slashes[1:]).any():
        return None
    return int(np.count_nonzero(quotes) - np.count_nonzero(slashes[:-1] & quotes[1:]))


def n_quotes(line: bytes) -> int:
    """Quotes that open or close a string in a line of JSON."""
    line = line.replace(b"\\\\", b"")
    return line.count(b'"') - line.count(b'\\"')


def _by_line(places: list[tuple[int, Iterable[str]]], lines: list[bytes]) -> dict[int, set[str]]:
    if not places:
        return {}
    ends = np.cumsum([len(line) for line in lines])
    rows = np.searchsorted(ends, [start for start, _ in places], side="right").tolist()
    found: dict[int, set[str]] = {}
    for row, (_, names) in zip(rows, places, strict=True):
        found.setdefault(row, set()).update(names)
    return found
