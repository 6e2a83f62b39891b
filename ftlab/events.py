"""Events: everything that trains yields these, and a run's `events.jsonl` holds one per line.

Adding a kind is one class and one name in `Event`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

RunStatus = Literal["queued", "running", "paused", "completed", "failed", "cancelled"]
FINAL: frozenset[str] = frozenset({"completed", "cancelled"})
"""What a run never leaves."""
ENDED: frozenset[str] = FINAL | {"failed"}


class _Base(BaseModel):
    # Losses can be NaN: "strings" is the only mode in which pydantic reads them back.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings", extra="ignore")
    time: float = Field(default_factory=time.time)
    """Seconds since the epoch, by the clock of the machine that trains."""
    attempt: int = 1
    """1 for the first process of a run, one more for each that resumed it."""


class Status(_Base):
    """The run changed its state."""

    kind: Literal["status"] = "status"
    status: RunStatus
    detail: str = ""
    """Why, or the engine's own word for it."""
    from_step: int | None = None
    """Written by an attempt that resumed: later steps of older attempts no longer count."""
    n_steps: int | None = None
    """Optimizer steps in the whole run, once known."""


class Metrics(_Base):
    """Measured values after `step` optimizer steps."""

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]
    """train_loss, eval_loss, learning_rate, grad_norm, epoch, tokens_per_second, loss_tokens,
    step_seconds, loader_seconds (of those, how long the device waited for rows),
    memory_gib (resident, of the process), gpu_memory_gib (the most so far), gpu_memory_used_gib
    (now), utilization (of the GPU, percent, once a second); losses are means per trained token, in
    nats."""


class Checkpoint(_Base):
    """Weights were saved after `step` optimizer steps."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    ref: str
    """Where: a folder relative to the run, or the service's id."""


class Sample(_Base):
    """The model's answer to a prompt after `step` optimizer steps."""

    kind: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str


class RowLosses(_Base):
    """Losses of single rows; they are many, and lie in a file of their own."""

    kind: Literal["rows"] = "rows"
    step: int
    file: Literal["training", "validation"]
    """Of a training step the highest, of an evaluation all rows."""
    lines: tuple[int, ...]
    """Where each row stands in its file, from 1."""
    losses: tuple[float, ...]
    """SFT: mean per trained token of the row, in nats; DPO: of the pair; row weights left out."""


class Log(_Base):
    """A line for people."""

    kind: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    text: str


class Decision(_Base):
    """Which arms of a sweep go on. Arms count from 0."""

    kind: Literal["decision"] = "decision"
    rung: int
    """Which of the plan's rungs, from 0; -1 before the first, where a range test says so."""
    step: int
    kept: tuple[int, ...]
    stopped: dict[int, str] = {}
    """Arm → why it ends here."""
    added: tuple[dict[str, Any], ...] = ()
    """New arms, each with its `name` and its `changes`; they catch up before the rung is decided
    again."""


Event = Annotated[
    Status | Metrics | Checkpoint | Sample | Log | Decision, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def dump_event(event: Event | RowLosses) -> bytes:
    """One line of the event log, newline included."""
    return event.model_dump_json(exclude_defaults=False).encode() + b"\n"


def parse_event(line: bytes) -> Event:
    """The event on a line; a line of an unknown kind becomes a warning, never an exception."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError:
        text = line[:200].decode("utf-8", "replace")
        return Log(
            level="warning", text=f"This line of the event log can't be read: {text}", time=0
        )
