"""What a scan keeps of its rows while it reads them; `columns` is what is left at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.data.columns import Columns
from ftlab.data.formats import detect, row_problems
from ftlab.data.rows import BOM, BadLine, parse_line
from ftlab.data.scripts import script_of
from ftlab.data.typed import Clean, as_row, hashes, of_row
from ftlab.issues import LINES_KEPT

if TYPE_CHECKING:
    from ftlab.data.sequences import Sequences
    from ftlab.data.sources import Source

KEPT = 1_000  # entries of a counter of texts
FEW = 20_000  # and how far it may grow before the rare ones go
EDGE = 80  # characters of an answer's start and end that are compared
SHORT = 20  # characters: a longer answer of two "words" is a link or an object
_KINDS = ("n_same", "prompt", "answer")


class RowTally:
    """Counts of the rows of a known format, and a few numbers of each."""

    def __init__(self, name: str) -> None:
        self.columns = Columns(name=name)
        self.orders: Counter[tuple[str, ...]] = Counter()
        self._numbers: list[np.ndarray] = []
        self._hashes: list[np.ndarray] = []
        self._chars: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []

    def add(self, numbers: list[int], rows: list[Clean], row: dict[str, Any] | None = None) -> None:
        """Take in some rows; `row` is the whole of a single one that is more than its texts."""
        more = row is not None and as_row(rows[0]) != _without_defaults(row)
        besides = _besides_texts(row) if row is not None and more else ""
        found = [hashes(one, besides) for one in rows]
        self._numbers.append(np.array(numbers, np.int32))
        self._hashes.append(np.array(found, np.uint64).reshape(-1, 3))
        self._chars.append(np.array([sum(map(len, one.contents)) for one in rows], np.int32))
        self.orders.update([one.roles for one in rows])
        if row is not None:
            self._count_weights(row)
        self._count_answers(numbers, rows)

    def _count_answers(self, numbers: list[int], rows: list[Clean]) -> None:
        columns = self.columns
        first = rows[0].format
        place = -2 if first == "preference" else -1
        answers = [one.contents[place] for one in rows]
        columns.openings.update([text[:EDGE] for text in answers])
        columns.closings.update([text[-EDGE:] for text in answers])
        for counter in (columns.openings, columns.closings):
            if len(counter) > FEW:
                _prune(counter)
        short = [text for text in answers if len(text) <= EDGE]
        columns.n_long_answers += len(answers) - len(short)
        if len(columns.answers) <= KEPT:
            columns.answers.update(short)
        if short:
            self._count_short(numbers, answers)
        self._count_scripts(numbers, rows, answers)
        systems = [hash(one.contents[0]) for one in rows if one.roles[0] == "system"]
        if len(columns.systems) <= KEPT:
            columns.systems.update(systems)
        if first == "preference":
            pairs = [(len(one.contents[-2]), len(one.contents[-1])) for one in rows]
            self._outputs.append(np.array(pairs, np.int64).reshape(-1, 2))
        elif first == "instruction":
            columns.edges.update(
                edge for one in rows for edge in _edges(one.contents[0], one.contents[1])
            )

    def _count_short(self, numbers: list[int], answers: list[str]) -> None:
        for number, text in zip(numbers, answers, strict=True):
            if len(text) <= SHORT and len(text.split(None, 3)) < 3:
                self.columns.n_short_answers += 1
                if len(self.columns.short_lines) < LINES_KEPT:
                    self.columns.short_lines.append(number)

    def _count_scripts(self, numbers: list[int], rows: list[Clean], answers: list[str]) -> None:
        columns, n_latin = self.columns, 0
        n_outputs = 2 if rows[0].format == "preference" else 1
        for number, row, answer in zip(numbers, rows, answers, strict=True):
            asked = row.contents[-1 - n_outputs] if len(row.contents) > n_outputs else answer
            if answer.isascii() and asked.isascii():
                n_latin += 1
                continue
            written, read = _script(answer), _script(asked)
            columns.scripts[written] += 1
            if "none" not in (written, read) and written != read:
                columns.n_other_script += 1
                if len(columns.other_script_lines) < LINES_KEPT:
                    columns.other_script_lines.append(number)
        columns.scripts["latin"] += n_latin

    def _count_weights(self, row: dict[str, Any]) -> None:
        answers = [m for m in row.get("messages") or () if m.get("role") == "assistant"]
        given = [m["weight"] for m in answers if "weight" in m]
        if "weight" in row or given:
            self.columns.n_weighted += 1
        if row.get("weight") == 0 or (answers and len(given) == len(answers) and not any(given)):
            self.columns.n_zero_weight += 1

    def finish(self, n_rows: int, majority: str | None, tokens: Sequences | None) -> None:
        """Put the pieces together; rows come out in file order."""
        columns = self.columns
        columns.n_rows, columns.format = n_rows, majority
        if not self._numbers:
            return
        columns.lines = np.concatenate(self._numbers)
        found = np.concatenate(self._hashes)
        columns.n_chars = np.concatenate(self._chars)
        self._numbers, self._hashes, self._chars = [], [], []
        if (np.diff(columns.lines) < 0).any():  # rows that went the exact way come before others
            order = np.argsort(columns.lines, kind="stable")
            columns.lines, columns.n_chars = columns.lines[order], columns.n_chars[order]
            found = found[order]
        columns.row_hash, columns.prompt_hash, columns.answer_hash = found.T.copy()
        if self._outputs:
            columns.chosen_chars, columns.rejected_chars = np.concatenate(self._outputs).T.copy()
        if tokens is not None:
            columns.n_tokens, columns.n_trained = _per_row(columns.lines, tokens)
        columns.openings = _words(columns.openings, 0)
        columns.closings = _words(columns.closings, -1)
        if len(columns.answers) > KEPT:
            columns.answers.clear()

    @property
    def roles(self) -> Counter[str]:
        """Messages per role."""
        found = Counter[str]()
        for roles, n in self.orders.items():
            for role in roles:
                found[role] += n
        return found

    @property
    def turns(self) -> Counter[int]:
        """Number of messages → rows that have so many."""
        found = Counter[int]()
        for roles, n in self.orders.items():
            found[len(roles)] += n
        return found


def answered_texts(source: Source) -> Iterator[tuple[int, str]]:
    """(line, last question and answer) of the rows of a known format, for comparing rows: with
    their system prompts they would all look alike."""
    for number, line in source.lines():
        try:
            row = parse_line(line.removeprefix(BOM))
        except BadLine:
            continue
        known = detect(row)
        if known is not None and not any("local" in p.blocks for p in row_problems(row)):
            yield number, "\n".join(of_row(known.name, row).contents[-2:])


def _script(text: str) -> str:
    return "latin" if len(text) > EDGE and text.isascii() else script_of(text)


def _besides_texts(row: dict[str, Any]) -> str:
    """What sets a row apart besides its texts (tools, calls, weights), whatever the order of keys
    and whether a weight of 1 is written down."""
    return json.dumps(_without_defaults(row), sort_keys=True, default=str)


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: _without_defaults(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if (k, v) != ("weight", 1)}
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value


def _prune(counter: Counter[str]) -> None:
    kept = counter.most_common(FEW // 4)
    counter.clear()
    counter.update(dict(kept))


def _words(counter: Counter[str], side: int) -> Counter[str]:
    """The first or last eight words of each text instead of so many characters."""
    found = Counter[str]()
    for text, n in counter.items():
        words = text.split()
        found[" ".join(words[:8] if side == 0 else words[-8:])] += n
    return Counter(dict(found.most_common(KEPT)))


def _edges(prompt: str, completion: str) -> tuple[str, str]:
    kinds = {"\n": "newline", " ": "space"}
    return (
        f"prompt ends with {kinds.get(prompt[-1:], 'text')}",
        f"completion starts with {kinds.get(completion[:1], 'text')}",
    )


def _per_row(lines: np.ndarray, tokens: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the longest sequence and trained tokens of each row."""
    longest, trained = np.zeros(len(lines), np.int32), np.zeros(len(lines), np.int32)
    for numbers, n_tokens, n_trained in tokens.per_row:
        at = np.searchsorted(lines, numbers)
        np.maximum.at(longest, at, n_tokens)
        np.add.at(trained, at, n_trained)
    return longest, trained
