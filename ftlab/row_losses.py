"""The losses of single rows that a run has told, read from their file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ftlab.events import RowLosses, Status

if TYPE_CHECKING:
    from pandas import DataFrame

    from ftlab.run import Run


def newest_first(file: Path) -> Iterator[RowLosses]:
    """What stands on the whole lines of a file, the last one first; nothing where there is none.
    A line that can't be read is left out."""
    try:
        whole, _, _ = file.read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return
    for line in reversed(whole.splitlines()):
        try:
            yield RowLosses.model_validate_json(line)
        except ValidationError:
            continue


def counted(told: Iterable[RowLosses], statuses: Sequence[Status]) -> Iterator[RowLosses]:
    """Without what later attempts have done anew; `told` is the newest first, and so is this."""
    begun = [(one.attempt, one.from_step) for one in statuses if one.from_step is not None]
    seen = set[tuple[str, int]]()
    for one in told:
        anew = any(attempt > one.attempt and start < one.step for attempt, start in begun)
        if not anew and (one.file, one.step) not in seen:
            seen.add((one.file, one.step))
            yield one


def rows_of_step(run: Run, step: int) -> tuple[RowLosses, ...]:
    """What a run has told of the rows of one step, those with the highest losses first: of the
    step itself, then of an evaluation after it. Nothing where nothing was told of it."""
    return tuple(sorted(of_step(run.told_of_rows(), step), key=lambda one: one.file))


def of_step(told: Iterable[RowLosses], step: int) -> Iterator[RowLosses]:
    """Those of one step, each with its highest losses first; `told` is the newest first."""
    for one in told:
        if one.step < step:
            return
        if one.step == step:
            rows = highest([one], len(one.lines))
            lines, losses = zip(*rows, strict=True) if rows else ((), ())
            yield one.model_copy(update={"lines": lines, "losses": losses})


def frame(told: Iterable[RowLosses]) -> DataFrame:
    """One line per step and row, the steps rising."""
    import pandas as pd

    found = [
        (one.step, one.file, line, loss)
        for one in told
        for line, loss in zip(one.lines, one.losses, strict=True)
    ]
    columns = pd.DataFrame(found, columns=["step", "file", "line", "loss"])
    return columns.sort_values(["step", "file"], kind="stable", ignore_index=True)


def highest(told: Iterable[RowLosses], n: int) -> list[tuple[int, float]]:
    """(line, loss) of the rows with the highest losses; a row that was told of several times
    counts with the first. What is no number counts as highest."""
    found: dict[int, float] = {}
    for one in told:
        for line, loss in zip(one.lines, one.losses, strict=True):
            found.setdefault(line, loss)
    return sorted(found.items(), key=lambda row: (row[1] == row[1], -row[1]))[:n]
