"""Writers of event logs that are killed, forked from one process that has imported ftlab."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ftlab.eventlog import EventReader

WRITERS = """
import os, sys
from pathlib import Path
from ftlab.eventlog import EventWriter
from ftlab.events import Metrics
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        writer = EventWriter(Path(line.strip()))
        for step in range(1_000_000):
            writer.append(Metrics(step=step, values={"train_loss": 1.0}))
            os.write(1, b"%d\\n" % step)
    os.waitpid(child, 0)
    os.write(1, b"over\\n")
"""


@contextlib.contextmanager
def killed_writers(seed: int = 7) -> Iterator[Callable[[Path], int]]:
    """A function that lets a process write events to a file, kills it after some of them, and
    returns how many acknowledged events are missing or out of place."""
    draw = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", WRITERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def kill_one(file: Path) -> int:
        stdin.write(f"{file}\n")
        stdin.flush()
        wanted = draw.randint(1, 300)
        acknowledged = [int(next(stdout)) for _ in range(wanted)]
        (child,) = _children(process.pid)
        os.kill(child, signal.SIGKILL)
        while (line := next(stdout)) != "over\n":
            acknowledged.append(int(line.split("over")[0]))
        steps = [event.step for event in EventReader(file).new_events()]
        in_order = steps == list(range(len(steps)))
        return len(set(acknowledged) - set(steps)) + (not in_order)

    yield kill_one
    stdin.close()
    process.wait()
    stdout.close()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
