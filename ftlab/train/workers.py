"""Workers on this machine, one for each device: started when they are needed, and ended with the
process that started them."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ftlab.processes import environment
from ftlab.train.crew import Reply, Task, WorkerDied

MODULE = "ftlab.train.worker"
ENDING = 10.0  # seconds that one has to give its device back


class WorkersHere:
    """A process for each of some devices, which may be the same."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._workers = [_Worker(device, len(devices)) for device in devices]
        self._threads = ThreadPoolExecutor(len(devices), "ftlab-worker")
        self._free = queue.SimpleQueue[_Worker]()
        for worker in self._workers:
            self._free.put(worker)

    def submit(self, task: Task) -> Future[Reply]:
        """Have a task carried out as soon as a worker is free."""
        return self._threads.submit(self._carried_out, task)

    def reply(self, future: Future[Reply]) -> Reply:
        """What a task that is done has come to. Raises WorkerDied."""
        return future.result()

    def close(self) -> None:
        """End them, whatever they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.end()
        self._threads.shutdown()

    def _carried_out(self, task: Task) -> Reply:
        worker = self._free.get()
        try:
            return worker.carry_out(task)
        finally:
            self._free.put(worker)


class _Worker:
    def __init__(self, device: str, n: int) -> None:
        self._device, self._n = device, n
        self._process: subprocess.Popen[str] | None = None

    def carry_out(self, task: Task) -> Reply:
        """What a task comes to, in another process where the one before has died."""
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died just now, and will not answer
        if answer := process.stdout.readline():
            return json.loads(answer)
        status = process.wait()
        raise WorkerDied(f"exit code {status}" if status >= 0 else f"signal {-status}")

    def end(self) -> None:
        """It ends when its input does."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = start(self._device, self._n)
        return self._process


def start(device: str, n: int) -> subprocess.Popen[str]:
    """A new worker, one of so many."""
    return subprocess.Popen(
        # -P: a script beside the notebook called peft.py must not be taken for the library.
        [sys.executable, "-P", "-m", MODULE, device, str(n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
