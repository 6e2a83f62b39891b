"""How the processes of a run come together."""

from __future__ import annotations

import contextlib
import faulthandler
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from ftlab.train.launched import HERE, OVER
from ftlab.train.parallel import PATIENCE, Gone, Room, no_answer

BETWEEN_STEPS = timedelta(days=30)  # the first one may save, answer prompts, or wait for a disk
CONNECTING = 300.0  # seconds; it takes a moment
SLOW = (
    "The run's processes did not connect within {:.0f} seconds; on one machine it takes a moment. "
    "Look into the run's log.txt for where they were."
)
BACKEND = "backend"


class NotNeeded(Gone):
    """The first process ended before it needed the others, and says how itself."""


def joined(
    store: Any,
    rank: int,
    size: int,
    device: str | None = None,
    why_gone: Callable[[Exception], str] = no_answer,
    note: Callable[[str], None] = lambda _: None,
) -> Room:
    """The room of these processes, once all of them are there. The first one says by its device
    how they sum, and notes last words that hold only while it connects. Raises Gone when one does
    not come."""
    try:
        if device is not None:
            store.set(BACKEND, "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
        _met(store, rank, size)
        backend = store.get(BACKEND).decode()
        note(SLOW.format(CONNECTING))
        with _at_most(CONNECTING):
            dist.init_process_group(
                backend, timeout=PATIENCE, world_size=size, rank=rank, store=store
            )
            orders = dist.new_group(timeout=BETWEEN_STEPS, backend="gloo")
    except RuntimeError as problem:
        raise Gone(why_gone(problem)) from problem
    finally:
        note("")
    return Room(rank, size, why_gone, orders)


def _met(store: Any, rank: int, size: int) -> None:
    """Wait until all have come; whoever watches them meanwhile can do so."""
    here = [HERE.format(rank) for rank in range(size)]
    store.set(here[rank], "")
    end = time.monotonic() + PATIENCE.total_seconds()
    while not store.check(here):
        if store.check([OVER]):
            raise NotNeeded("The run's own process ended before all had come.")
        if time.monotonic() > end:
            raise RuntimeError("it did not start")
        time.sleep(0.02)


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End this process when it takes longer: torch keeps the interpreter until all are connected,
    so that no thread of it could find out that one is gone."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
