"""Rows that a run is measured on, one after another, as prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftlab.answers.rows import Question, question_of
from ftlab.data.rows import Rows, split
from ftlab.run import Run
from ftlab.spec import JobSpec, filled
from ftlab.ui.pump import PUMP
from ftlab.ui.state import State

Found = Callable[[Question, str], Any]
"""Gets a row's question, and where it stands."""
NO_ROW = "No row was held back, so there is none to ask. Type a prompt."
NO_QUESTION = "The row has no question and answer. Type a prompt."


class ValidationRows:
    """Of the run that is shown."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._place = 0
        self._of = ""
        self._rows: tuple[Rows, Sequence[int]] | None = None

    @property
    def are_there(self) -> bool:
        run = self.state.run
        spec = None if run is None else run.job.spec
        return spec is not None and bool(spec.validation_file or spec.validation_split)

    def next(self, found: Found) -> None:
        """Hand over the next one; a file is looked through the first time, on another thread."""
        run = self.state.run
        if run is None:
            return
        if run.id == self._of and self._rows is not None:
            self._hand_over(self._rows, found)
            return

        def read(rows: tuple[Rows, Sequence[int]]) -> None:
            if self.state.run is None or self.state.run.id != run.id:
                return  # another one is shown by now
            self._of, self._rows, self._place = run.id, rows, 0
            self._hand_over(rows, found)

        PUMP.work(lambda: validation_rows(run), read, self.state.tell)

    def _hand_over(self, known: tuple[Rows, Sequence[int]], found: Found) -> None:
        rows, places = known
        if not places:
            self.state.tell("tip", NO_ROW)
            return
        at = self._place % len(places)
        self._place += 1
        question = question_of(rows[places[at]])
        if question is None:
            self.state.tell("tip", NO_QUESTION)
            return
        line = rows.line_number(places[at])
        found(question, f"row {at + 1:,} of {len(places):,}, line {line:,}")


def validation_rows(run: Run) -> tuple[Rows, Sequence[int]]:
    """The rows of a file, and the places of those that the run is measured on."""
    spec: JobSpec = run.job.spec
    if spec.validation_file:
        rows = Rows(Path(spec.validation_file))
        return rows, range(len(rows))
    rows = Rows(Path(filled(spec.training_file, "training_file")))
    return rows, split(rows, filled(spec.validation_split, "validation_split"))[1]
