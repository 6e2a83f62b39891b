"""What the doctor says of real runs with a fault of the machine planted in them.

    python tests/benchmarks/faults.py [FAULT …]

A reader that is slow, a step that keeps memory, other processes on the same core from half of the
way on, and a run without any; then what the gauges themselves take of a step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ftlab.diagnosis import diagnose
from ftlab.diagnosis.reading import curve_of_rows
from ftlab.events import Metrics
from ftlab.providers import prepare
from ftlab.train import loop
from ftlab.train.gauges import Gauges
from ftlab.train.training import Training
from tests.small import chat_rows, save_model, write_rows

N_STEPS, HOGS = 160, 3
SLOW, LEAK = 0.02, 6_000_000
MACHINE = ("loader_bound", "memory_creep", "throughput_drop", "low_utilization")
Plant = Callable[[Training], Callable[[int], None]]
"""Plants a fault, and returns what is to be done after each step."""


def nothing(_: Training) -> Callable[[int], None]:
    return lambda _: None


def slow_reader(run: Training) -> Callable[[int], None]:
    read = run.training._as_trained

    def slowly(row: dict[str, Any]) -> Any:
        time.sleep(SLOW)
        return read(row)

    run.training._as_trained = slowly
    return lambda _: None


def leak(_: Training) -> Callable[[int], None]:
    kept = list[bytes]()
    return lambda _: kept.append(b"\1" * LEAK)


def company(_: Training) -> Callable[[int], None]:
    """Others on the core that the run is bound to, which come first."""
    hogs = list[subprocess.Popen[bytes]]()

    def after(step: int) -> None:
        if step == N_STEPS // 2:
            os.nice(10)
            hogs.extend(subprocess.Popen([sys.executable, "-c", "while 1: 0"]) for _ in range(HOGS))
        if step == N_STEPS:
            for hog in hogs:
                hog.kill()
                hog.wait()

    return after


PLANTS: dict[str, Plant] = {
    **{"none": nothing, "slow reader": slow_reader, "leak": leak, "company": company},
}


def told(folder: Path, plant: Plant) -> Iterator[dict[str, float]]:
    """A row for each step of a run."""
    spec = {
        **{"model": str(folder / "model"), "training_file": str(folder / "rows.jsonl")},
        **{"lora": False, "learning_rate": 1e-3, "batch_size": 8, "max_steps": N_STEPS},
        **{"n_epochs": 1, "n_evals": 0, "suffix": "fault"},
    }
    ready = loop.prepared(prepare(spec).job, "cpu")
    with tempfile.TemporaryDirectory() as states:
        run = Training(ready, lambda: None, loop.Saving(Path(states)))
        after = plant(run)
        for event in chain(run.began(), run.steps()):
            if isinstance(event, Metrics):
                yield {"step": event.step, **event.values}
                after(event.step)


def share_of_gauges(rows: list[dict[str, float]]) -> float:
    """Of a step, what reading the gauges takes."""
    gauges, n = Gauges("cpu"), 2000
    began = time.perf_counter()
    for _ in range(n):
        lap = gauges.lap(0.0)
        lap.launched()
        lap.taken()
        gauges.values()
    each = (time.perf_counter() - began) / n
    steps = sorted(row["step_seconds"] for row in rows)
    return each / steps[len(steps) // 2]


def main() -> None:
    warnings.simplefilter("ignore")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_model(folder / "model", hidden_size=64, intermediate_size=128)
        write_rows(folder / "rows.jsonl", chat_rows(8 * N_STEPS + 8))
        for name in sys.argv[1:] or PLANTS:
            plant = PLANTS[name]
            rows = list(told(folder, plant))
            found = diagnose(curve_of_rows(rows, name, n_steps=N_STEPS))
            said = {one.label: dict(one.evidence) for one in found.secondary}
            print(name, {label: said[label] for label in MACHINE if label in said} or "–")
            if plant is nothing:
                print(
                    f"  the gauges take {share_of_gauges(rows):.2%} of a step of this small model"
                )


if __name__ == "__main__":
    main()
