"""What a contender of `trainer.py` notes of its steps; both sides use it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import torch


class Clock:
    """Time, tokens and loss of each step, from the start of the process on."""

    def __init__(self, began: float) -> None:
        """`began` is when the process was started, by time.time()."""
        self.began = began
        self.first_step = 0.0
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.tokens: list[int] = []
        self.losses: list[Any] = []
        self._start()

    def _start(self) -> None:
        """The next step begins now."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def step(self, n_tokens: int, loss: Any) -> None:
        """A step ended, and the next one begins."""
        self.seconds.append(time.perf_counter() - self._wall)
        self.cpu_seconds.append(time.process_time() - self._cpu)
        self.tokens.append(n_tokens)
        self.losses.append(loss)
        self.first_step = self.first_step or time.time() - self.began
        self._start()

    def told(self) -> dict[str, Any]:
        """All of it, to be printed as JSON."""
        return {
            "first_step": self.first_step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "tokens": self.tokens,
            "losses": [float(loss) for loss in self.losses],
            "peak_bytes": peak_bytes(),
            "threads": torch.get_num_threads(),
        }


def peak_bytes() -> int:
    """Most memory that this process held up to now; Linux alone says it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
