"""The sequences of a scan: laid out row by row, counted a block behind, checked by their counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.data.chat import Layout, lay_out
from ftlab.data.checks import RowView, find_problems
from ftlab.data.counts import Counts, Encoded, TokenCounter
from ftlab.data.problems import (
    LOCAL,
    Problem,
    about_whole,
    half_character,
    has_half_character,
)
from ftlab.data.skeleton import Filled, Skeletons
from ftlab.data.stats import TokenStats
from ftlab.data.template import CannotRender, TemplateRunsAway
from ftlab.data.typed import Clean, as_row

if TYPE_CHECKING:
    from ftlab.data.scans import Scan

BATCH, BATCH_CHARS = 300, 1 << 22
"""Sequences or characters that are counted at once: arrays so short cost the same whatever is in
them."""
COUNT_CHECKS = frozenset({"nothing_trained", "answer_cut"})


_Encoding = tuple[list[int], list[Layout | Filled], Future[Encoded]]
"""(row numbers, sequences, their tokens) of a block."""


class Sequences:
    """The token counts of a scan, a block behind its rows."""

    def __init__(self, scan: Scan) -> None:
        assert scan.tokenizer is not None
        self._scan = scan
        self._skeletons = Skeletons(scan.tokenizer, scan.train_on_inputs, scan.now)
        self.counter = TokenCounter(scan.tokenizer, scan.max_seq_length)
        self._layouts: list[Layout | Filled] = []
        self._numbers: list[int] = []
        self._n_chars = 0
        self._waiting: deque[_Encoding] = deque()
        self.lengths, self.by_role = Counter[int](), Counter[str]()
        self.run_starts, self.run_ends = Counter[int](), Counter[int]()
        self.first_trained, self.last_trained = Counter[int](), Counter[int]()
        self.per_row: list[tuple[Any, Any, Any]] = []
        self.loss_tokens = 0
        self.runs_away = False

    def add_clean(self, number: int, row: Clean) -> None:
        """Lay out a plain row."""
        if self.runs_away:
            return
        try:
            layouts = self._skeletons.layouts(row)
        except TemplateRunsAway as exc:
            self._give_up(number, exc)
            return
        except CannotRender as exc:
            self._scan.report(number, [_cannot_render(exc)])
            return
        self._take(number, layouts)
        if self._scan.wants_sample(plain=True):
            n_chars = sum(map(len, row.contents))
            self._scan.add_sample(number, as_row(row), n_chars, plain=True)

    def add_row(self, number: int, row: dict[str, Any]) -> Iterator[Problem]:
        """Lay out a row that is not so plain; yields why it can't be."""
        scan = self._scan
        assert scan.tokenizer is not None
        if self.runs_away:
            return
        try:
            layouts = lay_out(row, scan.tokenizer, scan.train_on_inputs, now=scan.now)
            for layout in layouts:
                _check_text(layout.text)
        except TemplateRunsAway as exc:
            self.runs_away = True
            yield _cannot_render(exc)
            return
        except CannotRender as exc:
            yield _cannot_render(exc)
            return
        self._take(number, layouts)
        n_chars = sum(len(layout.text) for layout in layouts)
        scan.add_sample(number, row, n_chars, plain=False)

    def _give_up(self, number: int, exc: TemplateRunsAway) -> None:
        """One row is enough to know; each of the others would take as long."""
        self.runs_away = True
        self._scan.report(number, [_cannot_render(exc)])

    def _take(self, number: int, layouts: Iterable[Layout | Filled]) -> None:
        for layout in layouts:
            self._layouts.append(layout)
            self._numbers.append(number)
            self._n_chars += len(layout.text)

    def submit(self, pool: ThreadPoolExecutor) -> None:
        """Count what was laid out since, once it is worth it, and take in what has been counted
        meanwhile."""
        if len(self._layouts) >= BATCH or self._n_chars >= BATCH_CHARS:
            self._submit(pool)

    def finish(self, pool: ThreadPoolExecutor) -> None:
        """Count the rest."""
        self._submit(pool)
        while self._waiting:
            self._collect()

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        if self._layouts:
            job = pool.submit(self.counter.encode, [one.text for one in self._layouts])
            self._waiting.append((self._numbers, self._layouts, job))
            self._layouts, self._numbers, self._n_chars = [], [], 0
        while len(self._waiting) > 1:
            self._collect()

    def _collect(self) -> None:
        numbers, layouts, job = self._waiting.popleft()
        counts = self.counter.counted(layouts, job.result())
        # Four bytes each: this is kept of every row.
        n_tokens, n_trained = counts.n_tokens.astype(np.int32), counts.n_trained.astype(np.int32)
        self.per_row.append((np.array(numbers, np.int32), n_tokens, n_trained))
        _tally(self.lengths, counts.n_tokens)
        _tally(self.run_starts, counts.spans[0])
        _tally(self.run_ends, counts.spans[1])
        trains = counts.n_trained > 0
        _tally(self.first_trained, counts.first[trains])
        _tally(self.last_trained, counts.last[trains])
        self.by_role.update(counts.by_role)
        self.loss_tokens += int(counts.n_kept.sum())
        lacking = (counts.n_kept < counts.n_trained) | ~trains
        if lacking.any():
            self._check(numbers, counts, lacking)

    def _check(self, numbers: list[int], counts: Counts, lacking: np.ndarray) -> None:
        """The checks that look at no more than counts, on the rows that lose something."""
        lines = np.array(numbers)
        figures = np.stack((lines, counts.n_tokens, counts.n_trained, counts.n_kept), axis=1)
        rows: dict[int, list[Counted]] = {}
        # With the other sequences of such rows.
        for number, *found in figures[np.isin(lines, lines[lacking])].tolist():
            rows.setdefault(number, []).append(Counted(*found))
        scan = self._scan
        for number, sequences in rows.items():
            view = RowView({}, tuple(sequences), scan.tokenizer, scan.max_seq_length, number)
            scan.report(number, find_problems(view, COUNT_CHECKS))

    @property
    def is_exact(self) -> bool:
        """Whether every row was laid out as the template itself does it."""
        return not self._skeletons.differed

    def stats(self) -> TokenStats:
        """The figures so far."""
        return TokenStats(
            lengths=dict(self.lengths),
            by_role=dict(self.by_role),
            run_starts=dict(self.run_starts),
            run_ends=dict(self.run_ends),
            first_trained=dict(self.first_trained),
            last_trained=dict(self.last_trained),
        )


class Counted:
    """A sequence of which only the counts are known; a check sees it as it sees `Tokens`."""

    def __init__(self, n_tokens: int, n_trained: int, n_kept: int) -> None:
        self.ids = range(n_tokens)
        self.n_trained, self.n_kept = n_trained, n_kept

    def cut(self, _: int | None) -> Counted:
        """Within the length that the scan was made for."""
        return Counted(len(self.ids), self.n_kept, self.n_kept)


def _tally(counter: Counter[int], values: Any) -> None:
    unique, n = np.unique(values, return_counts=True)
    counter.update(dict(zip(unique.tolist(), n.tolist(), strict=True)))


def _check_text(text: str) -> None:
    if has_half_character(text):
        raise CannotRender(half_character("The row"))


def _cannot_render(exc: CannotRender) -> Problem:
    return about_whole("cannot_render", str(exc), blocks=LOCAL)
