"""The other processes of a run: started by its own, watched by it, and ended with it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ftlab.processes import environment
from ftlab.train.launched import around, meeting, use_loopback

if TYPE_CHECKING:
    from ftlab.train.parallel import Room

MODULE = "ftlab.train.follower"
NOTICED = 5.0  # seconds; torch sees a closed connection before the system tells of the exit
GRACE = 20.0  # seconds in which this process ends by itself when another one is gone
ENDING = 10.0  # seconds that another one has to give its device back
LOOPBACK = "127.0.0.1"
WORDS = "words of {}"  # where another process leaves why it ends
LONGER = 40.0  # seconds more, where it ends because of another one: that one is to be named
FOLLOWED = 3  # exit code of one that ends because another one has


class Process(Protocol):
    """As much of a child as is needed here."""

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...

    def let_go(self) -> None:
        """Close what it watches: it ends."""
        ...


class Others:
    """The processes of a run besides its own, one for each device after the first."""

    def __init__(
        self,
        devices: Sequence[str],
        lost: Callable[[str], None],
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Starts them. `lost` ends this process with some last words: it is called where one of
        them is gone and this one does not get on. `note` keeps such words for when it can't."""
        self.devices, self._lost, self._note = devices, lost, note
        self._listener = socket.create_server((LOOPBACK, 0))
        self._store: Any = None
        self._grace = 0.0  # until they are together, nobody finds out but who watches
        self._closing = False
        self._room: Room | None = None
        where = {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(self._listener.getsockname()[1])}
        ranks = range(1, len(devices))
        self._processes = [start(_variables(rank, len(devices), where)) for rank in ranks]
        for rank, process in enumerate(self._processes, 1):
            watch = threading.Thread(target=self._watch, args=(rank, process), daemon=True)
            watch.start()

    def __enter__(self) -> Others:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """They end; what they held is free."""
        self._closing = True
        self._listener.close()
        for process in self._processes:
            process.let_go()
        for process in self._processes:
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def room(self) -> Room:
        """All of them together, once they are there."""
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        from ftlab.train.joining import joined
        from ftlab.train.parallel import PATIENCE

        use_loopback()
        host, port = self._listener.getsockname()
        self._store = TCPStore(
            host,
            port,
            len(self.devices),
            is_master=True,
            timeout=PATIENCE,
            wait_for_workers=False,
            master_listen_fd=self._listener.detach(),
        )
        n, device = len(self.devices), self.devices[0]
        self._room = joined(self._store, 0, n, device, self._why_gone, self._note)
        self._grace = GRACE
        return self._room

    def _watch(self, rank: int, process: Process) -> None:
        """The first process may wait on its GPU for one that is gone, and never come back."""
        status = process.wait()
        time.sleep(self._grace + (LONGER if status == FOLLOWED else 0.0))
        has_left = self._room is not None and self._room.size == 1
        if status != 0 and not has_left and not self._closing:
            self._lost(self._of(rank, status))

    def _why_gone(self, problem: Exception) -> str:
        from ftlab.train.parallel import no_answer

        end = time.monotonic() + NOTICED
        while time.monotonic() < end:
            for rank, process in enumerate(self._processes, 1):
                if (status := process.poll()) not in (None, FOLLOWED):
                    return self._of(rank, status)
            time.sleep(0.05)
        return no_answer(problem)

    def _of(self, rank: int, status: int) -> str:
        """What is to be said of one that is gone."""
        on = f"process {rank + 1} of {len(self.devices)}, on {self.devices[rank]},"
        if words := self._words(rank):
            return f"{words} (Said by {on.rstrip(',')}.)"
        how = f"exit code {status}" if status >= 0 else _signal_name(-status)
        return (
            f"The run's {on} was ended by {how}; a step takes all of a run's processes. Resume "
            "the run: it goes on from its newest checkpoint."
        )

    def _words(self, rank: int) -> str:
        with contextlib.suppress(RuntimeError):  # the store is gone, too
            key = WORDS.format(rank)
            if self._store is not None and self._store.check([key]):
                return self._store.get(key).decode("utf-8", "replace")
        return ""


@contextlib.contextmanager
def gathered(
    devices: Sequence[str], lost: Callable[[str], None], note: Callable[[str], None]
) -> Iterator[Callable[[], Room]]:
    """What gives the room of the processes on these devices, one for each, once torch is loaded;
    those that torchrun or the like has not started are started here."""
    if len(devices) == 1:
        yield _alone
    elif around() > 1:
        yield partial(_of_environment, devices[0], note)
    else:
        with Others(devices, lost, note) as others:
            yield others.room


def _alone() -> Room:
    from ftlab.train.parallel import Room

    return Room()


def _of_environment(device: str, note: Callable[[str], None]) -> Room:
    from ftlab.train.joining import joined

    return joined(*meeting(), device, note=note)


def start(variables: Mapping[str, str]) -> Process:
    """Start another process, which ends when this one does."""
    return _Child(
        # -P: a script beside the notebook called peft.py must not be taken for the library.
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.PIPE,
        env={**environment(), **variables},
    )


class _Child(subprocess.Popen[bytes]):
    def let_go(self) -> None:
        assert self.stdin is not None
        self.stdin.close()


def _variables(rank: int, size: int, where: Mapping[str, str]) -> dict[str, str]:
    """As torchrun names them."""
    return {**where, "RANK": str(rank), "WORLD_SIZE": str(size)}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
