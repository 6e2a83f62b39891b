"""The one background thread of a kernel: it ticks, and it carries results back from slow work.

Whatever changes by itself (a run that goes on, a scan that ends) is written by this thread
alone. Errors in threads and callbacks are invisible in JupyterLab, so each call goes through
`guard`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from ftlab.ui.guard import Teller, guarded_call
from ftlab.ui.subshells import mend_routes

TICK = 0.5  # seconds: twice a second keeps a browser's redraws below a quarter of its time


class Pump:
    """Calls `tick` of everything that is registered, and functions that were posted."""

    def __init__(self, tick: float = TICK) -> None:
        self._tick = tick
        self._posted: queue.SimpleQueue[tuple[Callable[[], Any], Teller]] = queue.SimpleQueue()
        self._ticking: WeakSet[Any] = WeakSet()
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()

    def add(self, ticking: Any) -> None:
        """Call `ticking.tick()` again and again, as long as somebody else keeps it alive."""
        self._ticking.add(ticking)
        self._start()

    def remove(self, ticking: Any) -> None:
        self._ticking.discard(ticking)

    def post(self, function: Callable[[], Any], tell: Teller) -> None:
        """Call a function on the pump's thread; its error is told."""
        self._posted.put((function, tell))
        self._start()

    def work(
        self, function: Callable[[], Any], done: Callable[[Any], Any], tell: Teller
    ) -> threading.Thread:
        """Call a slow function on a thread of its own, then `done` with its result on the pump."""

        def run() -> None:
            # Widgets are written to by the pump's thread alone, also to say what went wrong.
            failed = lambda level, text: self.post(lambda: tell(level, text), tell)  # noqa: E731
            guarded_call(lambda: self._carried(function(), done, tell), failed)

        thread = threading.Thread(target=run, name="ftlab-work", daemon=True)
        thread.start()
        return thread

    def _carried(self, result: Any, done: Callable[[Any], Any], tell: Teller) -> None:
        self.post(lambda: done(result), tell)

    def _start(self) -> None:
        with self._mutex:
            if self._thread is None or not self._thread.is_alive():
                mend_routes()  # what this thread writes must not tie a widget to one window
                self._thread = threading.Thread(target=self._run, name="ftlab-pump", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        due = time.monotonic() + self._tick
        while True:
            try:
                function, tell = self._posted.get(timeout=max(due - time.monotonic(), 0))
            except queue.Empty:
                pass
            else:
                guarded_call(function, tell)
            if time.monotonic() >= due:  # however much is posted
                for ticking in list(self._ticking):
                    guarded_call(ticking.tick, ticking.tell)
                due = time.monotonic() + self._tick


PUMP = Pump()
