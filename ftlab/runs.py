"""Runs: the folder of all runs, and how to find one of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ftlab.errors import RunError
from ftlab.html import escaped
from ftlab.overview import Overview, overview, overview_html
from ftlab.run import Run as Run

FOLDER_VARIABLE = "FTLAB_RUNS"
DEFAULT_FOLDER = "ftlab-runs"
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Runs:
    """A folder of runs: `ftlab-runs/` here, or where FTLAB_RUNS says."""

    def __init__(self, folder: Path | str | None = None) -> None:
        chosen = folder or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER
        self.folder = Path(chosen).absolute()

    def __iter__(self) -> Iterator[Run]:
        """Runs, the newest first; folders with another kind of name are none of ours."""
        jobs = self.folder.glob("*/job.json")
        names = sorted((job.parent.name for job in jobs), reverse=True)
        for name in filter(ID_PATTERN.fullmatch, names):
            try:
                run = Run(self.folder / name)
            except RunError:  # deleted meanwhile
                continue
            yield run

    def __getitem__(self, run_id: str) -> Run:
        if not ID_PATTERN.fullmatch(run_id):
            raise RunError(
                f"{run_id!r} is no id of a run; ids are made of a-z, 0-9 and '-'. "
                "`ftlab runs` lists them."
            )
        return Run(self.folder / run_id)

    def latest(self) -> Run | None:
        """The newest run that is alive, or the newest of all."""
        newest = None
        for run in self:
            newest = newest or run
            if run.is_alive:
                return run
        return newest

    def tagged(self, tag: str) -> list[Run]:
        """Those with a tag, the newest first."""
        return [run for run in self if tag in run.tags]

    def overviews(self, tag: str | None = None) -> list[Overview]:
        """What a list says of each, the newest first; of those with a tag, if one is given."""
        return [overview(run) for run in (self if tag is None else self.tagged(tag))]

    def _repr_html_(self) -> str:
        return f"<div>Runs in {escaped(self.folder)}</div>{overview_html(self.overviews())}"


def attach(run: str | Path | None = None, folder: Path | str | None = None) -> Run:
    """A run by id or path; without one the newest that is alive, or the newest of all."""
    if isinstance(run, Path) or (isinstance(run, str) and os.sep in run):
        return Run(run)
    runs = Runs(folder)
    found = runs[run] if run is not None else runs.latest()
    if found is None:
        raise RunError(
            f"There is no run in {runs.folder}; runs lie in {DEFAULT_FOLDER}/ beside the notebook, "
            f"or where {FOLDER_VARIABLE} says. Start one, or name the folder."
        )
    return found
