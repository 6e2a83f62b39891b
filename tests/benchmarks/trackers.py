"""What mirrors cost a run: its step time with them over that without, pair by pair.

    python tests/benchmarks/trackers.py [PAIRS] [STEPS]

Each pair trains the demo model twice, in turns: alone, and with a mirror in TensorBoard, with one
whose tracker hangs (MLflow at a server that accepts and never answers), or with both. The median
time of a step counts, from the second half on: a mirror loads its library at the start, at the
lowest priority. It also prints the share of a core that mirrors took, and whether the losses are
the same bits. Needs the extra `track`, or the folder that tests/run.sh installs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import psutil

import ftlab
from ftlab import demo
from ftlab.trackers.states import mirrors
from tests.fakes.trackers import Mlflow

LIBRARIES = Path(__file__).parents[2] / ".venv-oracles" / "trackers"
KINDS = {"tensorboard": ["tensorboard"], "hangs": ["mlflow"], "both": ["tensorboard", "mlflow"]}


def trained(folder: Path, n_steps: int, track: list[str]):
    """A run that has ended, and the seconds of CPU that its mirrors took until then."""
    spec = {**demo.JOB, "max_steps": n_steps, "n_epochs": 20, "n_evals": 0, "n_checkpoints": 1}
    spec.pop("validation_file", None)
    run = ftlab.submit(spec, folder=folder, track=track, device="cpu")
    run.wait(3600)
    seconds = 0.0
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "ftlab.trackers" in line and str(run.path) in line:
            seconds += sum(process.cpu_times()[:2])
            for one in (*process.children(recursive=True), process):
                one.kill()
    assert {folder.tracker for folder in mirrors(run)} == set(track)
    return run, seconds


def step_seconds(run) -> float:
    """The median of the second half, in which no library is loaded."""
    times = [*run.history.times.values()]
    return statistics.median(b - a for a, b in pairwise(times[len(times) // 2 :]))


def pair(folder: Path, n_steps: int, kind: str, *, swapped: bool) -> None:
    order = [[], KINDS[kind]][:: -1 if swapped else 1]
    found = {bool(track): trained(folder, n_steps, track) for track in order}
    (alone, _), (run, cpu) = found[False], found[True]
    ratio = step_seconds(run) / step_seconds(alone)
    times = [*run.history.times.values()]
    same = run.history.series["train_loss"] == alone.history.series["train_loss"]
    share = cpu / (times[-1] - times[0])
    RATIOS[kind].append(ratio)
    print(f"{kind:12} step time × {ratio:.4f}, mirrors {share:.2%} of a core, same bits: {same}")


RATIOS: dict[str, list[float]] = {kind: [] for kind in KINDS}


def main(pairs: int = 5, n_steps: int = 300) -> None:
    path = [str(Path(ftlab.__file__).parents[1]), str(LIBRARIES)]
    sys.path += path[1:]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    with tempfile.TemporaryDirectory() as folder, Mlflow().running() as server:
        server.mode = "hangs"
        os.environ["MLFLOW_TRACKING_URI"] = server.address
        for n in range(pairs):
            for kind in KINDS:
                pair(Path(folder), n_steps, kind, swapped=bool(n % 2))
    for kind, ratios in RATIOS.items():
        print(f"{kind:12} median × {statistics.median(ratios):.4f} of {len(ratios)} pairs")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
