"""Limits for programs that come with a model: a chat template may loop, or write without end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

LONGEST_TEXT = 1 << 26
"""Characters that a template may make at once; no conversation is as long."""
MEMORY = 6 << 30
"""Bytes of address space that a scanning process may take beyond what it starts with."""


class TookTooLong(Exception):
    """A piece of work was ended at its time limit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in the block after so many seconds. Where no signal can end it (on another
    thread than the main one, on Windows) there is no limit."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds)
    began = monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # somebody else waits for an alarm
            rest = max(left - (monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, again)


def limit_memory() -> None:
    """Let this process fail on an allocation before it takes the machine with it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    import psutil

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + MEMORY
    if soft == resource.RLIM_INFINITY or soft > wanted:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
