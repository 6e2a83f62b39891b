"""Kill the mirrors of a run again and again, and read back what each tracker has.

    python tests/benchmarks/tracker_kills.py [ROUNDS] [KILLS]

In each round, a run that was resumed is mirrored in W&B (offline, and at a server), MLflow (files,
and at a server), TensorBoard and trackio by mirrors of which KILLS are ended with SIGKILL at random
times. Each step of each metric must be there once, with its value.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests.trackers import test_backfill, test_outages
from tests.trackers.world import at, killed, made, resumed


def main(rounds: int = 5, kills: int = 4) -> None:
    dice = random.Random(0)
    for n in range(rounds):
        for tracker in test_backfill.READERS:
            with tempfile.TemporaryDirectory() as folder:
                run = made(Path(folder))
                resumed(run)
                killed(run, tracker, kills, dice)
                test_backfill.check(run, tracker)
                print(f"round {n + 1}: {tracker}, {kills} kills, every step once", flush=True)
        for tracker, kind in test_outages.SERVERS.items():
            with tempfile.TemporaryDirectory() as folder, kind().running() as server:
                run = made(Path(folder))
                resumed(run, until=200)
                killed(run, tracker, kills, dice, **at(tracker, server.address))
                test_outages.check(server, tracker, run)
                print(f"round {n + 1}: {tracker} at a server, {kills} kills, every step once")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
