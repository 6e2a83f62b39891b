"""One request after another: who comes first is answered first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

LOOK_EVERY = 0.5  # seconds between two looks at whether who waits still does


class Turns:
    """Of the requests to one model."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    def __len__(self) -> int:
        """How many are answered or wait."""
        return len(self._waiting)

    @contextmanager
    def mine(self, waits: Callable[[int], None]) -> Iterator[None]:
        """Wait for one's turn. `waits` hears again and again how many are before, and raises where
        nobody waits any more."""
        me = object()
        with self._changed:
            self._waiting.append(me)
        try:
            self._wait(me, waits)
            yield
        finally:
            with self._changed:
                self._waiting.remove(me)
                self._changed.notify_all()

    def _wait(self, me: object, waits: Callable[[int], None]) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._waiting[0] is me, LOOK_EVERY):
                    return
                before = self._waiting.index(me)
            waits(before)  # it writes to a connection: nobody may wait for that
