"""A trainer that waits: a run takes it over, it ends with its owner, and nothing needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ftlab import demo
from ftlab.providers import submit
from ftlab.spare import SPARE, SWITCH, Spare

pytestmark = pytest.mark.slow
JOB = {
    "model": "demo",
    "training_file": str(demo.TRAIN),
    "max_steps": 2,
    "batch_size": 4,
}


@pytest.fixture(autouse=True)
def _only_these(monkeypatch):
    monkeypatch.delenv(SWITCH)
    yield
    SPARE.end()


def wait(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def ready(spare):
    """Wait until it has imported what it needs: it asks for nothing more."""
    process = psutil.Process(spare.process.pid)
    wait(lambda: process.status() == psutil.STATUS_SLEEPING and is_listening(process))
    return process


def is_listening(process):
    """Blocked in its socket, with torch loaded."""
    return any("torch" in library.path for library in process.memory_maps()) and (
        process.cpu_percent(0.2) == 0.0
    )


def test_a_run_takes_over_the_trainer_that_waits(tmp_path):
    SPARE.warm()
    process = ready(SPARE._waiting)
    assert SPARE.memory_bytes > 100 * 2**20
    run = submit(JOB, folder=tmp_path)
    assert not SPARE.is_here  # it has work now
    assert run.wait(60).status == "completed"
    assert len(run.history.series["train_loss"]) == 2
    wait(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_run_may_come_while_it_still_imports(tmp_path):
    SPARE.warm()
    run = submit(JOB, folder=tmp_path)
    assert run.wait(60).status == "completed"
    assert (run.log_file).exists()


def test_without_one_a_run_starts_its_own_process(tmp_path):
    SPARE.warm()
    os.kill(SPARE._waiting.process.pid, signal.SIGKILL)
    SPARE._waiting.process.wait()
    assert submit(JOB, folder=tmp_path).wait(60).status == "completed"


def test_it_ends_with_the_process_that_started_it():
    code = "from ftlab.spare import SPARE; SPARE.warm(); print(SPARE._waiting.process.pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    wait(lambda: not psutil.pid_exists(pid) or not _is_ours(pid))


def _is_ours(pid):
    try:
        return "ftlab.train.spare" in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def test_one_that_is_let_go_is_gone():
    spare = Spare()
    spare.warm()
    pid = spare._waiting.process.pid
    spare.warm()  # one is enough
    assert spare._waiting.process.pid == pid
    spare.end()
    assert not spare.is_here
    assert spare.memory_bytes is None
    wait(lambda: not _is_ours(pid))


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv(SWITCH, "0")
    spare = Spare()
    spare.warm()
    assert not spare.is_here


def test_a_run_killed_in_it_is_told_of_as_any_other(tmp_path):
    SPARE.warm()
    pid = SPARE._waiting.process.pid
    run = submit({**JOB, "max_steps": 2000, "n_epochs": 500}, folder=tmp_path)
    wait(lambda: run.history.last_step > 1)
    os.kill(pid, signal.SIGKILL)
    wait(lambda: run.state.ended)
    wait(lambda: "SIGKILL" in run.state.detail, 10)
