"""A tracker that is down, dies, hangs or fails: training knows nothing of it, and all arrives."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random

import pytest

import ftlab
from ftlab.trackers.shown import reports_of
from ftlab.trackers.states import MirrorFolder
from tests.fakes.trackers import Mlflow, Wandb
from tests.small import save_model
from tests.trackers.test_backfill import rows_of
from tests.trackers.world import (
    KEY,
    ORACLE,
    at,
    finished,
    killed,
    made,
    resumed,
    same,
    start,
    until,
    write,
)

SERVERS = {"mlflow": Mlflow, "wandb": Wandb}


def points_of(server, tracker, run):
    """Metric → (step, value), as they came."""
    if tracker == "wandb":
        return rows_of(server.histories[run.id])
    [points] = server.points.values()
    found = {}
    for point in points:
        found.setdefault(point["key"], []).append((int(point["step"]), float(point["value"])))
    return found


def check(server, tracker, run):
    found = points_of(server, tracker, run)
    for name in ("train_loss", "eval_loss"):
        steps = [step for step, _ in found[name]]
        assert len(steps) == len(set(steps)), (name, steps)
    same({name: dict(points) for name, points in found.items()}, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "outage"),
    [("mlflow", "down"), ("mlflow", "hangs"), ("wandb", "hangs"), ("wandb", "error")],
)
def test_a_tracker_that_takes_nothing_at_first_has_everything_in_the_end(tmp_path, tracker, outage):
    run = made(tmp_path)
    resumed(run)
    with SERVERS[tracker]().running() as server:
        if outage == "down":
            server.down()
        else:
            server.mode = outage
        process = start(run, tracker, **at(tracker, server.address))
        if outage == "hangs":
            until(lambda: server.n_asked > 0, process)
        else:
            until(lambda: MirrorFolder(run, tracker).state.problem, process)
        if outage == "down":
            server.up()
        server.mode = "ok"
        finished(process, run, tracker)
        check(server, tracker, run)
    assert_no_secret(run)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", SERVERS)
def test_a_tracker_that_dies_in_the_middle_has_everything_once_it_is_back(tmp_path, tracker):
    run = made(tmp_path)
    lock = run.lock()
    with SERVERS[tracker]().running() as server:
        process = start(run, tracker, **at(tracker, server.address))
        until(lambda: MirrorFolder(run, tracker).state.step == 8, process)
        server.down()
        write(run, 1, 8, 11)
        server.up()
        os.close(lock)
        finished(process, run, tracker)
        check(server, tracker, run)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", SERVERS)
def test_a_server_has_every_step_once_from_a_mirror_that_was_killed(tmp_path, tracker):
    """Also those that were sent and not remembered: the server is asked what it has."""
    run = made(tmp_path)
    resumed(run, until=40)
    with SERVERS[tracker]().running() as server:
        killed(run, tracker, 1, random.Random(tracker), **at(tracker, server.address))
        check(server, tracker, run)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["mlflow"])
def test_who_never_answers_is_given_up_and_the_way_on_is_said(tmp_path, tracker):
    run = made(tmp_path)
    resumed(run)
    with SERVERS[tracker]().running() as server:
        server.mode = "hangs"
        process = start(run, tracker, patience=2.0, **at(tracker, server.address))
        assert process.wait(100) == 1
        [report] = reports_of(run)
        assert not report.is_alive
        assert not report.is_whole
        assert f"`ftlab track {run.id} --to {tracker}` goes on" in report.text
        server.mode = "ok"
        finished(start(run, tracker, **at(tracker, server.address)), run, tracker)
        check(server, tracker, run)


@pytest.mark.slow
def test_no_file_of_a_mirror_holds_the_password_of_an_address(tmp_path):
    run = made(tmp_path)
    resumed(run)
    with Mlflow().running() as server:
        address = server.address.replace("//", f"//somebody:{KEY}@")
        server.mode = "error"
        process = start(run, "mlflow", MLFLOW_TRACKING_URI=address)
        until(lambda: MirrorFolder(run, "mlflow").state.problem, process)
        server.mode = "ok"
        finished(process, run, "mlflow")
    assert_no_secret(run)


def assert_no_secret(run):
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.slow
def test_losses_are_the_same_bits_whatever_becomes_of_the_trackers(tmp_path, monkeypatch):
    """One server hangs, one is not there; the job is checked, started and trained as ever."""
    from tests.exchange.oracles import environment

    job = {
        **{
            "model": str(save_model(tmp_path / "model")),
            "training_file": str(tmp_path / "t.jsonl"),
        },
        **{"lora_r": 4, "n_epochs": 1, "max_steps": 6, "batch_size": 2, "learning_rate": 1e-2},
    }
    rows = ({"prompt": f"{n} and {n}", "completion": f"is {2 * n}"} for n in range(12))
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    alone = ftlab.submit(job, folder=tmp_path / "runs", device="cpu")
    assert alone.wait(200).status == "completed"
    monkeypatch.syspath_prepend(environment(ORACLE)["PYTHONPATH"])
    monkeypatch.setenv("PYTHONPATH", environment(ORACLE)["PYTHONPATH"], prepend=os.pathsep)
    with Mlflow().running() as server:
        server.mode = "hangs"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        run = ftlab.submit(job, folder=tmp_path / "runs", device="cpu", track=["mlflow", "wandb"])
        assert run.wait(200).status == "completed"
        assert {report.tracker for report in reports_of(run)} == {"mlflow", "wandb"}
        ours, others = (one.history.series["train_loss"] for one in (run, alone))
        assert ours == others
        assert all(map(math.isfinite, ours.values()))
        for report in reports_of(run):
            stop(MirrorFolder(run, report.tracker))


def stop(folder):
    """End a mirror that was started detached, and what it started, by its lock's holder."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if str(folder.run.path) in (process.info["cmdline"] or ()) and folder.is_alive:
            gone = contextlib.suppress(psutil.NoSuchProcess)  # some have just ended
            with gone:
                for one in (*process.children(recursive=True), process):
                    with gone:
                        one.kill()
