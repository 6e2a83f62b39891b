"""How long a scoring may take, by those before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain, islice

from ftlab.errors import RunError
from ftlab.run import Run
from ftlab.scores.sheet import Sheet, kept_sheets, read_sheet

LOOKED_AT = 5
"""Other runs of the folder."""


def expected_seconds(run: Run, n_rows: int, n_columns: int) -> float | None:
    """What so many rows and columns would take, as the last scoring of the same model did in this
    folder; None where there was none."""
    model = run.job.spec.model
    for other in chain([run], islice(run.siblings(), LOOKED_AT)):
        with contextlib.suppress(RunError):
            if other.job.spec.model == model:
                for sheet in _sheets(other):
                    if pace := _seconds_per_row(sheet):
                        return pace * n_rows * n_columns
    return None


def _sheets(run: Run) -> Iterator[Sheet]:
    for file in kept_sheets(run.score_folder):
        with contextlib.suppress(RunError):
            yield read_sheet(file)


def _seconds_per_row(sheet: Sheet) -> float:
    """Of the slowest column."""
    paces = [column.seconds / len(sheet.rows) for column in sheet.columns.values()]
    return max(paces, default=0.0)
