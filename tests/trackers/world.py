"""Runs as their trainers leave them, and mirrors as processes that see the trackers' libraries."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import ftlab
from ftlab.eventlog import EventWriter
from ftlab.events import Checkpoint, Metrics, Sample, Status
from ftlab.job import Job
from ftlab.processes import try_lock
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.trackers.states import MirrorFolder
from tests.exchange.oracles import environment

ORACLE = "trackers"
KEY = "k" * 40
NO_NUMBERS = {3: math.nan, 4: math.inf, 5: -math.inf}
DEADLINE = 200.0  # seconds; a mirror takes a few, unless the machine is very busy


def made(folder: Path) -> Run:
    """A run that was resumed: steps 7 and 8 of its first attempt were overtaken."""
    spec = JobSpec(model="m", suffix="demo", learning_rate=3e-4)
    run = Run.create(Job(spec=spec, provider="local", options={"device": "cpu"}), folder)
    run.rename("a name")
    run.tag("x", "y")
    write(run, 1, 0, 8)
    return run


def resumed(run: Run, until: int = 9) -> None:
    write(run, 2, 6, until)
    writer = EventWriter(run.event_file, 2)
    writer.append(Status(status="completed", time=3000.0))
    writer.close()


def write(run: Run, attempt: int, after: int, until: int) -> None:
    """An attempt's steps, two seconds each; every third is evaluated, sampled and saved."""
    writer, start = EventWriter(run.event_file, attempt), 1000.0 * attempt
    writer.append(Status(status="running", from_step=after, n_steps=9, time=start))
    for step in range(after + 1, until + 1):
        time = start + 2 * step
        loss = NO_NUMBERS.get(step, attempt / step)
        values = {"train_loss": loss, "learning_rate": 1e-4 / step, "loss_tokens": 100.0}
        writer.append(Metrics(step=step, time=time, values=values))
        if step % 3 == 0:
            writer.append(Metrics(step=step, time=time + 1, values={"eval_loss": 2 / step}))
            for prompt in ("one", "two | three"):
                writer.append(Sample(step=step, time=time, prompt=prompt, text=f"<{step}>"))
            writer.append(Checkpoint(step=step, time=time, ref=f"checkpoints/step-{step:08}"))
    writer.close()


def start(run: Run, tracker: str, patience: float = 60.0, **env: str) -> subprocess.Popen[bytes]:
    """The mirror as ftlab starts it, but as important as all else here."""
    folder = MirrorFolder(run, tracker)
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    assert try_lock(lock)
    seen = environment(ORACLE, **{**quiet(run), **env})
    seen["PYTHONPATH"] += f":{Path(ftlab.__file__).parents[1]}"
    arguments = [f"--to={tracker}", f"--patience={patience}", "--nice=0", f"--lock={lock}"]
    with folder.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ftlab.trackers", str(run.path), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            env=seen,
        )
    os.close(lock)
    return process


def killed(run: Run, tracker: str, kills: int, dice: random.Random, **env: str) -> None:
    """Mirror it with so many mirrors that are killed, and one that is not."""
    for _ in range(kills):
        process = start(run, tracker, **env)
        time.sleep(dice.uniform(0.2, 5.0))
        process.kill()
        process.wait()
    finished(start(run, tracker, **env), run, tracker)


def quiet(run: Run) -> dict[str, str]:
    """Nobody's account, and places of their own."""
    runs = run.path.parent
    return {
        **{"WANDB_MODE": "offline", "WANDB_INIT_TIMEOUT": "10", "NETRC": str(runs / "netrc")},
        **{"MLFLOW_TRACKING_URI": str(runs / "mlruns"), "MLFLOW_ALLOW_FILE_STORE": "true"},
        **{"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        **{"TRACKIO_DIR": str(runs / "trackio"), "HF_HUB_OFFLINE": "1"},
    }


def at(tracker: str, address: str) -> dict[str, str]:
    """What sends a mirror to a server."""
    if tracker == "mlflow":
        return {"MLFLOW_TRACKING_URI": address}
    return {"WANDB_MODE": "online", "WANDB_BASE_URL": address, "WANDB_API_KEY": KEY}


def until(condition, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for it. Fails when the process has ended without it, and after a long time."""
    end = time.monotonic() + DEADLINE
    while not condition():
        ended = process is not None and process.poll() is not None
        assert not (ended and not condition()), "the process has ended"
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def finished(process: subprocess.Popen[bytes], run: Run, tracker: str) -> None:
    """Wait for a mirror that ends when all is there."""
    process.wait(DEADLINE)
    folder = MirrorFolder(run, tracker)
    assert process.returncode == 0, folder.log_file.read_text()[-3000:]
    assert folder.state.is_whole
    assert not folder.is_alive


def told_by(run: Run) -> dict[str, dict[int, float]]:
    """Metric → step → value, as `run.metrics()` has them."""
    table = run.metrics()
    known = run.history.series
    return {name: {step: table[name][step] for step in known[name]} for name in table}


def same(found: dict[str, dict[int, float]], run: Run, *, digits: float = 0.0) -> None:
    """Assert that a tracker has each value of each step, and no other step of them."""
    wanted = told_by(run)
    for name, points in wanted.items():
        assert sorted(found[name]) == sorted(points), name
        for step, value in points.items():
            there = found[name][step]
            assert math.isclose(there, value, rel_tol=digits) or (
                math.isnan(there) and math.isnan(value)
            ), (name, step, there, value)
    tokens = {step: 100.0 * step for step in wanted["train_loss"]}
    assert {step: found["trained_tokens"][step] for step in tokens} == tokens
