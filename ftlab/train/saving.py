"""When a run saves its state, and which of the states it keeps."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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


def warnings(texts: Iterable[str]) -> Iterator[Log]:
    """The texts as warnings in a run's log."""
    yield from (Log(level="warning", text=text) for text in texts)


def rows_cut(n_cut: int, spec: JobSpec, *, at_least: bool = True) -> str:
    """What is to be said of rows that lost their end; empty where none has."""
    if not n_cut:
        return ""
    least = "At least " if at_least else ""
    return (
        f"{least}{n_cut:,} rows were cut at {spec.max_seq_length:,} tokens; rows must fit in "
        "max_seq_length to be trained on whole. Raise it, shorten them, or set over_length to drop."
    )


class Pace:
    """When to save for the sake of resuming alone, by a clock that never jumps."""

    def __init__(self, n_runs: int = 1) -> None:
        """`n_runs` take turns, and save each for itself."""
        self._n_runs = n_runs
        self._seconds, self._since = FIRST_SECONDS, time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self._since > self._seconds

    def took(self, seconds: float) -> None:
        """A state was saved, and this is what it cost."""
        self._seconds = max(TRAINING_PER_SAVING * seconds * self._n_runs, LEAST_SECONDS)
        self._since = time.monotonic()


class Best(NamedTuple):
    """What a run that is over keeps."""

    folder: Path | None
    """None: its present state."""
    step: int
    in_words: str = ""
    """What is to be added to how the run ended."""
    problem: str = ""
    """Why it is not what early stopping found best."""

    def ending(self, step: int, n_steps: int | None, why: str = "") -> str:
        """How a run ended whose result it is, and `why` where it was stopped."""
        of = "" if n_steps is None else f" of {n_steps:,}"
        stopped = "" if step == n_steps else f"stopped at step {step:,}{of}"
        detail = ": ".join(text for text in (stopped, why) if text)
        return f"{detail or 'done'}{self.in_words}" if self.in_words else detail


class Saving:
    """The states of one run: those that were asked for, the best, and the newest."""

    def __init__(self, folder: Path, pace: Pace | None = None, told: Collection[str] = ()) -> None:
        """`told` are the checkpoints that the run's log names already."""
        self.folder, self._pace, self._refs_told = folder, pace or Pace(), told
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
        recorded: Callable[[], bytes] = bytes,
    ) -> Iterator[Event]:
        """Save the state after a step, where that has not been done, and remove those that are
        neither `kept` nor the newest. Raises OSError when it can't be written."""
        if position.step == self._on_disk:
            return
        from ftlab.train.states import save_state

        began = time.monotonic()
        save_state(self.path(position.step), trainer, base, position, references, recorded())
        self._on_disk = position.step
        keep_only(self.folder, {*kept, position.step})
        self._pace.took(time.monotonic() - began)
        yield from self.told(position.step, kept)

    def told(self, step: int, kept: set[int]) -> Iterator[Event]:
        """That the state after a step is there, where it is kept and nobody was told: a process
        may have been killed between the two."""
        ref = f"{self.folder.name}/{self.path(step).name}"
        if step in kept and ref not in self._refs_told:
            yield Checkpoint(step=step, ref=ref)

    def best(self, spec: JobSpec, position: Position) -> Best:
        """The state that early stopping keeps, or the present one where that is not whole."""
        step, loss = position.verdicts.best_step, position.verdicts.best_loss
        if not spec.early_stopping_enabled or step is None or step == position.step:
            return Best(None, position.step)
        of = f"step {step:,}, where the validation loss was lowest ({loss:.4g})"
        if not (problem := damage(self.path(step))):
            return Best(self.path(step), step, f"; the result is that of {of}")
        text = (
            f"The checkpoint of {of}, is not whole ({problem}); only a whole one can be the "
            f"result, which is that of step {position.step:,} now. Train again, with room on the "
            "disk, to have the best."
        )
        return Best(None, position.step, problem=text)

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
