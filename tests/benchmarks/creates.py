"""Ask for jobs while the answers are lost, and count what is paid for twice.

    python tests/benchmarks/creates.py [N]

Each of N (1,000) requests meets a reset, a hang, an answer that says nothing, 408, 409 or 5xx, or
its process is killed after sending, and in half of the cases the service has started the job. What
is printed by fault: how many requests went out again by themselves, how many jobs are followed, and
how many are shown as unknown.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.ambiguous_creates import FAULTS, ambiguous_creates


def main(n: int) -> None:
    totals: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    with tempfile.TemporaryDirectory() as folder, ambiguous_creates(Path(folder), seed=1) as ask:
        for trial in range(n):
            fault = list(FAULTS)[trial % len(FAULTS)]
            found = ask(fault)
            totals[fault].update(
                asked=1,
                started=found.is_started,
                again=found.n_posts - 1,
                wrong=not found.is_right,
                **{found.intent.state: 1},
            )
    names = ("asked", "started", "again", "bound", "unknown", "wrong")
    print("fault".ljust(18), *(name.rjust(8) for name in names))
    for fault, counts in {**totals, "all": sum(totals.values(), Counter())}.items():
        print(fault.ljust(18), *(str(counts[name]).rjust(8) for name in names))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
