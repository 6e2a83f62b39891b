"""Kill runs, writers of events and checkpoints again and again, and see what comes of it.

    python tests/benchmarks/kills.py [TRIALS]

Runs on the demo model are killed with SIGKILL at random times, inside the writing of checkpoints,
in evaluations and at the edges of epochs, resumed until they end, and compared bit by bit with a
run that nobody disturbed (losses, gradient norms, weights). Event writers are killed, and what they
had acknowledged is looked for. One file of a checkpoint is damaged, and whether it is taken for
whole. TRIALS (200) is the number of runs; there are five times as many writers and damages.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ftlab import demo
from ftlab.providers import prepare
from ftlab.train.checkpoints import newest_whole
from tests.killed_writers import killed_writers
from tests.train.warm import KILLED, Warm, damage_one, new_run, outcome

SMALL = {"batch_size": 4, "max_train_rows": 22, "n_epochs": 2, "n_evals": 3, "lora_dropout": 0.1}
KINDS = {
    "sft": {"gradient_accumulation_steps": 2, "n_epochs": 4},
    "packed": {"packing": True, "max_seq_length": 256, "n_epochs": 4, "batch_size": 2},
    "dpo": {
        **{"training_method": "dpo", "learning_rate": 1e-3, "validation_split": 0.1},
        **{"training_file": str(demo.TRAIN.with_name("preferences.jsonl"))},
        **{"validation_file": None, "max_train_rows": 12},
    },
    "all weights": {"lora": False, "learning_rate": 1e-4, "lora_dropout": 0.0},
    "early stopping": {
        **{"n_evals": 6, "n_epochs": 3, "early_stopping_enabled": True, "n_checkpoints": 3},
        **{"early_stopping_min_delta": 0.3, "early_stopping_patience": 2},
    },
}
INSIDE = ("sync", "manifest", "weights", "optimizer", "rename", "removal", "loading")
PLACES = ("random time", "in a checkpoint", "in an evaluation", "at an epoch's edge", "pause")
KILLS = 2  # of each run
N_EVALUATED = 6  # rows; a process shall spend its time in all that it does


def plan(place: str, job, draw: random.Random) -> dict:
    """What is done to one process of a run."""
    if place == "random time":
        return {"kill": {"after": draw.uniform(0.0, 2.0)}}
    if place == "in a checkpoint":
        return {"kill": {"at": draw.choice(INSIDE), "n": draw.randint(1, 4)}}
    if place == "in an evaluation":
        return {"kill": {"at": "evaluation", "n": draw.randint(1, 3)}}
    if place == "pause":
        return {"pause": draw.randint(1, 4)}
    rows = job.spec.max_train_rows
    per_step = job.spec.batch_size * (job.spec.gradient_accumulation_steps or 1)
    return {"kill": {"at": "step", "n": -(-rows // per_step) + draw.randint(0, 1)}}


def runs(n: int, folder: Path, draw: random.Random) -> None:
    """Each run is interrupted up to `KILLS` times in one kind of place, then left alone."""
    warm, ends = Warm(), Counter[str]()
    few = {**demo.JOB, **SMALL, "validation_file": str(few_rows(folder))}
    jobs = {kind: prepare({**few, **values}).job for kind, values in KINDS.items()}
    whole = {}
    for kind, job in jobs.items():
        run = new_run(job, folder, f"whole {kind}")
        assert warm.carry_out(run) == 0, run.log_file.read_text()
        whole[kind] = outcome(run)
    for trial in range(n):
        kind, place = list(jobs)[trial % len(jobs)], PLACES[trial // len(jobs) % len(PLACES)]
        run = new_run(jobs[kind], folder, f"{trial}")
        for _ in range(KILLS):
            status = warm.carry_out(run, every=1, **plan(place, jobs[kind], draw))
            ends["killed"] += status == KILLED
            ends["paused"] += run.status == "paused"
            if run.status == "completed":
                break
        else:
            status = warm.carry_out(run, every=1)
        same = status == 0 and outcome(run) == whole[kind]
        ends["same"] += same
        ends["stuck"] += run.status != "completed"  # somebody would have to look into it
        if not same:
            print(f"trial {trial} ({kind}, {place}): exit {status}, {run.state}", flush=True)
        shutil.rmtree(run.path.parent)
    warm.close()
    print(
        f"{n} trials, {ends['same']} bit-identical, {ends['stuck']} manual steps "
        f"({ends['killed']} kills, {ends['paused']} pauses)",
        flush=True,
    )


def few_rows(folder: Path) -> Path:
    folder.mkdir()
    lines = demo.HELD_OUT.read_text(encoding="utf-8").splitlines(keepends=True)
    file = folder / "held_out.jsonl"
    file.write_text("".join(lines[:N_EVALUATED]), encoding="utf-8")
    return file


def writers(n: int, folder: Path) -> None:
    folder.mkdir()
    with killed_writers(seed=1) as kill_one:
        lost = sum(kill_one(folder / f"{trial}.jsonl") for trial in range(n))
    print(f"{n} killed writers, {lost} acknowledged events lost", flush=True)


def damages(n: int, folder: Path, draw: random.Random) -> None:
    folder.mkdir()
    warm = Warm()
    values = {**demo.JOB, **SMALL}
    run = new_run(prepare(values).job, folder, "run")
    warm.carry_out(run, every=1, kill={"at": "step", "n": 4})
    warm.close()
    (newest,) = run.checkpoints.glob("step-*3")
    taken = list(_taken_for_whole(n, newest, folder / "damaged", draw))
    print(f"{n} damages, {len(taken)} taken for whole", *taken, flush=True)


def _taken_for_whole(n: int, newest: Path, folder: Path, draw: random.Random) -> Iterator[str]:
    for _ in range(n):
        shutil.copytree(newest, folder / newest.name)
        what = damage_one(folder / newest.name, draw)
        found = newest_whole(folder)
        if found.folder is not None or not found.problems:
            yield what
        shutil.rmtree(folder)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FTLAB_LEASES"] = str(folder / "leases")
        writers(5 * n, folder / "writers")
        damages(5 * n, folder / "damages", random.Random(2))
        runs(n, folder / "runs", random.Random(3))


if __name__ == "__main__":
    main()
