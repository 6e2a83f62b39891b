"""What a step takes: its time, how long its device waited for rows, memory, and how busy a GPU is.

Nothing here waits for a device.
"""

from __future__ import annotations

import time
from functools import cached_property

import psutil
import torch

from ftlab.train.steps import Values

GIB = 2**30
BETWEEN = 1.0
"""Seconds between two looks at a GPU; its driver sums up what it did in the last one at most."""


class Gauges:
    """Of one device."""

    def __init__(self, device: str) -> None:
        self.device, self.is_cuda = device, device.startswith("cuda")
        self.ended_at = self._looked_at = 0.0
        self._is_told = self.is_cuda

    def lap(self, waited: float) -> Lap:
        """Begin to time a step, whose rows took so many seconds to come."""
        return Lap(self, waited)

    def values(self) -> Values:
        """Memory now, and on a GPU the most so far and how busy it is."""
        found = {"memory_gib": self._process.memory_info().rss / GIB}
        if self.is_cuda:
            found["gpu_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / GIB
            found["gpu_memory_used_gib"] = torch.cuda.memory_allocated(self.device) / GIB
        return found | self._utilization()

    def _utilization(self) -> Values:
        """Where it is time for a look, unless the driver tells nobody, as for a part of a GPU."""
        now = time.perf_counter()
        if not self._is_told or now - self._looked_at < BETWEEN:
            return {}
        import pynvml

        self._looked_at = now
        try:
            return {"utilization": float(torch.cuda.utilization(self.device))}
        except (RuntimeError, ImportError, pynvml.NVMLError):
            self._is_told = False
            return {}

    @cached_property
    def _process(self) -> psutil.Process:
        return psutil.Process()


class Lap:
    """The time of one step. A GPU notes by itself when it begins and when it is done."""

    def __init__(self, gauges: Gauges, waited: float) -> None:
        self._gauges, self._waited = gauges, waited
        self._began = time.perf_counter() - waited
        self._marks = list[torch.cuda.Event]()
        self._mark()

    def launched(self) -> None:
        """All of the step is given to the device."""
        self._mark()

    def taken(self) -> Values:
        """Seconds of the step, once its figures were read; of steps that overlap, from the end of
        one to the end of the next."""
        now = time.perf_counter()
        seconds = now - max(self._began, self._gauges.ended_at)
        self._gauges.ended_at = now
        idle = seconds - self._busy if self._marks else self._waited
        return {"step_seconds": seconds, "loader_seconds": max(min(self._waited, idle), 0.0)}

    @property
    def _busy(self) -> float:
        """Seconds that the GPU worked on it."""
        first, last = self._marks
        return first.elapsed_time(last) / 1000

    def _mark(self) -> None:
        if self._gauges.is_cuda:
            mark = torch.cuda.Event(enable_timing=True)
            mark.record(torch.cuda.current_stream(self._gauges.device))
            self._marks.append(mark)
