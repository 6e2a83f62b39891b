"""What a scan keeps of its rows while it reads them; `columns` is what is left at the end."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.data.checks.near import NearRows
from ftlab.data.columns import Columns
from ftlab.data.scripts import LATIN, NONE, scripts_of
from ftlab.data.typed import Clean, as_row, hashes
from ftlab.issues import LINES_KEPT

if TYPE_CHECKING:
    from ftlab.data.sequences import Sequences

KEPT = 1_000  # entries of a counter of texts
FEW = 20_000  # and how far it may grow before the rare ones go
EDGE = 80  # characters of an answer's start and end that are compared
SHORT = 20  # characters: a longer answer of two "words" is a link or an object
_KINDS = ("n_same", "prompt", "answer")


class RowTally:
    """Counts of the rows of a known format, and a few numbers of each."""

    def __init__(self, name: str, near: NearRows | None = None) -> None:
        """`near` takes in the last question and answer of each row: with their system prompts
        rows would all look alike."""
        self.columns, self.near = Columns(name=name), near
        self.roles, self.turns = Counter[str](), Counter[int]()
        """Messages per role; and number of messages → rows that have so many."""
        self._numbers: list[np.ndarray] = []
        self._hashes: list[np.ndarray] = []
        self._chars: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []
        self._waiting: dict[str, list[tuple[int, Clean, str]]] = {}

    def add(self, numbers: list[int], rows: list[Clean]) -> None:
        """Take in some plain rows of one format."""
        self._take(numbers, rows, [hashes(one) for one in rows])

    def add_row(self, number: int, row: dict[str, Any], seen: Clean) -> None:
        """Take in a row that may be more than its texts; it counts from the next `flush` on."""
        self._count_weights(row)
        more = as_row(seen) != _without_defaults(row)
        self._waiting.setdefault(seen.format, []).append(
            (number, seen, _besides_texts(row) if more else "")
        )

    def flush(self) -> None:
        """Take in the rows that wait: many at once need less room than each by itself."""
        for waiting in self._waiting.values():
            found = [hashes(one, besides) for _, one, besides in waiting]
            self._take([number for number, _, _ in waiting], [one for _, one, _ in waiting], found)
        self._waiting.clear()

    def _take(self, numbers: list[int], rows: list[Clean], found: list[tuple[int, ...]]) -> None:
        self._numbers.append(np.array(numbers, np.int32))
        self._hashes.append(np.array(found, np.int64).view(np.uint64).reshape(-1, 3))
        self._chars.append(np.array([sum(map(len, one.contents)) for one in rows], np.int32))
        for roles, n in Counter([one.roles for one in rows]).items():
            self.turns[len(roles)] += n
            for role in roles:
                self.roles[role] += n
        if self.near is not None and not self.near.too_many:
            # Of a preference row the question and the preferred answer.
            last = slice(-3, -1) if rows[0].format == "preference" else slice(-2, None)
            for number, one, (row_hash, *_) in zip(numbers, rows, found, strict=True):
                self.near.add(number, "\n".join(one.contents[last]), row_hash)
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
        columns = self.columns
        before = -3 if rows[0].format == "preference" else -2
        asked = [
            row.contents[before] if len(row.contents) >= -before else answer
            for row, answer in zip(rows, answers, strict=True)
        ]
        odd = [
            place
            for place, (text, other) in enumerate(zip(answers, asked, strict=True))
            if not (text.isascii() and other.isascii())
        ]
        columns.scripts[LATIN] += len(rows) - len(odd)
        written = scripts_of([answers[place] for place in odd])
        columns.scripts.update(written)
        read = scripts_of([asked[place] for place in odd])
        for place, one, other in zip(odd, written, read, strict=True):
            if NONE not in (one, other) and one != other:
                columns.n_other_script += 1
                if len(columns.other_script_lines) < LINES_KEPT:
                    columns.other_script_lines.append(numbers[place])

    def _count_weights(self, row: dict[str, Any]) -> None:
        answers = [m for m in row.get("messages") or () if m.get("role") == "assistant"]
        given = [m["weight"] for m in answers if "weight" in m]
        if "weight" in row or given:
            self.columns.n_weighted += 1
        if row.get("weight") == 0 or (answers and len(given) == len(answers) and not any(given)):
            self.columns.n_zero_weight += 1

    def finish(self, n_rows: int, majority: str | None, tokens: Sequences | None) -> None:
        """Put the pieces together; rows come out in file order."""
        self.flush()
        columns = self.columns
        columns.n_rows, columns.format = n_rows, majority
        columns.short_lines.sort()
        columns.other_script_lines.sort()
        if not self._numbers:
            return
        columns.lines, columns.n_chars = _joined(self._numbers), _joined(self._chars)
        found = _joined(self._hashes)
        outputs = np.concatenate(self._outputs) if self._outputs else np.zeros((0, 2), np.int64)
        if (np.diff(columns.lines) < 0).any():  # rows that went the exact way come before others
            order = np.argsort(columns.lines, kind="stable")
            columns.lines, columns.n_chars = columns.lines[order], columns.n_chars[order]
            found = found[order]
            if len(outputs) == len(order):  # otherwise only some rows are preferences
                outputs = outputs[order]
        columns.row_hash, columns.prompt_hash, columns.answer_hash = found.T.copy()
        if len(outputs):
            columns.chosen_chars, columns.rejected_chars = outputs.T.copy()
        if tokens is not None:
            columns.n_tokens, columns.n_trained = _per_row(columns.lines, tokens)
        columns.openings = _words(columns.openings, 0)
        columns.closings = _words(columns.closings, -1)
        if len(columns.answers) > KEPT:
            columns.answers.clear()


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
    kept = {text: n for text, n in counter.items() if n > 1}
    if len(kept) > FEW // 4:
        kept = dict(Counter(kept).most_common(FEW // 4))
    counter.clear()
    counter.update(kept)


def _words(counter: Counter[str], side: int) -> Counter[str]:
    """The first or last eight words of each text instead of so many characters."""
    found = Counter[str]()
    for text, n in counter.items():
        words = text.split()
        found[" ".join(words[:8] if side == 0 else words[-8:])] += n
    return Counter(dict(found.most_common(KEPT)))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts as one array; they are gone afterwards, since both are large."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


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
