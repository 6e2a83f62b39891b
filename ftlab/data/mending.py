"""What becomes of one line: the repairs that it needs, and whether it is right after them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from ftlab.data.blocks import LONGEST_LINE, TOO_LONG
from ftlab.data.fix_texts import stripped
from ftlab.data.fixes import (
    LINE_FIXES,
    ROW_FIXES,
    TEXT_FIXES,
    Fix,
    Number,
    as_json,
    parses,
    refused,
)
from ftlab.data.formats import detect, row_problems
from ftlab.data.problems import refused_by
from ftlab.data.row_texts import texts
from ftlab.data.rows import BOM, BadLine, is_blank, parse_line
from ftlab.data.typed import DECODERS, Clean, clean, plain
from ftlab.errors import FtlabError

NOT_READ = (
    f"The line is longer than {LONGEST_LINE >> 20} MiB; a line holds one row, and was not read "
    "further. Look whether newlines are missing between its rows."
)
TOO_DEEP = (
    "The row is nested more deeply than can be written again; rows are a few levels deep. "
    "Correct it or take it out."
)
_AFTER_TEXTS = ("join_turns", "cut_after_answer")


class Mended(NamedTuple):
    """What becomes of a line."""

    line: bytes | None
    """As it is written, without a newline; None when it is left out or set aside."""
    format: str = ""
    fixes: tuple[str, ...] = ()
    """What was done to it."""
    reason: str = ""
    """Why it is set aside."""
    row: dict[str, Any] | None = None
    """What is set aside, as far as it was mended."""
    raw: bytes | None = None
    """The same as bytes, of what can't be read or written as a row."""

    @property
    def differs(self) -> bool:
        return bool(self.fixes or self.reason) or self.line is None


class _Steps(NamedTuple):
    """What is done to a row, in this order."""

    shape: list[Fix]
    text: list[Fix]
    space: list[Fix]
    order: list[Fix]

    @classmethod
    def of(cls, names: frozenset[str]) -> _Steps:
        rows = _chosen(ROW_FIXES, names)
        return cls(
            shape=[one for one in rows if one.name not in (*_AFTER_TEXTS, "whitespace")],
            text=_chosen(TEXT_FIXES, names),
            space=[one for one in rows if one.name == "whitespace"],
            order=[one for one in rows if one.name in _AFTER_TEXTS],
        )


class Mender:
    """Mends line after line; knows the rows that it has seen, to tell copies."""

    def __init__(
        self,
        names: frozenset[str],
        edits: Mapping[int, Mapping[str, Any] | None] | None = None,
        in_refused: frozenset[str] = frozenset(),
    ) -> None:
        """`in_refused` are further repairs, of rows that are refused as they stand."""
        self.names = names | in_refused
        self.edits = dict(edits or {})
        """Those whose line has not come yet."""
        # A line that holds a row and has nothing to report is left alone by all of these.
        self._line_fixes = _chosen(LINE_FIXES, self.names)
        self._steps, self._more = _Steps.of(names), _Steps.of(self.names)
        self._seen: set[bytes] = set()
        self._format = "conversation"

    def mend(self, number: int, line: bytes) -> Iterator[Mended]:
        """What becomes of a line; several come of one that held several rows."""
        done: tuple[str, ...] = ()
        if number in self.edits:
            edited = self.edits.pop(number)
            done = ("edited",)
            if edited is None:
                yield Mended(None, fixes=done)
                return
            line = as_json(dict(edited))
        line = line.rstrip(b"\r\n")  # the new file has newlines of its own
        if not done and self._is_right(line):
            yield self._once(Mended(line, self._format), line)
            return
        yield from self._mend_line(line, done)

    def _is_right(self, line: bytes) -> bool:
        """Whether nothing is to be done, found out the quick way; False is no verdict."""
        row = clean(line, self._format)
        if row is None or b"\r" in line:
            return False
        for text in row.contents:
            if any(one.mend(text) != text for one in self._steps.text):
                return False
        return not (self._steps.space and _has_space(row))

    def _mend_line(self, line: bytes, done: tuple[str, ...]) -> Iterator[Mended]:
        if line == TOO_LONG:
            yield Mended(None, reason=NOT_READ)
            return
        steps = self._steps if parses(line.removeprefix(BOM)) else self._more
        for one in self._line_fixes:
            mended = one.mend(line)
            if mended != line:
                done, line = (*done, one.name), mended
        for piece in line.split(b"\n"):
            if is_blank(piece):
                yield self._blank(piece, done)
                continue
            try:
                yield self._mend_row(piece, done, steps)
            except RecursionError:
                yield Mended(None, fixes=done, reason=TOO_DEEP, raw=piece)

    def _blank(self, line: bytes, done: tuple[str, ...]) -> Mended:
        """A blank line, left out where that is wanted or where it held something else before."""
        if done:
            return Mended(None, self._format, done)
        out = "blank_line" in self.names
        return Mended(None if out else line, self._format, ("blank_line",) if out else ())

    def _mend_row(self, line: bytes, done: tuple[str, ...], steps: _Steps) -> Mended:
        try:
            row = parse_line(line)
        except BadLine as exc:
            return Mended(None, fixes=done, reason=str(exc), raw=line)
        found = row_problems(row)
        if any(problem.fix == "content" for problem in found):
            row = json.loads(line, parse_float=Number)
        try:
            steps = self._more if refused_by("local", found) else steps
            made = _change(row, steps, faulty=bool(found))
        except FtlabError as exc:
            return Mended(None, fixes=done, reason=str(exc), row=row, raw=line)
        if made:
            done, line = tuple(dict.fromkeys((*done, *made))), as_json(row)
            row = parse_line(line)
        reasons = refused(row) if found or made else []
        if reasons:
            return Mended(None, fixes=done, reason=" ".join(reasons), row=row, raw=line)
        known = detect(row)
        if known is not None:
            self._format = known.name
        return self._once(Mended(line, known.name if known else "", done), line)

    def _once(self, mended: Mended, line: bytes) -> Mended:
        """The row, or that it is left out because it stood there before."""
        if "duplicate" not in self.names:
            return mended
        key = row_key(line, mended.format)
        if key in self._seen:
            return mended._replace(line=None, fixes=(*mended.fixes, "duplicate"))
        self._seen.add(key)
        return mended


def _change(row: dict[str, Any], steps: _Steps, *, faulty: bool) -> list[str]:
    """Mend a row in place: the names of what was done."""
    done = [one.name for one in steps.shape if one.mend(row)] if faulty else []
    for holder, key, text in texts(row):
        for one in steps.text:
            mended = one.mend(text)
            if mended != text:
                done.append(one.name)
                holder[key] = text = mended
    done += [one.name for one in steps.space if one.mend(row)]
    if faulty:
        done += [one.name for one in steps.order if one.mend(row)]
    return done


def _chosen(fixes: Iterable[Fix], names: frozenset[str]) -> list[Fix]:
    return [one for one in fixes if one.name in names]


def _has_space(row: Clean) -> bool:
    """Whether the repair `whitespace` would change a row."""
    if row.format == "general":
        return False
    if row.format == "instruction":
        prompt = row.contents[0]
        return prompt != prompt.rstrip()
    return any(stripped(text) != text for text in row.contents)


def row_key(line: bytes, format_name: str) -> bytes:
    """Equal for lines with the same row, however they are written."""
    row = clean(line, format_name) if format_name in DECODERS else None
    if row is not None:
        said = msgspec.json.encode((row.format, row.roles, row.contents))
    else:
        said = json.dumps(_with_plain_texts(parse_line(line)), sort_keys=True).encode()
    return blake2b(said, digest_size=16).digest()


def _with_plain_texts(row: dict[str, Any]) -> dict[str, Any]:
    """A list of texts says the same as one text."""
    lists = {
        key: row[key]
        for key in ("prompt", "completion", "text")
        if isinstance(row.get(key), list) and all(part["type"] == "text" for part in row[key])
    }
    return {**row, **{key: plain(parts) for key, parts in lists.items()}}
