"""A run that has ended is mirrored whole, once, and read back by each tracker's own reader."""

from __future__ import annotations

import json
import math
import os
import random

import pytest

from ftlab.trackers.states import MirrorFolder
from tests.exchange.oracles import ask
from tests.fakes.trackers import Wandb
from tests.trackers.world import (
    ORACLE,
    at,
    finished,
    killed,
    made,
    quiet,
    resumed,
    same,
    start,
    until,
)

TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
read = EventAccumulator(json.load(sys.stdin), {"scalars": 0, "tensors": 0})
read.Reload()
tags = read.Tags()
scalars = {tag: [[e.step, e.value, e.wall_time] for e in read.Scalars(tag)]
           for tag in tags["scalars"]}
texts = {tag: [[e.step, make_ndarray(e.tensor_proto).item().decode()] for e in read.Tensors(tag)]
         for tag in tags["tensors"]}
print(json.dumps([scalars, texts]))
"""
MLFLOW = """
import json, os, sys
address, run_id = json.load(sys.stdin)
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
from mlflow import MlflowClient
client = MlflowClient(address)
[experiment] = [e for e in client.search_experiments() if e.name == "ftlab"]
[run] = client.search_runs([experiment.experiment_id])
points = {name: [[p.step, p.value] for p in client.get_metric_history(run.info.run_id, name)]
          for name in run.data.metrics}
table = client.download_artifacts(run.info.run_id, "samples.json")
print(json.dumps([points, run.data.tags, run.data.params, run.info.status, run.info.run_name,
                  open(table).read()]))
"""
TRACKIO = """
import json, os, sys
os.environ["TRACKIO_DIR"], run_id = json.load(sys.stdin)
from trackio.api import Api
from trackio.sqlite_storage import SQLiteStorage
[run] = Api().runs("ftlab")
assert run.name == run_id
print(json.dumps([SQLiteStorage.get_logs("ftlab", run.name, run_id=run.id), run.config]))
"""


def of_tensorboard(run):
    scalars, texts = ask(ORACLE, TENSORBOARD, str(run.mirror("tensorboard")))
    assert [step for step, _ in texts["samples"]] == [3, 3, 6, 6, 9, 9]
    assert "two \\| three" in texts["samples"][1][1]
    assert dict(texts["checkpoints"])[9] == "checkpoints/step-00000009"
    assert "| status | completed |" in texts["end"][-1][1]
    assert "learning_rate" in texts["run"][0][1]
    first = scalars["train_loss"][0]
    assert first[2] == run.history.times.get(1, 1002.0)
    return {tag: [(step, value) for step, value, _ in some] for tag, some in scalars.items()}, 1e-6


def of_mlflow(run):
    asked = [quiet(run)["MLFLOW_TRACKING_URI"], run.id]
    points, tags, params, status, name, table = ask(ORACLE, MLFLOW, asked)
    assert (status, name) == ("FINISHED", "a name")
    assert tags["ftlab.tags"] == "x, y"
    assert tags["checkpoint.9"] == "checkpoints/step-00000009"
    assert tags["status"] == "completed"
    assert params["learning_rate"] == "0.0003"
    assert [row[0] for row in json.loads(table)["data"]] == [3, 3, 6, 6, 9, 9]
    return points, 0.0


def of_trackio(run):
    rows, settings = ask(ORACLE, TRACKIO, [quiet(run)["TRACKIO_DIR"], run.id])
    assert settings["learning_rate"] == 3e-4
    assert "completed" in json.dumps(rows[-1])
    assert [cell["step"] for cell in rows[-1]["samples"]["_value"]] == [3, 3, 6, 6, 9, 9]
    found = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (int, float)):
                found.setdefault(name, []).append((row["step"], value))
    return found, 0.0


def of_wandb(run):
    """Its own `wandb sync` reads the file, and sends it to a server here."""
    with Wandb().running() as server:
        code = "import subprocess, sys, json; place = json.load(sys.stdin)\n" + SYNC
        place = MirrorFolder(run, "wandb").state.link.removeprefix("wandb sync ")
        ask(ORACLE, code, [place, at("wandb", server.address)])
        assert server.buckets[run.id]["displayName"] == "a name"
        assert set(server.buckets[run.id]["tags"]) == {"x", "y"}
        assert json.loads(server.buckets[run.id]["config"])["learning_rate"]["value"] == 3e-4
        assert server.summaries[run.id]["status"] == "completed"
        return rows_of(server.histories[run.id]), 0.0


SYNC = """
import os
os.environ.update(place[1])
done = subprocess.run([sys.executable, "-m", "wandb", "sync", place[0]], capture_output=True)
assert done.returncode == 0, done.stdout + done.stderr
print("null")
"""


def rows_of(history):
    """Metric → (step, value) in the order of the lines; the axes once for each step."""
    found = {}
    for line in map(json.loads, history):
        for name, value in line.items():
            if isinstance(value, (int, float)) and ("train_loss" in line or name == "eval_loss"):
                found.setdefault(name, []).append((line["step"], value))
    return found


READERS = {
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "trackio": of_trackio,
    "wandb": of_wandb,
}


def check(run, tracker):
    """Each step of each metric once, with its value."""
    found, digits = READERS[tracker](run)
    for name in ("train_loss", "eval_loss", "learning_rate", "trained_tokens"):
        steps = [step for step, _ in found[name]]
        assert len(steps) == len(set(steps)), (name, steps)
    same({name: dict(points) for name, points in found.items()}, run, digits=digits)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", READERS)
def test_an_ended_run_is_there_whole_and_once_also_after_a_kill(tmp_path, tracker):
    """`tests/benchmarks/tracker_kills.py` kills more."""
    run = made(tmp_path)
    resumed(run)
    killed(run, tracker, int(tracker != "mlflow"), random.Random(tracker))
    check(run, tracker)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["tensorboard"])
def test_steps_that_are_overtaken_while_it_looks_on_are_gone(tmp_path, tracker):
    """The run is live, by its lock, until its second attempt has ended."""
    run = made(tmp_path)
    lock = run.lock()
    process = start(run, tracker)
    until(lambda: MirrorFolder(run, tracker).state.step == 8, process)
    resumed(run)
    os.close(lock)
    finished(process, run, tracker)
    check(run, tracker)
    assert math.isclose(run.history.series["train_loss"][7], 2 / 7)
