"""trackio: one row for each step, in its own database on this machine or at its server.

On this machine the run is written anew by each mirror. At a server it goes on behind the last step
that is there; steps that were overtaken keep their first row.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ftlab.events import Checkpoint, Metrics, Sample
from ftlab.trackers import PROJECT, Line, Told

COLUMNS = ("step", "prompt", "text")
ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Trackio:
    def __init__(self, told: Told) -> None:
        trackio = import_module("trackio")
        project = told.project or PROJECT
        self.rewrites = not any(map(os.environ.get, ELSEWHERE))
        if self.rewrites:
            _take_away(project, told.id)
        self._run: Any = trackio.init(
            project=project,
            name=told.id,
            group=told.group,
            config=_config(told),
            resume="never" if self.rewrites else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._markdown = trackio.Markdown
        self._samples: list[tuple[int, str, str]] = []
        self._first = self._run._next_step
        self._step = self._n_sent = 0
        self._row: dict[str, Any] = {}
        self.link = f"trackio show --project {shlex.quote(project)}"

    def add(self, lines: Sequence[Line]) -> None:
        """A row is whole when the next step begins."""
        for line in lines:
            match line.event:
                case Metrics(step=step, values=values):
                    self._put(step, {**line.axes, **values})
                case Sample(step=step, prompt=prompt, text=text):
                    self._samples.append((step, prompt, text))
                    self._put(step, {"samples": self._table(self._samples)})
                case Checkpoint(step=step, ref=ref):
                    self._put(step, {"checkpoint": self._markdown(ref)})

    def _table(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        frame = import_module("pandas").DataFrame([*rows], columns=[*COLUMNS])
        return import_module("trackio").Table(dataframe=frame)

    def _put(self, step: int, values: Mapping[str, Any]) -> None:
        if step != self._step:
            self._send()
        self._step = step
        self._row |= values

    def _send(self) -> None:
        row, self._row = self._row, {}
        if row and self._step >= self._first:
            self._run.log(row, step=self._step)
            self._n_sent += 1

    def close(self, status: str, ending: Mapping[str, str]) -> None:
        if ending:
            text = "\n\n".join(f"**{name}** {said}" for name, said in ending.items())
            self._put(self._step, {"end": self._markdown(text)})
        self._send()
        self._run.finish()
        if self.rewrites and (n := self._n_there()) != self._n_sent:  # it only warns of that
            raise OSError(f"{n} rows of {self._n_sent} are in its database")

    def _n_there(self) -> int:
        storage = import_module("trackio.sqlite_storage").SQLiteStorage
        return storage.get_log_count(self._run.project, self._run.name, run_id=self._run.id)


def _config(told: Told) -> dict[str, Any]:
    about = {"name": told.name, "notes": told.notes, "tags": list(told.tags)}
    return {**about, **told.settings}


def _take_away(project: str, name: str) -> None:
    """The run as an earlier mirror has written it."""
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    while storage.delete_run(project, name):
        pass
