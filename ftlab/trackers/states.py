"""How far a run's mirror in a tracker is: a small file that the mirror writes and panels read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.files import replace_file
from ftlab.processes import is_locked
from ftlab.run_folder import RunFolder


class Mirrored(NamedTuple):
    """What a mirror has said of itself."""

    project: str | None = None
    step: int = 0
    """The last one that the tracker was given."""
    link: str = ""
    """An address, or the command that shows it."""
    problem: str = ""
    """Why it does not go on at present."""
    is_whole: bool = False
    """Whether all has arrived, with how the run ended."""


class MirrorFolder:
    """A mirror's own folder in that of its run; the tracker may keep more there."""

    def __init__(self, run: RunFolder, tracker: str) -> None:
        self.run, self.tracker = run, tracker
        self.path = run.mirror(tracker)

    @property
    def lock_file(self) -> Path:
        """Held by the mirror's process: a run has one mirror in a tracker."""
        return self.path / "lock"

    @property
    def log_file(self) -> Path:
        """What the tracker's library printed."""
        return self.path / "log.txt"

    @property
    def _state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def is_alive(self) -> bool:
        return is_locked(self.lock_file)

    @property
    def state(self) -> Mirrored:
        """What was said last; nothing where the file is missing or says something else."""
        try:
            found: dict[str, Any] = json.loads(self._state_file.read_bytes())
            return Mirrored(**{name: found[name] for name in Mirrored._fields if name in found})
        except (OSError, ValueError, TypeError):
            return Mirrored()

    def say(self, state: Mirrored) -> None:
        """Write it down. Where that can't be, only panels know less: the tracker knows the rest."""
        with contextlib.suppress(OSError):
            replace_file(self._state_file, json.dumps(state._asdict()).encode())


def mirrors(run: RunFolder) -> list[MirrorFolder]:
    """The mirrors that a run has or had."""
    return [MirrorFolder(run, tracker) for tracker in run.tracked]
