"""A trainer that waits: a run takes it over, it ends with its owner, and nothing needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from ftlab import demo, spare
from ftlab.processes import environment
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


def test_one_whose_message_breaks_off_ends():
    SPARE.warm()
    waiting = SPARE._waiting
    ours, theirs = socket.socketpair()  # stand for the lock and the log
    with ours, theirs:
        socket.send_fds(
            waiting.line,
            [
                b'{"run": "x',
            ],
            [ours.fileno(), theirs.fileno()],
        )
    waiting.line.close()
    assert waiting.process.wait(60) == 0


@pytest.fixture
def idle():
    """One that takes what it is told and does nothing, and its end of the line."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    one = Spare()
    one._waiting = spare._Waiting(process, ours, environment())
    yield one, process
    process.kill()
    process.wait()
    for end in (ours, theirs):
        end.close()


def take_over(one, folder):
    with (folder / "lock").open("wb") as lock:
        return one.take_over(folder, folder / "log", lock.fileno(), lambda *_: None)


def test_one_that_was_started_otherwise_is_let_go(idle, tmp_path, monkeypatch):
    one, process = idle
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert not take_over(one, tmp_path)
    assert process.wait(10) == -signal.SIGKILL
    assert not one.is_here


def test_one_that_does_not_read_is_let_go(idle, tmp_path, monkeypatch):
    one, process = idle
    monkeypatch.setattr(spare, "PATIENCE", 0.1)
    line = one._waiting.line
    line.settimeout(0.1)
    with pytest.raises(TimeoutError):
        line.sendall(bytes(2**24))
    assert not take_over(one, tmp_path)
    assert process.wait(10) == -signal.SIGKILL


def test_one_that_died_is_not_followed_by_another_at_once(idle, monkeypatch):
    one, process = idle
    started = []
    monkeypatch.setattr(spare, "_started", lambda model: started.append(model))
    process.kill()
    process.wait()
    one.warm()
    one.warm()
    assert started == []
    one._rests_until = 0.0
    one.warm()
    assert started == [None]


def test_a_run_killed_in_it_is_told_of_as_any_other(tmp_path):
    SPARE.warm()
    pid = SPARE._waiting.process.pid
    run = submit({**JOB, "max_steps": 2000, "n_epochs": 500}, folder=tmp_path)
    wait(lambda: run.history.last_step > 1)
    os.kill(pid, signal.SIGKILL)
    wait(lambda: run.state.ended)
    wait(lambda: "SIGKILL" in run.state.detail, 10)
