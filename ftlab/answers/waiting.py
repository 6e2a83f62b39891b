"""Who asked and has left is waited for no more."""

from __future__ import annotations

import socket
from threading import Event, Thread

from ftlab.answers.process import Stop
from ftlab.connections import has_left

LOOK_EVERY = 0.2  # seconds


class Watch:
    """Within it, `stop` is set as soon as the other side of a connection closes it."""

    def __init__(self, connection: socket.socket, stop: Stop) -> None:
        self._connection, self._stop = connection, stop
        self._is_over = Event()

    def __enter__(self) -> None:
        Thread(target=self._look, name="ftlab-watch", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_EVERY):
            if has_left(self._connection):
                self._stop.set()
                return
