"""Sweeps: how long they take, what halving loses, and whether kills change anything.

    python tests/benchmarks/sweeping.py wall [ROUNDS] | grids [SEEDS] | kills [N]  [--folder DIR]

`wall`: four arms of 200 steps on the demo model in one process, against four runs of ftlab and of
TRL one after another. `grids`: halving against full grids, for three models, SFT and DPO, ample
and scarce data. `kills`: a sweep is killed at random moments, resumed, and compared to the last
bit. What was trained for `grids` stays in the folder, and is not trained again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("wall", "grids", "kills"))
    parser.add_argument("n", type=int, nargs="?")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.what == "wall":
            from tests.benchmarks.sweep_wall import measure

            held = measure(folder, asked.n or 3)
        elif asked.what == "grids":
            from tests.benchmarks.sweep_grids import measure

            held = measure(folder, asked.n or 1)
        else:
            from tests.benchmarks.sweep_kills import measure

            held = measure(folder, asked.n or 20)
    sys.exit(not held)


if __name__ == "__main__":
    main()
