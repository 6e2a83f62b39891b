"""`python -m ftlab.train.worker DEVICE N`: a process, one of N, that trains arms of a sweep.

It reads tasks from its standard input, line by line, answers each with a line, and ends when its
input does. A worker of a cluster is given the same tasks by the cluster.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ftlab.errors import FtlabError, RunError
from ftlab.processes import loading
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.train.__main__ import in_words
from ftlab.train.contenders import Contender
from ftlab.train.crew import Reply, Task
from ftlab.train.device import usable
from ftlab.train.ramp import losses_along
from ftlab.train.saving import warnings
from ftlab.train.sweep import job_of

if TYPE_CHECKING:
    from ftlab.train.shared import Shared
    from ftlab.train.turns import Turns

PATIENCE = 60.0
"""Seconds in which a worker lets go of an arm, whose driver was killed or whose machine is gone."""


def main() -> int:
    return work(sys.argv[1], int(sys.argv[2]))


def work(device: str, n: int) -> int:
    """Carry out one task after another."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed goes to the log
    for number in (signal.SIGTERM, signal.SIGINT):  # they ask the sweep to pause
        signal.signal(number, signal.SIG_IGN)
    tasks = queue.SimpleQueue[str]()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    while True:
        print(json.dumps(carry_out(json.loads(tasks.get()), device, n)), file=answers, flush=True)


def _listen(tasks: queue.SimpleQueue[str]) -> None:
    """Until the sweep's process is gone, also in the middle of a step."""
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


def carry_out(task: Task, device: str, n: int = 1) -> Reply:
    """Carry out a task on a device, one of `n` workers here; what went wrong is its reply."""
    try:
        return _carried_out(task, device, n)
    except FtlabError as exc:
        return {"problem": str(exc), "trace": ""}
    except Exception as exc:
        return {"problem": in_words(exc), "trace": traceback.format_exc()}
    finally:
        gc.collect()  # modules know themselves


def _carried_out(task: Task, device: str, n: int) -> Reply:
    sweep = _sweep(task["sweep"])
    with loading():
        import peft  # noqa: F401
        from transformers import AutoModelForCausalLM  # noqa: F401

        from ftlab.train.turns import Turns
    device, problem = usable([device] * n)
    shared, number = _shared(task["sweep"], device, n), task["arm"]
    run = sweep.run_of(number, sweep.all_arms[number])
    if "rates" in task:
        ready = shared.prepared(job_of(sweep, run))
        return {"losses": losses_along(ready, task["rates"], sweep.asked)}
    turns = Turns(shared, partial(job_of, sweep), sweep.asked)
    contender = _with_its_lock(number, run, sweep)
    contender.tell(warnings([problem] if problem else []))
    has_ended = _has_ended(contender, turns, task["step"])
    failed = turns.failed.get(number, "")
    return {"place": contender.place, "has_ended": has_ended, "failed": failed}


def _has_ended(contender: Contender, turns: Turns, step: int | None) -> bool:
    """Whether an arm has ended by itself in its turn; otherwise it is done with a step and waits,
    or ends as all do."""
    try:
        turns.all_to([contender], step)
        if contender.has_ended:
            return True
        request = contender.asked()
        contender.end(request=request) if request else contender.wait()
        return False
    except BaseException:
        if not contender.has_ended:
            contender.put_off()
        raise


def _with_its_lock(number: int, run: Run, sweep: Sweep) -> Contender:
    end = time.monotonic() + PATIENCE
    while run.is_alive and time.monotonic() < end:
        time.sleep(0.1)
    return Contender(number, run, sweep.asked, 1)


def _sweep(folder: str) -> Sweep:
    with contextlib.suppress(RunError):
        return Sweep(folder)
    raise FtlabError(
        f"{folder} is not there for a worker on {os.uname().nodename}; the workers of a cluster "
        "have the runs, the data and the model under the same paths. Let FTLAB_RUNS name a folder "
        "that all of them share."
    )


@lru_cache(maxsize=1)
def _shared(_: str, device: str, n: int) -> Shared:
    """What the arms of a sweep have in common, as long as no other sweep comes."""
    from ftlab.train.parallel import Room
    from ftlab.train.shared import Shared

    Room(size=n).share_machine(device)
    return Shared(device)


if __name__ == "__main__":
    sys.exit(main())
