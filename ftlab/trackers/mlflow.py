"""MLflow: a point of a metric's history for each value, asked for before it is sent.

Its points can't be taken back: a step that was done anew has two, and the later one counts.
Without MLFLOW_TRACKING_URI its runs lie in `mlflow.db` among ftlab's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ftlab.events import Checkpoint, Metrics, Sample
from ftlab.trackers import PROJECT, Line, Told

ADDRESS, USER, PASSWORD = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)
# Its library waits for minutes and tries again by itself; here the next try begins anew.
BRISK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
RUN_TAG = "ftlab.run"
ENDINGS = {"completed": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
MOST_METRICS, MOST_PARAMS = 1000, 100
"""That one request may hold."""
LONGEST = 5000  # characters of a parameter or a tag
COLUMNS = ["step", "prompt", "text"]
Point = tuple[str, int, int]
"""Metric, step, milliseconds since the epoch."""


class Mlflow:
    rewrites = False

    def __init__(self, told: Told) -> None:
        for name, value in BRISK.items():
            os.environ.setdefault(name, value)
        address = _address(told)
        self._entities = import_module("mlflow.entities")
        self._client: Any = import_module("mlflow").MlflowClient(address)
        self._run = self._found(told) or self._made(told)
        self._client.update_run(self._id, status="RUNNING")
        self._tell_settings(told)
        self._samples: list[list[Any]] = []
        self._there = set(self._points())
        self.link = _link(address, self._run.info)

    @property
    def _id(self) -> str:
        return self._run.info.run_id

    # --- the run there -------------------------------------------------------------------------

    def _found(self, told: Told) -> Any:
        """The run that a mirror has made before, by its tag."""
        condition = f"tags.`{RUN_TAG}` = '{told.id}'"
        found = self._client.search_runs([self._experiment(told)], condition, max_results=1)
        return self._client.get_run(found[0].info.run_id) if found else None

    def _made(self, told: Told) -> Any:
        known = {
            "mlflow.note.content": told.notes[:LONGEST],
            "ftlab.tags": ", ".join(told.tags),
            "ftlab.sweep": told.group,
        }
        tags = {RUN_TAG: told.id, **{name: text for name, text in known.items() if text}}
        return self._client.create_run(self._experiment(told), tags=tags, run_name=told.name)

    def _tell_settings(self, told: Told) -> None:
        """Those that it has not got; they never change."""
        texts = {name: _text(value) for name, value in told.settings.items()}
        new = [
            self._entities.Param(name, text)
            for name, text in texts.items()
            if name not in self._run.data.params
        ]
        for some in _parts(new, MOST_PARAMS):
            self._client.log_batch(self._id, params=some)

    def _experiment(self, told: Told) -> str:
        name = told.project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name)

    def _points(self) -> Iterator[Point]:
        """What it has of every metric."""
        for name in self._run.data.metrics:
            for point in self._client.get_metric_history(self._id, name):
                yield name, point.step, point.timestamp

    # --- what comes ----------------------------------------------------------------------------

    def add(self, lines: Sequence[Line]) -> None:
        new = [metric for line in lines for metric in self._metrics(line)]
        for some in _parts(new, MOST_METRICS):
            self._client.log_batch(self._id, metrics=some)
        self._there.update((m.key, m.step, m.timestamp) for m in new)
        tags = {f"checkpoint.{e.step}": e.ref for line in lines if (e := _checkpoint(line))}
        for name, ref in tags.items():
            self._client.set_tag(self._id, name, ref)
        samples = [line.event for line in lines if isinstance(line.event, Sample)]
        if samples:
            self._samples += [[s.step, s.prompt, s.text] for s in samples]
            table = {"columns": COLUMNS, "data": self._samples}
            self._client.log_text(self._id, json.dumps(table), "samples.json")
            kept = json.dumps([{"path": "samples.json", "type": "table"}])
            self._client.set_tag(self._id, "mlflow.loggedArtifacts", kept)

    def _metrics(self, line: Line) -> Iterator[Any]:
        match line.event:
            case Metrics(step=step, time=time, values=values):
                axes = line.axes if "train_loss" in values else {}
                for name, value in {**values, **axes}.items():
                    point = name, step, round(1000 * time)
                    if point not in self._there:
                        yield self._entities.Metric(name, value, point[2], step)

    def close(self, status: str, ending: Mapping[str, str]) -> None:
        for name, text in ending.items():
            self._client.set_tag(self._id, name, text[:LONGEST])
        self._client.set_terminated(self._id, ENDINGS.get(status, "SCHEDULED"))


def _address(told: Told) -> str:
    """Where its runs lie. A user in the address goes where its library looks for one, so that no
    message shows it."""
    given = os.environ.get(ADDRESS)
    if not given:
        return f"sqlite:///{quote(str(told.runs / 'mlflow.db'))}"
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return given
    os.environ[USER], os.environ[PASSWORD] = map(unquote, (parts.username, parts.password or ""))
    _, _, host = parts.netloc.rpartition("@")
    os.environ[ADDRESS] = parts._replace(netloc=host).geturl()
    return os.environ[ADDRESS]


def _link(address: str, info: Any) -> str:
    """Its page, or the command that shows what lies on this machine."""
    if address.startswith("http"):
        return f"{address.rstrip('/')}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return f"mlflow ui --backend-store-uri {address} (run {info.run_id})"


def _checkpoint(line: Line) -> Checkpoint | None:
    return line.event if isinstance(line.event, Checkpoint) else None


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:LONGEST]


def _parts(some: Sequence[Any], most: int) -> Iterable[Sequence[Any]]:
    return (some[start : start + most] for start in range(0, len(some), most))
