"""Arms as tasks of a real Ray cluster: they come to what they do in one process, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftlab.processes import environment
from ftlab.sweeps.folder import Sweep
from tests.train.test_sweeping import comes_to, files, plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
__all__ = ["files", "plan"]
RATES = {"learning_rate": [1e-3, 3e-3, 1e-2]}
PATIENCE = 240.0  # seconds


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a cluster of two machines with a core each."""
    variables = {
        **{"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
        "RAY_worker_niceness": "0",  # by default a machine that is busy otherwise lets them starve
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.train.machines"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment(), **variables, "PYTHONPATH": os.getcwd()},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield next(line.strip() for line in process.stdout if ":" in line)
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


def until(holds, sweep):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, sweep.state
        time.sleep(0.02)


def test_where_no_cluster_answers_the_sweep_says_what_to_do(plan, tmp_path):
    sweep = Sweep.of(plan(RATES).model_copy(update={"ray": "auto"}), tmp_path)
    sweep.start()
    state = sweep.wait(PATIENCE)
    assert state.status == "failed"
    assert state.detail.startswith("No Ray cluster answers at auto")
    assert {run.status for _, run in sweep.arms} == {"paused"}


def test_arms_in_a_cluster_come_to_what_they_do_in_one_process(
    warm, plan, address, tmp_path, monkeypatch
):
    """A worker is killed in the middle, and later the sweep's own process; then it is resumed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = plan(RATES, halving=True, batch_size=1, n_epochs=5, n_evals=10)
    whole = Sweep.of(made, tmp_path / "whole")
    assert warm.carry_out(whole) == 0, whole.log_file.read_text()
    sweep = Sweep.of(made.model_copy(update={"ray": address}), tmp_path / "cluster")
    sweep.start()
    arms = [run for _, run in sweep.arms]
    until(lambda: any(run.history.last_step > 3 and run.is_alive for run in arms), sweep)
    kill_whoever_has(next(run for run in arms if run.history.last_step > 3 and run.is_alive))
    until(lambda: sweep.history.logs or not sweep.is_alive, sweep)
    assert "The arm goes on from" in sweep.history.logs[0].text
    until(lambda: sweep.decisions, sweep)
    kill_whoever_has(sweep)
    until(lambda: not sweep.is_alive, sweep)
    assert sweep.status == "failed"
    sweep.resume()
    assert sweep.wait(PATIENCE).status == "completed", sweep.log_file.read_text()
    assert comes_to(sweep) == comes_to(whole)


def kill_whoever_has(run):
    known = json.loads(run.lock_file.read_bytes().rstrip(b" "))
    os.kill(known["pid"], signal.SIGKILL)
