"""`python -m ftlab.trackers RUN --to TRACKER`: the mirror of a run, or of a sweep's arms.

It reads the log as a panel does, at the lowest priority, and ends when the run has ended or paused
and all has arrived. It may be killed at any moment: the next one asks the tracker what is there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from ftlab.processes import is_locked, try_lock
from ftlab.run import Run
from ftlab.run_folder import RunFolder
from ftlab.trackers import TITLES, TRACKERS
from ftlab.trackers.hidden import in_words
from ftlab.trackers.mirroring import Mirror
from ftlab.trackers.states import MirrorFolder

POLL = 1.0  # seconds between two looks at the log
LONGEST_WAIT = 60.0  # seconds between two tries while a tracker takes nothing
LOWEST = 19
"""Of priority: 1 % of a core that the training wants too."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ftlab.trackers", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run or a sweep")
    parser.add_argument("--to", choices=TRACKERS, required=True)
    parser.add_argument("--project", help="its project there")
    parser.add_argument("--patience", type=float, required=True, help="seconds after the run's end")
    parser.add_argument("--lock", type=int, required=True, help="handle of its lock, held already")
    options = parser.parse_args()
    os.set_inheritable(options.lock, False)  # noqa: FBT003 - the standard library's
    os.nice(LOWEST)
    following = Following(options.run, options.to, options.project, options.patience)
    return following.hold(options.lock)


class Following:
    """The mirrors of one run, or of each arm of a sweep, in one tracker."""

    def __init__(self, path: Path, tracker: str, project: str | None, patience: float) -> None:
        self.whole = RunFolder(path)
        self.tracker, self.project, self.patience = tracker, project, patience
        self.mirrors: dict[Path, Mirror] = {}

    def hold(self, lock: int) -> int:
        """Follow until the end; also of an attempt that begins while this process ends."""
        threading.Thread(target=self._lose_patience, daemon=True).start()
        folder = MirrorFolder(self.whole, self.tracker)
        while True:
            self.follow()
            os.close(lock)
            # Whoever started the run anew just now has seen the lock, and left this to us.
            lock = os.open(folder.lock_file, os.O_RDWR | os.O_CLOEXEC)
            if not (self.is_live and try_lock(lock)):
                return 0

    @property
    def is_live(self) -> bool:
        """Whether more may come."""
        return is_locked(self.whole.lock_file)

    def follow(self) -> None:
        """Until the run rests and everything has arrived."""
        wait = POLL
        while True:
            live = self.is_live  # before the log: what it wrote until it ended is read
            try:
                if not self._advance(live=live) and not live:
                    return
                wait = POLL
            except Exception as exc:  # a library may raise anything
                self._fail(exc, wait)
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _advance(self, *, live: bool) -> bool:
        """Hand over what is new; False where nothing is left to do now."""
        moved = [mirror.advance() for mirror in self._all()]
        if any(moved):
            return True
        for mirror in self.mirrors.values():
            over = not live or (mirror.has_ended and mirror.run.path != self.whole.path)
            if over and not mirror.is_closed:
                mirror.close()
        if live:
            time.sleep(POLL)
        return False

    def _all(self) -> list[Mirror]:
        """Of the run, or of the arms that have begun until now."""
        arms = [path.parent.resolve() for path in sorted(self.whole.path.glob("arms/*/job.json"))]
        for path in arms or [self.whole.path]:
            if path not in self.mirrors and (not arms or RunFolder(path).event_file.exists()):
                RunFolder(path).mirror(self.tracker).mkdir(mode=0o700, parents=True, exist_ok=True)
                self.mirrors[path] = Mirror(Run(path), self.tracker, self.project)
        return [*self.mirrors.values()]

    def _fail(self, exc: Exception, wait: float) -> None:
        traceback.print_exc()
        text = f"{TITLES[self.tracker]} takes nothing now ({in_words(exc)}). It is tried again in "
        for mirror in self.mirrors.values():
            if not mirror.is_closed:
                mirror.fail(f"{text}{wait:.0f} s; the run goes on, and nothing is lost.")

    # --- a tracker that never answers ----------------------------------------------------------

    def _lose_patience(self) -> None:
        """End this process where the tracker has not taken everything some time after the run's
        end. No thread can be ended that waits for an answer."""
        ended = time.monotonic()
        while time.monotonic() - ended < self.patience:
            time.sleep(POLL)
            if self.is_live:
                ended = time.monotonic()
        with contextlib.suppress(Exception):
            self._give_up()
        os._exit(1)

    def _give_up(self) -> None:
        for mirror in [*self.mirrors.values()]:
            if not mirror.is_closed:
                mirror.fail(
                    f"{TITLES[self.tracker]} had not taken everything {self.patience:.0f} s after "
                    "the run's end; all of it is in the run's folder. Try it again when it can be "
                    "reached."
                )


if __name__ == "__main__":
    sys.exit(main())
