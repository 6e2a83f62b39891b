"""What the service says of a job, in ftlab's words. Nothing that it may say raises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from ftlab.events import Log, Metrics, RunStatus, Status

STATUSES: dict[str, RunStatus] = {
    "pending": "queued",
    "queued": "queued",
    "completed": "completed",
    "error": "failed",
    "user_error": "failed",
    "cancelled": "cancelled",
}
"""The service's word → ours; a word that is not here is one of a job that goes on."""
NAMES = {
    **{f"train/{name}": name for name in ("epoch", "grad_norm", "learning_rate")},
    "train/loss": "train_loss",
    "eval/loss": "eval_loss",
}
"""Other metrics keep their names, with an underscore for each slash."""
STEP, STAMP = "global_step", "timestamp"
NANOSECONDS = 1e9
LATEST_YEAR = 32_503_680_000.0  # seconds since the epoch until 3000; a later time is none
LARGEST_STEP = 2**53
IN_WORDS = ("nan", "inf", "infinity")
CHECKPOINT = "checkpoint"
"""In the types of events that tell of a new one."""

Cleaned = Callable[[object], str]


class Word(NamedTuple):
    """Where a job stands."""

    status: RunStatus
    detail: str
    """The service's own word for it."""
    n_steps: int | None = None

    @property
    def event(self) -> Status:
        return Status(status=self.status, detail=self.detail, n_steps=self.n_steps)


def word_of(job: Mapping[str, Any], cleaned: Cleaned) -> Word:
    """Where a job stands; one of which the service says nothing goes on."""
    said = cleaned(job.get("status") or "").lower()
    place = _count(job.get("queue_depth"))
    detail = f"{said}, {place:,} in the queue" if place and said == "queued" else said
    return Word(STATUSES.get(said, "running"), detail or "no state said", _steps_in(job))


def logs_of(replies: object, cleaned: Cleaned) -> list[Log]:
    """A line for each event, in the order of time; without those that say nothing."""
    found = [_log_of(event, cleaned) for event in _objects(replies)]
    return sorted((log for log in found if log.text), key=lambda log: log.time)


def _log_of(event: Mapping[str, Any], cleaned: Cleaned) -> Log:
    text = cleaned(event.get("message") or "")
    kind = cleaned(event.get("type") or "").lower()
    level = _level(f"{event.get('level')}".lower(), kind)
    return Log(level=level, text=text or kind.replace("_", " "), time=_time_of(event))


def _level(said: str, kind: str) -> Literal["info", "warning", "error"]:
    if "err" in said or kind in ("job_error", "job_user_error"):
        return "error"
    return "warning" if "warn" in said or kind in ("warning", "billing_limit") else "info"


def _time_of(event: Mapping[str, Any]) -> float:
    """Seconds since the epoch by the service's clock; 0 where it says none."""
    try:
        at = datetime.fromisoformat(str(event.get("created_at")))
        stamp = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return stamp if 0 < stamp < LATEST_YEAR else 0.0


def n_steps_in(replies: object) -> int | None:
    """How many steps a job has, as its events say; None before they do."""
    found = [steps for event in _objects(replies) if (steps := _steps_in(event))]
    return max(found, default=None)


def tells_of_checkpoints(replies: object) -> int:
    """How many events tell of checkpoints."""
    return sum(CHECKPOINT in str(event.get("type")).lower() for event in _objects(replies))


def reason_in(replies: object, cleaned: Cleaned) -> str:
    """What the last event says that is an error; empty where there is none."""
    errors = [log.text for log in logs_of(replies, cleaned) if log.level == "error"]
    return errors[-1] if errors else ""


def metrics_of(rows: object) -> list[Metrics]:
    """The rows with a step, in the order of steps."""
    found = [(step, row) for row in _objects(rows) if (step := _step_in(row)) is not None]
    events = [Metrics(step=step, values=_values(row), time=_stamp(row)) for step, row in found]
    return sorted((one for one in events if one.values), key=lambda one: (one.step, one.time))


def _step_in(row: Mapping[str, Any]) -> int | None:
    """Each row should have `train/global_step`, those of evaluations too."""
    names = [name for name in row if name.rpartition("/")[2] == STEP]
    counts = [_count(row[name]) for name in sorted(names, reverse=True)]
    return next((count for count in counts if count is not None), None)


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    """Its numbers, those that are none among them; what is no number is left to the raw log."""
    found = {name: _number(value) for name, value in row.items() if not _is_about_the_row(name)}
    if "train/loss" not in row:  # that of an evaluation repeats the epoch of the training step
        found = {name: value for name, value in found.items() if not name.startswith("train/")}
    return {
        NAMES.get(name, name.replace("/", "_")): value
        for name, value in found.items()
        if value is not None
    }


def _is_about_the_row(name: str) -> bool:
    return name.rpartition("/")[2] in (STEP, STAMP)


def _stamp(row: Mapping[str, Any]) -> float:
    """When it was measured; now, where the service does not say."""
    seconds = (_number(row.get(STAMP)) or 0.0) / NANOSECONDS
    return seconds if 0 < seconds < LATEST_YEAR else time.time()


def _number(value: object) -> float | None:
    """A number, also one in words such as "NaN"; None for anything else."""
    if isinstance(value, str) and value.lower().lstrip("+-") in IN_WORDS:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _count(value: object) -> int | None:
    """A whole number from 0."""
    number = _number(value)
    if number is None or not math.isfinite(number) or not 0 <= number <= LARGEST_STEP:
        return None
    return int(number) if number == int(number) else None


def _steps_in(said: Mapping[str, Any]) -> int | None:
    return _count(said.get("total_steps")) or None


def _objects(replies: object) -> Iterator[Mapping[str, Any]]:
    for one in replies if isinstance(replies, list) else ():
        if isinstance(one, dict):
            yield one
