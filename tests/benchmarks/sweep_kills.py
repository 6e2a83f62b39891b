"""A sweep is killed with SIGKILL at random moments, resumed until it ends, and compared to the last
bit with one that nobody disturbed: decisions, losses, gradient norms, losses of rows, weights."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

from ftlab import demo
from ftlab.providers import prepare
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import Plan, planned
from tests.benchmarks.kills import few_rows
from tests.train.test_sweeping import comes_to
from tests.train.warm import KILLED, Warm

RATES = (4e-4, 1.3e-3, 4e-3)
FEW = {"batch_size": 2, "max_train_rows": 40, "n_epochs": 2, "lora_dropout": 0.1}
DPO = {
    **{"training_method": "dpo", "learning_rate": 1e-3, "validation_split": 0.05},
    **{"training_file": str(demo.PREFERENCES), "validation_file": None},
}
EVERY = 3
"""Checks of the pace between two states, all arms together."""
KILLS = 3  # of each sweep


def plans(folder: Path) -> dict[str, Plan]:
    """SFT and DPO, with arms that stop on the way."""
    few = {**demo.JOB, **FEW, "validation_file": str(few_rows(folder / "rows"))}
    jobs = {"sft": prepare(few).job, "dpo": prepare({**few, **DPO}).job}
    return {name: planned(job, {"learning_rate": RATES}, 40) for name, job in jobs.items()}


def measure(folder: Path, n: int) -> bool:
    """Kill until there were `n` kills; returns whether every sweep came to the same end."""
    os.environ["FTLAB_LEASES"] = str(folder / "leases")
    warm, draw, kinds = Warm(), random.Random(7), plans(folder)
    whole, seconds = {}, {}
    for kind, plan in kinds.items():
        sweep, began = Sweep.of(plan, folder / "whole"), time.perf_counter()
        assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
        whole[kind], seconds[kind] = comes_to(sweep), time.perf_counter() - began
    n_kills = n_sweeps = n_same = 0
    while n_kills < n:
        kind = list(kinds)[n_sweeps % len(kinds)]
        sweep = Sweep.of(kinds[kind], folder / f"{n_sweeps}")
        killed = _killed(warm, sweep, draw, seconds[kind], min(KILLS, n - n_kills))
        status = warm.carry_out(sweep, every=EVERY) if sweep.status != "completed" else 0
        same = status == 0 and comes_to(sweep) == whole[kind]
        n_kills, n_sweeps, n_same = n_kills + killed, n_sweeps + 1, n_same + same
        print(f"  {kind}: {killed} kills, {'the same' if same else f'NOT the same: {sweep.state}'}")
        shutil.rmtree(sweep.path.parent)
    warm.close()
    print(f"{n_kills} kills of {n_sweeps} sweeps, {n_same} sweeps bit-identical")
    return n_same == n_sweeps


def _killed(warm: Warm, sweep: Sweep, draw: random.Random, seconds: float, most: int) -> int:
    """Kill its processes at random moments of a whole run's time, until one came to the end."""
    n_kills = 0
    while n_kills < most and sweep.status != "completed":
        kill = {"after": draw.uniform(0.0, seconds)}
        n_kills += warm.carry_out(sweep, every=EVERY, kill=kill) == KILLED
    return n_kills
