"""Trackers: mirrors of a run's event log in W&B, MLflow, TensorBoard and trackio.

A mirror is a process of its own that follows the log, as every reader does; the process that
trains does not know of it. What a tracker has is asked of the tracker, so that a mirror which was
killed goes on with every step once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ftlab.events import Event

TRACKERS = {
    "wandb": "ftlab.trackers.wandb:Wandb",
    "mlflow": "ftlab.trackers.mlflow:Mlflow",
    "tensorboard": "ftlab.trackers.tensorboard:Tensorboard",
    "trackio": "ftlab.trackers.trackio:Trackio",
}
TITLES = {
    **{"wandb": "W&B", "mlflow": "MLflow"},
    **{"tensorboard": "TensorBoard", "trackio": "trackio"},
}


@dataclass(frozen=True)
class Told:
    """What a tracker is told of a run at first."""

    id: str
    """Unique among all runs of a folder, also for an arm of a sweep."""
    folder: Path
    """Where the mirror may keep what it needs."""
    runs: Path
    """The folder of all runs."""
    name: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    group: str | None = None
    """The id of its sweep."""
    project: str | None = None
    """None: what the tracker's own variable says, or PROJECT."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Resolved spec, options, digests of the data; plain data."""


PROJECT = "ftlab"


class Line(NamedTuple):
    """One event of the log that still counts."""

    number: int
    """Of its line in the log, from 0; it rises, also where steps are done anew."""
    event: Event
    axes: Mapping[str, float] = {}
    """Of metrics: trained_tokens and training_seconds until then, as far as they are known."""


class Copy(Protocol):
    """A run as a tracker has it. Its class opens it: what is there stays there, and `add` gets the
    log from its beginning. Raises whatever its library raises."""

    link: str
    """Where a person sees it: an address, or a command."""
    rewrites: bool
    """Whether opening it writes it from its beginning: then what was overtaken is gone."""

    def __init__(self, told: Told) -> None: ...

    def add(self, lines: Sequence[Line]) -> None:
        """Take what it has not got yet."""
        ...

    def close(self, status: str, ending: Mapping[str, str]) -> None:
        """Say how the run ended, and come back when all has arrived."""
        ...
