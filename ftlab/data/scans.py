"""The one pass over a source: rows, tokens, and everything that is wrong with them.

Two things go on at once, block by block: this thread decodes rows and keeps what it needs of them;
a second does what leaves Python's lock in few long calls, the search of the raw bytes and the
tokens of the block before. Shorter calls would wait for the lock longer than they take.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from ftlab.data.blocks import LONGEST_LINE, TOO_LONG, Block
from ftlab.data.chat import tokenise
from ftlab.data.checks import (
    DIGITS,
    SAMPLED,
    RowView,
    find_in_sample,
    find_problems,
    needles_for,
)
from ftlab.data.checks.near import NearRows
from ftlab.data.foreign import detect_foreign
from ftlab.data.formats import Problem, detect, row_problems
from ftlab.data.found import Findings
from ftlab.data.problems import LOCAL, TOGETHER, about_whole, refused_by
from ftlab.data.readers import Reader
from ftlab.data.rows import BLANK_LINE, BOM, BadLine, is_blank, parse_line
from ftlab.data.screen import Match, Screen, n_quotes
from ftlab.data.sequences import Sequences
from ftlab.data.tally import RowTally
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer
from ftlab.data.typed import DECODERS, UNDECODABLE, Clean, n_quotes_of, of_row
from ftlab.issues import LINES_KEPT, Issue

STANDARD = "tokenizers"
"""The library that counts tokens where no faster one can."""
LONGEST_SAMPLE = 100_000  # characters of a row that is looked at token by token

Progress = Callable[[int], None]
"""Called with the bytes of the source that were read so far."""


class _Read(NamedTuple):
    """A block that was read and is still being searched."""

    block: Block
    rows: list[Clean | None]
    matches: Future[list[Match]]


class Scan:
    """One scan; `run` it once, then read it."""

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer | None,
        max_seq_length: int | None,
        train_on_inputs: bool | str = "auto",  # noqa: FBT001 (the field's own type)
        near: NearRows | None = None,
    ) -> None:
        self.name, self.tokenizer, self.max_seq_length = name, tokenizer, max_seq_length
        self.train_on_inputs = train_on_inputs
        # One time for the whole scan, or a template that writes it could change on the way.
        self.now = datetime.now()
        self.n_rows = self.n_bad_rows = 0
        self.passed_over = False
        """Whether a part of the source was too long to be looked at."""
        self.rows = RowTally(name, near)
        self.findings = Findings()
        self.format_lines: dict[str, list[int]] = {}
        self.formats: Counter[str] = Counter()
        self._foreign: Counter[str] = Counter()
        self._samples: tuple[list[RowView], ...] = ([], [])
        special = tokenizer.special_tokens if tokenizer else ()
        self.screen = Screen(needles_for(special), DIGITS)
        self.tokens = Sequences(self) if tokenizer else None

    def run(self, blocks: Iterable[Block], progress: Progress | None = None) -> None:
        """Read all blocks. Raises OSError."""
        # The standard library's tokens take a while to become numbers, in which it can go on.
        n_threads = 2 if self.tokens is not None and self.tokens.counter.name == STANDARD else 1
        with ThreadPoolExecutor(n_threads, "ftlab-scan") as pool, _quick_turns():
            before: _Read | None = None
            for block in blocks:
                matches = pool.submit(self.screen.matches, block.data)
                now = _Read(block, self._read(block), matches)
                if before is not None:
                    self._look_closer(*before)
                before = now
                if self.tokens is not None:
                    self.tokens.submit(pool)
                if progress is not None:
                    progress(block.end)
            if before is not None:
                self._look_closer(*before)
            if self.tokens is not None:
                self.tokens.finish(pool)
        self.rows.finish(self.n_rows, self.majority, self.tokens)

    @property
    def majority(self) -> str | None:
        """The format of most rows."""
        return min(self.formats, key=lambda name: (-self.formats[name], name), default=None)

    @property
    def foreign(self) -> str | None:
        """Whose format most rows have, where it is not one of ours."""
        name, n = self._foreign.most_common(1)[0] if self._foreign else ("", 0)
        return name or None if n > self.formats.total() else None

    # --- rows --------------------------------------------------------------------------------

    def _read(self, block: Block) -> list[Clean | None]:
        """Take in the rows of a block; None stands for those that went the exact way."""
        known = self.majority or self._first_format(block)
        decode = DECODERS[known]
        rows: list[Clean | None] = []
        # The service ends lines at a lone carriage return too.
        returns = b"\r" in block.data
        for number, line in enumerate(block.lines, start=block.first):
            try:
                row = None if returns and b"\r" in line.rstrip() else decode(line)
            except UNDECODABLE:
                row = None
            if row is None:
                self._exact(number, line)
            rows.append(row)
        clean = [row for row in rows if row is not None]
        self._accept(known, block.first, rows, clean)
        self.rows.flush()
        return rows

    def _first_format(self, block: Block) -> str:
        for line in block.lines[:100]:
            try:
                known = detect(parse_line(line.removeprefix(BOM)))
            except BadLine:
                continue
            if known is not None:
                return known.name
        return "conversation"

    def _accept(self, known: str, first: int, rows: list[Clean | None], clean: list[Clean]) -> None:
        """Count the rows of a block that are plainly right."""
        if not clean:
            return
        self.n_rows += len(clean)
        numbers = [n for n, row in enumerate(rows, first) if row is not None]
        self._count_format(known, numbers)
        self.rows.add(numbers, clean)
        if self.tokens is not None:
            for number, row in zip(numbers, clean, strict=True):
                self.tokens.add_clean(number, row)

    def _count_format(self, name: str, lines: list[int]) -> None:
        self.formats[name] += len(lines)
        kept = self.format_lines.setdefault(name, [])
        kept.extend(lines[: max(LINES_KEPT - len(kept), 0)])

    def _exact(self, number: int, line: bytes) -> None:
        problems = list(self._line_problems(number, line))
        self.report(number, problems)

    def report(self, number: int, problems: Iterable[Problem]) -> None:
        """Count what is wrong with a row; 0 stands for the file itself."""
        refused = self.findings.add(number, problems)
        self.n_bad_rows += refused and number > 0

    def _line_problems(self, number: int, line: bytes) -> Iterator[Problem]:
        if line is TOO_LONG:
            self.passed_over = True
            self.n_rows += 1
            yield LINE_TOO_LONG
            return
        if number == 1 and line.startswith(BOM):
            yield BYTE_ORDER_MARK
            line = line.removeprefix(BOM)
        if is_blank(line):
            yield BLANK_LINE
            return
        self.n_rows += 1
        try:
            row = parse_line(line)
        except BadLine as exc:
            yield exc.problem
            return
        yield from self._row_problems(number, row, line)

    def _row_problems(self, number: int, row: dict[str, Any], line: bytes) -> Iterator[Problem]:
        known = detect(row)
        if known is not None:
            self._count_format(known.name, [number])
        problems = row_problems(row)
        reader = detect_foreign(row) if known is None else None
        self._foreign[reader.name if reader else ""] += known is None
        yield from problems if reader is None else [_foreign(reader)]
        if known is None or refused_by("local", problems):
            return
        ours = {key: value for key, value in row.items() if key in known.keys}
        self.rows.add_row(number, ours, of_row(known.name, ours))
        if self.tokens is not None:
            yield from self.tokens.add_row(number, ours)

    # --- a closer look -----------------------------------------------------------------------

    def _look_closer(
        self, block: Block, rows: list[Clean | None], matches: Future[list[Match]]
    ) -> None:
        seen = self.screen.sorted(block.data, block.lines, matches.result())
        for place in sorted(seen.hits):
            self._check_texts(block.first + place, block.lines[place], seen.hits[place])
        # Keys that stand twice in an object: decoding keeps the last without a word.
        clean = [row for row in rows if row is not None]
        if len(clean) == len(rows) and seen.n_quotes == sum(map(n_quotes_of, clean)):
            return
        for number, (line, row) in enumerate(zip(block.lines, rows, strict=True), block.first):
            if row is not None and n_quotes(line) != n_quotes_of(row):
                self._check_keys(number, line)

    def _check_keys(self, number: int, line: bytes) -> None:
        try:
            problems = row_problems(parse_line(line))
        except BadLine as exc:
            problems = [exc.problem]
        self.report(number, problems)

    def _check_texts(self, number: int, line: bytes, names: set[str]) -> None:
        try:
            row = parse_line(line.removeprefix(BOM))
        except BadLine:
            return
        known = detect(row)
        if known is None or refused_by("local", row_problems(row)):
            return
        view = RowView(row, (), self.tokenizer, self.max_seq_length, number)
        self.report(number, find_problems(view, frozenset(names)))

    def check_sample(self) -> Iterator[Issue]:
        """What the first rows say about the model's template."""
        # Of a block the plain rows come after the others, so the first of both were kept.
        first = sorted(chain(*self._samples), key=lambda view: view.number)[:SAMPLED]
        if self.tokenizer is not None and first:
            yield from find_in_sample(first)

    def wants_sample(self, *, plain: bool) -> bool:
        """Whether there are not yet enough of the first plain rows, or of the first others."""
        return len(self._samples[plain]) < SAMPLED

    def add_sample(self, number: int, row: dict[str, Any], n_chars: int, *, plain: bool) -> None:
        """Keep one of the first rows with its tokens."""
        if self.tokenizer is None or not self.wants_sample(plain=plain) or n_chars > LONGEST_SAMPLE:
            return
        try:
            tokens = tokenise(row, self.tokenizer, self.train_on_inputs, now=self.now)
        except CannotRender:
            return
        view = RowView(row, tokens, self.tokenizer, self.max_seq_length, number)
        self._samples[plain].append(view)


_TURNS = threading.Lock()
_WAITING: list[float] = []
"""What the interval was before, once for every scan that goes on."""


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Let threads take turns more often: the others need Python's lock for microseconds only, and
    would else wait five milliseconds for it each time."""
    with _TURNS:
        _WAITING.append(_WAITING[0] if _WAITING else sys.getswitchinterval())
        sys.setswitchinterval(5e-5)
    try:
        yield
    finally:
        with _TURNS:
            before = _WAITING.pop()
            if not _WAITING:  # the last of the scans that go on at once
                sys.setswitchinterval(before)


def _foreign(reader: Reader) -> Problem:
    return about_whole(
        "unknown_format",
        f"The row is written as {reader.name} writes it; a row takes messages, or prompt and "
        "completion, or text, or input with two outputs. Convert the file, which changes nothing "
        "but the names.",
        value=reader.name,
        fix="convert",
    )


BYTE_ORDER_MARK = about_whole(
    "byte_order_mark",
    "The file starts with a byte order mark; the hosted service takes UTF-8 without one. "
    "Save the file without it.",
    blocks=TOGETHER,
    level="warning",
    fix="byte_order_mark",
)
LINE_TOO_LONG = about_whole(
    "line_too_long",
    f"The line is longer than {LONGEST_LINE >> 20} MiB; a line holds one row, and no model sees "
    "that much at once. It was passed over; check that the file has newlines between its rows.",
    blocks=LOCAL,
)
