"""A trainer that waits with everything imported, so that a run begins at once.

It belongs to the process that started it and ends with it, unless a run took it over; nothing ever
needs one. Runs come over a socket, with the handles of their lock and their log.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from ftlab.processes import Ended, environment, patience, reaped

SWITCH = "FTLAB_SPARE"  # "0" turns it off
PATIENCE = 2.0  # seconds that one may take to read what it is to do
REST = 60.0  # seconds without one, after one that died by itself


class _Waiting(NamedTuple):
    process: subprocess.Popen[bytes]
    line: socket.socket
    environment: dict[str, str]
    """What it was started with; libraries read theirs when they are imported."""

    @property
    def lives(self) -> bool:
        return self.process.poll() is None


class Spare:
    """At most one trainer that waits for a run of this process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: _Waiting | None = None
        self._rests_until = 0.0

    def warm(self, model: Path | None = None) -> None:
        """Start one in the background where none waits; it imports what a model of that folder
        needs too. After one that died by itself, not at once."""
        with self._mutex:
            if os.environ.get(SWITCH) == "0" or self.is_here:
                return
            if self._waiting is not None:
                self._rests_until = time.monotonic() + REST
                self._let_go()
            if time.monotonic() >= self._rests_until:
                self._waiting = _started(model)

    @property
    def is_here(self) -> bool:
        waiting = self._waiting
        return waiting is not None and waiting.lives

    @property
    def memory_bytes(self) -> int | None:
        """What it holds at the moment; None where there is none."""
        import psutil

        waiting = self._waiting
        if waiting is None or not waiting.lives:
            return None
        try:
            return psutil.Process(waiting.process.pid).memory_info().rss
        except psutil.Error:  # it ended between the two lines
            return None

    def take_over(self, run: Path, log: Path, lock: int, ended: Ended) -> bool:
        """Let it carry the run out, whose lock is held by the handle; False where none waits that
        has the environment of now."""
        with self._mutex:
            waiting = self._waiting
            if waiting is None:
                return False
            fits = waiting.lives and waiting.environment == environment()
            if not (fits and _is_told(waiting.line, run, log, lock)):
                self._let_go()
                return False
            self._waiting = None
        waiting.line.close()
        reaped(waiting.process, ended)
        return True

    def end(self) -> None:
        """Let it go; its memory is free at once."""
        with self._mutex:
            self._rests_until = 0.0
            self._let_go()

    def _let_go(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.line.close()
            waiting.process.kill()
            reaped(waiting.process, lambda *_: None)


def _is_told(line: socket.socket, run: Path, log: Path, lock: int) -> bool:
    """Send what is to be done; False where nobody takes it."""
    data = json.dumps({"run": str(run), "folder": os.getcwd()}).encode() + b"\n"
    line.settimeout(PATIENCE)
    with log.open("ab") as output:
        try:
            sent = socket.send_fds(line, [data], [lock, output.fileno()])
            line.sendall(data[sent:])
        except OSError:  # it ended at this moment, or does not read
            return False
    return True


def _started(model: Path | None) -> _Waiting:
    ours, theirs = socket.socketpair()
    surroundings = environment()
    with theirs:
        process = subprocess.Popen(
            # -P: a script beside the notebook called peft.py must not be taken for the library.
            [
                *(sys.executable, "-P", "-m", "ftlab.train.spare", str(theirs.fileno())),
                *([str(model)] if model else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
            env={**surroundings, **patience()},
        )
    return _Waiting(process, ours, surroundings)


SPARE = Spare()
"""That of this process."""
