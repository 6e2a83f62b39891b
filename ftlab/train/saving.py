"""When a run saves its state, and which of the states it keeps."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftlab.events import Checkpoint, Event, Log
from ftlab.run import CHECKPOINT
from ftlab.spec import JobSpec
from ftlab.train.checkpoints import Newest, damage, keep_only, newest_whole
from ftlab.train.position import Position
from ftlab.train.references import Reference

TRAINING_PER_SAVING = 100
"""Seconds of training for each second that the last saving took: about 1 % of a run is saving."""
LEAST_SECONDS = 5.0  # however fast saving is
FIRST_SECONDS = 30.0  # how long saving takes is not known yet
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Pace:
    """When to save for the sake of resuming alone, by a clock that never jumps."""

    def __init__(self) -> None:
        self._seconds, self._since = FIRST_SECONDS, time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self._since > self._seconds

    def took(self, seconds: float) -> None:
        """A state was saved, and this is what it cost."""
        self._seconds = max(TRAINING_PER_SAVING * seconds, LEAST_SECONDS)
        self._since = time.monotonic()


class Saving:
    """The states of one run: those that were asked for, the best, and the newest."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self.folder, self._pace = folder, pace or Pace()
        self._on_disk: int | None = None

    def newest(self) -> Newest:
        """From where to go on."""
        found = newest_whole(self.folder)
        self._on_disk = found.position.step if found.folder else None
        return found

    def path(self, step: int) -> Path:
        return self.folder / CHECKPOINT.format(step)

    def is_due(self) -> bool:
        return self._pace.is_due()

    def save(
        self,
        trainer: Any,
        base: Path,
        position: Position,
        references: Mapping[str, Mapping[int, Reference]],
        kept: set[int],
    ) -> Iterator[Event]:
        """Save the state after a step, where that has not been done, and remove those that are
        neither `kept` nor the newest. Raises OSError when it can't be written."""
        if position.step == self._on_disk:
            return
        from ftlab.train.states import save_state

        began = time.monotonic()
        save_state(self.path(position.step), trainer, base, position, references)
        self._on_disk = position.step
        keep_only(self.folder, {*kept, position.step})
        self._pace.took(time.monotonic() - began)
        if position.step in kept:
            yield Checkpoint(
                step=position.step, ref=f"{self.folder.name}/{self.path(position.step).name}"
            )

    def best(self, spec: JobSpec, position: Position) -> Path | None:
        """The state that early stopping keeps, where it is whole and not the present one."""
        step = position.verdicts.best_step
        if not spec.early_stopping_enabled or step in (None, position.step):
            return None
        return None if damage(self.path(step)) else self.path(step)

    def put_off(self, problem: OSError) -> Log:
        """What is to be said where there is no room for a state. Raises it when it is something
        else."""
        if problem.errno not in NO_ROOM:
            raise problem
        self._pace.took(LEAST_SECONDS)
        return Log(
            level="warning",
            text=f"A checkpoint could not be written ({problem.strerror}). Training goes on, and "
            "would go on from an older one after an interruption. Make room on the disk.",
        )
