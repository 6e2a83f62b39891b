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

QUOTE = ord('"')
WEB_UNSAFE = ("<>", "<>&", "<>&'", "<>&'+`")
"""What writers of JSON escape so that it can stand in a web page; each has its own idea of it."""
_HEX = re.compile(r"\\u([0-9a-f]{4})")
# Keys of a plain row: how many `"role"` a block may hold is known once its rows are decoded.
KEYS = tuple(b'"%s"' % key for key in (b"role", b"content", b"messages"))


class Screened(NamedTuple):
    """What was seen in a block."""

    hits: dict[int, set[str]]
    """Place of a line in the block → the names that look into it."""
    keys: tuple[int, ...]
    """How often each of `KEYS` stands in the block."""


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
        self._digest.update(data)
        found = np.frombuffer(data, np.uint8)
        places: list[tuple[int, Iterable[str]]] = []
        if self._automaton is not None:
            matches = self._automaton.find_matches_as_indexes(data, overlapping=True)
            places += [(start, self._owners[which]) for which, start, _ in matches]
        if self.digits:
            places += [(start, self.digits) for start in _digit_runs(found)]
        return Screened(_by_line(places, lines), _key_counts(found))


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
    """Where four digits stand together."""
    digit = (data - 48) < 10  # unsigned: everything below "0" wraps to more
    pair = digit[:-1] & digit[1:]
    return np.flatnonzero(pair[:-2] & pair[2:]).tolist()


def _key_counts(data: np.ndarray) -> tuple[int, ...]:
    quotes = np.flatnonzero(data == QUOTE)
    counts = []
    for key in KEYS:
        reach = len(key) - 1
        at = quotes[quotes < len(data) - reach]
        for offset, letter in enumerate(key[1:], start=1):
            at = at[data[at + offset] == letter]
        counts.append(len(at))
    return tuple(counts)


def _by_line(places: list[tuple[int, Iterable[str]]], lines: list[bytes]) -> dict[int, set[str]]:
    if not places:
        return {}
    ends = np.cumsum([len(line) for line in lines])
    rows = np.searchsorted(ends, [start for start, _ in places], side="right").tolist()
    found: dict[int, set[str]] = {}
    for row, (_, names) in zip(rows, places, strict=True):
        found.setdefault(row, set()).update(names)
    return found
