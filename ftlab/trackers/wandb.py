"""W&B: one row of its history for each event of metrics.

Its own step must rise, and a resumed run does steps anew: so that is the line of the log, and
charts are drawn along a column `step`. Online the server says which lines it has; rows that were
overtaken stay there, and `attempt` tells them apart. Offline the run is written anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from ftlab.events import Metrics, Sample
from ftlab.trackers import PROJECT, Line, Told

AXIS = "step"
COLUMNS = ("step", "prompt", "text")
QUIET = {
    **{"console": "off", "silent": True, "disable_code": True, "disable_git": True},
    # They would be those of the mirror.
    **{"x_disable_stats": True, "x_disable_meta": True, "x_save_requirements": False},
}


class Wandb:
    def __init__(self, told: Told) -> None:
        wandb = self._wandb = import_module("wandb")
        before = _offline_copies(told)
        self._run: Any = wandb.init(
            project=told.project or os.environ.get("WANDB_PROJECT") or PROJECT,
            id=told.id,
            name=told.name,
            notes=told.notes,
            tags=told.tags,
            group=told.group,
            config=dict(told.settings),
            dir=told.folder,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )
        self.rewrites = bool(self._run.offline)
        self._first = 0 if self.rewrites else self._run.starting_step
        self._samples: list[tuple[int, str, str]] = []
        self._unshown: int | None = None
        """The line of the last sample that no table holds yet."""
        self.link = f"wandb sync {_own_folder(self._run)}" if self.rewrites else self._run.url or ""
        self._run.define_metric(AXIS, hidden=True)
        self._run.define_metric("*", step_metric=AXIS)
        for copy in before if self.rewrites else ():
            shutil.rmtree(copy, ignore_errors=True)

    def add(self, lines: Sequence[Line]) -> None:
        """Rows of metrics, and all samples until then as one table."""
        for line in lines:
            match line.event:
                case Metrics(step=step, time=time, attempt=attempt, values=values):
                    self._show_samples()
                    own = {AXIS: step, "attempt": attempt, "_timestamp": time}
                    self._log({**own, **line.axes, **values}, line.number)
                case Sample(step=step, prompt=prompt, text=text):
                    self._samples.append((step, prompt, text))
                    self._unshown = line.number
        self._show_samples()

    def _show_samples(self) -> None:
        number, self._unshown = self._unshown, None
        if number is not None:
            table = self._wandb.Html(_table(self._samples), inject=False)
            self._log({AXIS: self._samples[-1][0], "samples": table}, number)

    def _log(self, row: dict[str, Any], number: int) -> None:
        if number >= self._first:
            self._run.log(row, step=number, commit=True)

    def close(self, status: str, ending: Mapping[str, str]) -> None:
        """Its library sends the rest first, however long that takes."""
        self._run.summary.update(dict(ending))
        self._run.finish(exit_code=int(status == "failed"))


def _table(samples: Sequence[tuple[Any, ...]]) -> str:
    """W&B's own kind of table is an artifact, for which `log` waits until the server answers."""
    rows = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in samples)
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    return f"<table style='white-space:pre-wrap'><tr>{head}</tr>{body}</table>"


def _own_folder(run: Any) -> Path:
    return Path(run.dir).parent


def _offline_copies(told: Told) -> list[Path]:
    return [*(told.folder / "wandb").glob(f"offline-run-*-{told.id}")]
