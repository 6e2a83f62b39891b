"""The columns of a sheet, filled with what the models say and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from ftlab.run import Run
from ftlab.scores.asking import Models, Task
from ftlab.scores.columns import Wanted
from ftlab.scores.metrics import Metric, Needs, Seen
from ftlab.scores.rows import training_places
from ftlab.scores.sheet import BASE, Column, Kept, Sheet
from ftlab.scores.shots import Shots
from ftlab.scores.tasks import Reader, Scorable, with_shots

NEEDS: tuple[Needs, ...] = ("answers", "losses")
Progress = Callable[[int, int, str], None]
"""Hears (done, of, what is being done): how far all columns are, and in words at which row."""


class _Part(NamedTuple):
    """What a column still has to be asked."""

    wanted: Wanted
    column: Column
    need: Needs
    tasks: list[Task]


@dataclass
class Filling:
    """One scoring under way; what is known already is not asked again."""

    run: Run
    kept: Kept
    rows: Scorable
    reader: Reader
    metrics: list[Metric]
    progress: Progress

    @property
    def sheet(self) -> Sheet:
        return self.kept.sheet

    def fill(self, wanted: Iterable[Wanted], models: Models) -> None:
        """Ask the models for each column in turn, then measure all."""
        columns = [(one, self._column(one)) for one in wanted]
        parts = [part for one, column in columns for part in self._parts(one, column)]
        total, done = sum(len(part.tasks) for part in parts), 0
        for part in parts:
            n_rows, what = 0, f"{part.wanted.name}, {part.need}"
            for n in chain((0,), self._ask(part, models)):
                done, n_rows = done + n, n_rows + n
                self.progress(done, total, _at_row(what, n_rows, len(part.tasks)))
        for one, column in columns:
            self._measure(one, column)

    def _column(self, one: Wanted) -> Column:
        """The one that is kept, where its model is still the same, or a new one."""
        known = self.sheet.columns.get(one.name)
        if known is None or known.identity != one.identity:
            n = len(self.sheet.rows)
            known = Column.empty(one.name, one.model, one.identity, one.shots, n)
            self.sheet.columns[one.name] = known
        return known

    def _parts(self, one: Wanted, column: Column) -> Iterator[_Part]:
        tasks = self._tasks(one, column)
        needed = {metric.needs for metric in self.metrics}
        for need in NEEDS:
            left = [t for t in tasks if need in needed and _is_open(t, column, need)]
            if left:
                yield _Part(one, column, need, left)

    def _tasks(self, one: Wanted, column: Column) -> list[Task]:
        if not one.shots:
            return self.rows.tasks
        rows, places = training_places(self.run)
        shots = Shots(rows, places, one.shots, self.sheet.settings["seed"])
        room = self.sheet.settings["max_tokens"]
        tasks, column.notes = with_shots(self.rows.rows, self.reader, room, shots)
        return tasks

    def _ask(self, part: _Part, models: Models) -> Iterator[int]:
        """Rows that were answered, each time some are."""
        column, model = part.column, part.column.model
        models.wait()
        before, began = column.seconds, time.monotonic()
        if part.need == "answers":
            batches = models.answers(part.tasks, model, self.sheet.settings["max_tokens"])
            kept = column.answers
        else:
            batches, kept = models.losses(part.tasks, model), column.losses
        for batch in batches:
            for place, said in batch:
                kept[place] = said  # pyright: ignore[reportArgumentType, reportCallIssue]
            column.seconds = before + time.monotonic() - began
            self.kept.save(now=False)
            yield len(batch)

    def _measure(self, one: Wanted, column: Column) -> None:
        """What each metric says of each row; a service is not asked again."""
        for metric in self.metrics:
            self.sheet.traits[metric.name] = metric.traits
            rows = self._seen(column)
            known = column.values.get(metric.name, [])
            if metric.is_paid:
                rows = rows[len(known) :]
            else:
                known = []
            column.values[metric.name] = known
            for n, value in enumerate(metric.over(rows, column.usage), start=1):
                known.append(value)
                if metric.is_paid:
                    what = _at_row(f"{one.name}, {metric.name}", n, len(rows))
                    self.progress(n, len(rows), what)
                    self.kept.save(now=False)

    def _seen(self, column: Column) -> list[Seen]:
        base = None if column.model == BASE and not column.shots else self.sheet.columns[BASE]
        before = [None] * len(self.sheet.rows) if base is None else self._seen(base)
        return [
            Seen(
                line=row.line,
                prompt=row.prompt,
                reference=row.reference,
                answer=answer,
                losses=losses or (),
                weight=float(data.get("weight", 1)),
                base=other,
                row=data,
            )
            for row, (_, data), answer, losses, other in zip(
                self.sheet.rows, self.rows.rows, column.answers, column.losses, before, strict=True
            )
        ]


def _at_row(what: str, n: int, of: int) -> str:
    return f"{what}: {n:,} of {of:,} rows"


def _is_open(task: Task, column: Column, need: Needs) -> bool:
    """Whether this has to be asked of the row still."""
    if need == "answers":
        return task.prompt is not None and column.answers[task.place] is None
    return bool(task.sequences) and column.losses[task.place] is None
