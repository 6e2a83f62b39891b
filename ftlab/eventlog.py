"""The event log of a run: one writer, any number of readers, nothing lost.

One line per event, each written with one write(2); a process that is killed leaves at most a
half line at the end, which the next writer cuts off and readers don't see.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from pathlib import Path

from ftlab.events import (
    Checkpoint,
    Decision,
    Event,
    Log,
    Metrics,
    RowLosses,
    Sample,
    Status,
    dump_event,
    parse_event,
)

SYNC_SECONDS = 1.0
LOG_LINES_KEPT = 200


class EventWriter:
    """Appends events. Hold the run's lock while one is open: there may be only one."""

    def __init__(self, path: Path, attempt: int = 1, sync_seconds: float = SYNC_SECONDS) -> None:
        """What was appended is on disk for good after `sync_seconds`, with what comes next."""
        self._path, self._attempt, self._sync_seconds = path, attempt, sync_seconds
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._synced = time.monotonic()
        _cut_half_line(self._handle)

    def append(self, event: Event | RowLosses) -> None:
        """Write one event, as one of this attempt. It is on disk for good at once when a state
        changes. Raises OSError when there is no room, or no file any more."""
        data = dump_event(event.model_copy(update={"attempt": self._attempt}))
        file = os.fstat(self._handle)
        if not file.st_nlink:  # writing would go on, and nobody could ever read it
            raise FileNotFoundError(errno.ENOENT, "it was removed", str(self._path))
        start = file.st_size
        try:
            _write_all(self._handle, data)
        except OSError:
            os.ftruncate(self._handle, start)  # no half line stays before the next event
            raise
        lasting = isinstance(event, (Status, Checkpoint, Decision))
        if lasting or time.monotonic() - self._synced > self._sync_seconds:
            os.fsync(self._handle)
            self._synced = time.monotonic()

    def close(self) -> None:
        os.fsync(self._handle)
        os.close(self._handle)


class EventReader:
    """Reads a growing log from where it stopped the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_events(self, most: int = -1) -> list[Event]:
        """Events since the last call, of about `most` bytes. A half-written last line waits for
        the next one."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                found = log.read(most)
                if len(found) == most:  # cut in a line, which may be longer than that
                    found += log.readline()
                whole, newline, _ = found.rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return [parse_event(line) for line in whole.splitlines()]


class History:
    """What the events of a run add up to."""

    def __init__(self) -> None:
        self.series: dict[str, dict[int, float]] = {}
        """Metric → step → value, in the order of steps."""
        self.times: dict[int, float] = {}
        """Step of the newest attempt → when it was reported."""
        self.seconds: dict[int, float] = {}
        """Step → seconds of training until it was reported, without those between attempts."""
        self._began: float | None = None
        """When it would have begun, had it trained without a break until now."""
        self.statuses: list[Status] = []
        self.checkpoints: list[Checkpoint] = []
        self.samples: list[Sample] = []
        self.decisions: list[Decision] = []
        """Of a sweep, in the order in which they were taken."""
        self.logs: deque[Log] = deque(maxlen=LOG_LINES_KEPT)
        self.n_steps: int | None = None
        self.attempt = 0
        """The newest process of the run; 0 before the first."""

    def add(self, event: Event) -> None:
        """Take in one event, in the order of the log."""
        self.attempt = max(self.attempt, event.attempt)
        match event:
            case Metrics():
                self.times[event.step] = event.time
                self.seconds.setdefault(event.step, self._passed(event.time))
                for name, value in event.values.items():
                    self.series.setdefault(name, {})[event.step] = value
            case Status():
                self._add_status(event)
            case Checkpoint():
                self.checkpoints.append(event)
            case Sample():
                self.samples.append(event)
            case Decision():
                self.decisions.append(event)
            case Log():
                self.logs.append(event)

    @property
    def last_step(self) -> int:
        """The last step whose loss is known; 0 before the first."""
        return max(self.series.get("train_loss", {}), default=0)

    @property
    def status(self) -> Status | None:
        return self.statuses[-1] if self.statuses else None

    def latest(self, name: str) -> float | None:
        """The newest value of a metric."""
        return next(reversed(self.series.get(name, {}).values()), None)

    def _add_status(self, event: Status) -> None:
        self.statuses.append(event)
        self.n_steps = event.n_steps or self.n_steps
        if event.from_step is not None:
            self._drop_after(event.from_step)
            self._began = event.time - max(self.seconds.values(), default=0.0)

    def _passed(self, time: float) -> float:
        """Seconds of training until then; what nobody saw begin has begun with its first figure."""
        if self._began is None:
            self._began = time
        return max(time - self._began, 0.0)

    def _drop_after(self, step: int) -> None:
        """An attempt resumed from `step`: what older ones reported beyond it is done anew."""
        for name, values in self.series.items():
            self.series[name] = {s: v for s, v in values.items() if s <= step}
        self.times = {}
        self.seconds = {s: passed for s, passed in self.seconds.items() if s <= step}
        self.checkpoints = [c for c in self.checkpoints if c.step <= step]
        self.samples = [s for s in self.samples if s.step <= step]


def _write_all(handle: int, data: bytes) -> None:
    """A write may take only part of the data, on a full disk without saying why."""
    while data:
        data = data[os.write(handle, data) :]


def _cut_half_line(handle: int) -> None:
    """Drop what a killed writer left after the last newline."""
    size = os.fstat(handle).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
