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
from typing import NoReturn

import psutil

from ftlab.processes import is_locked, try_lock
from ftlab.run import Run
from ftlab.run_folder import RunFolder
from ftlab.trackers import TITLES, TRACKERS
from ftlab.trackers.hidden import in_words, without_secrets
from ftlab.trackers.mirroring import Mirror
from ftlab.trackers.states import MirrorFolder

POLL = 1.0  # seconds between two looks at the log
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between two tries while a tracker takes nothing
GIVEN = dict(os.environ)
"""As it was before a library put something in: W&B the address of a process that is gone then."""
LOWEST = 19
"""Of priority: 1 % of a core that the training wants too."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ftlab.trackers", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run or a sweep")
    parser.add_argument("--to", choices=TRACKERS, required=True)
    parser.add_argument("--project", help="its project there")
    parser.add_argument("--patience", type=float, required=True, help="seconds after the run's end")
    parser.add_argument("--nice", type=int, default=LOWEST, help="less of priority")
    parser.add_argument("--rests-since", type=float, help="when the run had ended")
    parser.add_argument("--wait", type=float, default=FIRST_WAIT, help="seconds after a failure")
    parser.add_argument("--lock", type=int, required=True, help="handle of its lock, held already")
    options = parser.parse_args()
    os.set_inheritable(options.lock, False)  # noqa: FBT003 - the standard library's
    _be_nice(options.nice)
    following = Following(options.run, options.to, options.project)
    following.rests_since = options.rests_since
    threading.Thread(target=following.lose_patience, args=[options.patience], daemon=True).start()
    try:
        return hold(following, options.lock)
    except Exception as exc:  # a library may raise anything
        print(without_secrets(traceback.format_exc()), file=sys.stderr)
        following.say(exc, options.wait)
        time.sleep(options.wait)
        _begin_anew(options, following.rests_since)


def hold(following: Following, lock: int) -> int:
    """Follow until the end; also of an attempt that begins while this process ends."""
    folder = MirrorFolder(following.whole, following.tracker)
    while True:
        following.follow()
        os.close(lock)
        # Whoever started the run anew just now has seen the lock, and left this to us.
        lock = os.open(folder.lock_file, os.O_RDWR | os.O_CLOEXEC)
        if not (following.is_live and try_lock(lock)):
            return 0


def _be_nice(least: int) -> None:
    with contextlib.suppress(OSError):  # where each session gets an equal share of the machine
        Path("/proc/self/autogroup").write_text(str(least))
    os.nice(least)


def _begin_anew(options: argparse.Namespace, rests_since: float | None) -> NoReturn:
    """The same process from its beginning, with its lock: what a library keeps in memory after a
    failure, and processes of its own, can keep it from ever working again."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    arguments = {
        **{"to": options.to, "project": options.project, "patience": options.patience},
        **{"rests-since": rests_since, "wait": min(2 * options.wait, LONGEST_WAIT)},
        **{"nice": 0, "lock": options.lock},
    }
    given = [f"--{name}={value}" for name, value in arguments.items() if value is not None]
    os.set_inheritable(options.lock, True)  # noqa: FBT003
    module = [sys.executable, "-P", "-m", "ftlab.trackers"]
    os.execve(sys.executable, [*module, str(options.run), *given], GIVEN)


class Following:
    """The mirrors of one run, or of each arm of a sweep, in one tracker."""

    def __init__(self, path: Path, tracker: str, project: str | None = None) -> None:
        self.whole = RunFolder(path)
        self.tracker, self.project = tracker, project
        self.mirrors: dict[Path, Mirror] = {}
        self.rests_since: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether more may come."""
        return is_locked(self.whole.lock_file)

    def follow(self) -> None:
        """Until the run rests and everything has arrived. Raises what a tracker raises."""
        while True:
            live = self.is_live  # before the log: what it wrote until it ended is read
            if not self._advance(live=live) and not live:
                return

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

    def say(self, exc: Exception, wait: float) -> None:
        """What went wrong, where mirrors are shown."""
        self._fail(
            f"{TITLES[self.tracker]} takes nothing now ({in_words(exc)}). It is tried again after "
            f"{wait:.0f} s; the run goes on, and nothing is lost."
        )

    def _fail(self, text: str) -> None:
        for mirror in [*self.mirrors.values()]:
            if not mirror.is_closed:
                mirror.fail(text)

    def lose_patience(self, patience: float) -> None:
        """End this process where the tracker has not taken everything some time after the run's
        end. A thread that waits for an answer can't be ended otherwise."""
        while True:
            if self.is_live:
                self.rests_since = None
            elif self.rests_since is None:
                self.rests_since = time.time()
            elif time.time() - self.rests_since > patience:
                break
            time.sleep(POLL)
        self._fail(
            f"{TITLES[self.tracker]} had not taken everything {patience:.0f} s after the run's "
            "end; all of it is in the run's folder. Go on when it can be reached."
        )
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
