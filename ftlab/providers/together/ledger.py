"""Paid intents: a job at the service is written down before it is asked for.

One row per run, in `ledger.sqlite` beside the runs, on disk for good before the next thing happens
(WAL, synchronous=FULL). An intent goes from prepared to sent once; only what is certain to have
started nothing goes back. So a run can't buy two jobs, whichever process dies when.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ftlab.errors import RunError

FILE = "ledger.sqlite"
PATIENCE = 30.0  # seconds that another process may hold the file
MARK = "ftl-"
DIGITS = 10
"""Of a tag, hexadecimal: that one of a million other jobs has the same is less likely than one in a
million."""
LONGEST_SUFFIX = 40  # characters that the service takes
LONGEST_OWN = LONGEST_SUFFIX - len(MARK) - DIGITS - 1
"""Characters of a suffix that are the person's."""
MARKED = f"{MARK}[0-9a-f]{{{DIGITS}}}"
MARKS = re.compile(f"{MARKED}-|-?{MARKED}", re.IGNORECASE)

State = Literal["prepared", "sent", "bound", "rejected", "unknown"]
COMES_FROM: dict[State, tuple[State, ...]] = {
    "sent": ("prepared",),
    "prepared": ("sent",),  # it is certain that nothing was started
    "bound": ("prepared", "sent", "unknown"),  # prepared: the file may be older than the truth
    "rejected": ("sent",),
    "unknown": ("sent", "unknown"),
}
OPEN: tuple[State, ...] = ("sent", "unknown")
"""There may be a job of which nobody knows."""

TABLE = """
CREATE TABLE IF NOT EXISTS intents (
    run TEXT PRIMARY KEY,
    tag TEXT UNIQUE,
    state TEXT NOT NULL,
    address TEXT NOT NULL,
    spec_sha256 TEXT NOT NULL DEFAULT '',
    files_sha256 TEXT NOT NULL DEFAULT '',
    price REAL,
    pay_up_to REAL,
    job_id TEXT NOT NULL DEFAULT '',
    said TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL
)
"""


class Intent(NamedTuple):
    """A job that somebody wants to pay for, and what became of it."""

    run: str
    tag: str | None
    """Stands in the suffix of the job; a job that was adopted has none."""
    state: State
    address: str
    """Of the service."""
    spec_sha256: str = ""
    files_sha256: str = ""
    price: float | None = None
    """What the service said that it costs, in US dollars."""
    pay_up_to: float | None = None
    """What the person agreed to."""
    job_id: str = ""
    said: str = ""
    """Why it is where it is, for a person."""
    created_at: float = 0.0
    """Seconds since the epoch, as `changed_at`."""
    changed_at: float = 0.0


FIELDS = ", ".join(Intent._fields)


def tag_of(suffix: str | None, run: str) -> str:
    """A suffix that the job of no other run has: a mark, first because a service may cut the end,
    and as much of the person's own as fits. It is the same in each copy of the run's folder."""
    mark = f"{MARK}{hashlib.sha256(run.encode()).hexdigest()[:DIGITS]}"
    own = own_of(suffix)[:LONGEST_OWN]
    return f"{mark}-{own}" if own else mark


def own_of(suffix: str | None) -> str:
    """A person's own part of a suffix, without the mark of another job."""
    return MARKS.sub("", suffix or "").strip("-")


def mark_of(tag: str) -> str:
    """The part of a tag that no other job has; empty where there is none."""
    found = re.search(MARKED, tag, re.IGNORECASE)
    return found[0] if found else ""


class Ledger:
    """The intents of a folder of runs; a context that closes the file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        with self._told():
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.close(handle)  # SQLite gives its other files the rights of this one
            self._base = sqlite3.connect(self.file, PATIENCE, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.execute(TABLE)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def of(self, run: str) -> Intent | None:
        """The intent of a run."""
        return self._one("run", run)

    def of_job(self, job_id: str) -> Intent | None:
        """The intent that a job was started by, or that adopted it."""
        return self._one("job_id", job_id)

    def open(self) -> list[Intent]:
        """Those that may have started a job of which nobody knows, the oldest first."""
        places = ", ".join("?" * len(OPEN))
        where = f"WHERE state IN ({places}) ORDER BY created_at"
        return [Intent(*row) for row in self._do(f"SELECT {FIELDS} FROM intents {where}", *OPEN)]

    def prepare(self, intent: Intent) -> Intent:
        """Write down what is going to be asked for; the same run may do so again until it is sent.

        Raises RunError when it was sent before.
        """
        now = time.time()
        new = intent._replace(state="prepared", created_at=now, changed_at=now)
        self._add(
            new,
            "ON CONFLICT (run) DO UPDATE SET price = excluded.price, changed_at = "
            "excluded.changed_at WHERE state = 'prepared'",
        )
        found = self._known(intent.run)
        if found.state != "prepared":
            raise _moved(found, "prepared")
        return found

    def adopt(self, run: str, address: str, job_id: str) -> Intent:
        """Note that a run is that of a job which this ledger did not start, or knows no more."""
        now = time.time()
        self._add(
            Intent(run, None, "bound", address, job_id=job_id, created_at=now, changed_at=now),
            "ON CONFLICT (run) DO UPDATE SET state = 'bound', job_id = excluded.job_id, "
            "changed_at = excluded.changed_at WHERE state != 'bound'",
        )
        return self._known(run)

    def restore(self, run: str, tag: str, address: str) -> Intent:
        """Note a run that may have started a job, of which this ledger knows nothing: it was
        removed, or the run came from another folder, or has another name since."""
        self._do("UPDATE OR IGNORE intents SET run = ? WHERE tag = ?", run, tag)
        now, said = time.time(), "the ledger knew nothing of it"
        new = Intent(run, tag, "unknown", address, said=said, created_at=now, changed_at=now)
        self._add(new, "ON CONFLICT (run) DO NOTHING")
        return self._known(run)

    def move(self, run: str, to: State, *, job_id: str = "", said: str = "") -> Intent:
        """Note what became of an intent. Raises RunError when it is in no state that leads there:
        another process has moved it."""
        states = COMES_FROM[to]
        places = ", ".join("?" * len(states))
        set_ = "state = ?, job_id = ?, said = ?, changed_at = ?"
        statement = f"UPDATE intents SET {set_} WHERE run = ? AND state IN ({places}) RETURNING run"
        moved = self._do(statement, to, job_id, said, time.time(), run, *states)
        found = self._known(run)
        if not moved:
            raise _moved(found, to)
        return found

    def _add(self, new: Intent, or_else: str = "") -> None:
        places = ", ".join("?" * len(new))
        self._do(f"INSERT INTO intents ({FIELDS}) VALUES ({places}) {or_else}", *new)

    def _known(self, run: str) -> Intent:
        found = self.of(run)
        if found is None:
            raise RunError(
                f"{self.file} has nothing about run {run}; a job is written down there before it "
                "is asked for. Leave that file where it is while runs go on, and resume the run."
            )
        return found

    def _one(self, column: str, value: str) -> Intent | None:
        rows = self._do(f"SELECT {FIELDS} FROM intents WHERE {column} = ?", value)
        return Intent(*rows[0]) if rows else None

    def _do(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement, which is a transaction of its own."""
        with self._told():
            return self._base.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What keeps it from being read or written, for a person."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise RunError(
                f"{self.file} can't be used ({exc}); what is paid for is written down there first. "
                "Make room on the disk, or move the file away if it is damaged, and resume the run."
            ) from exc


def _moved(found: Intent, to: State) -> RunError:
    return RunError(
        f"The job of run {found.run} is {found.state} in the ledger; only {_or(COMES_FROM[to])} "
        f"becomes {to}. Another process has gone on with it; look at the run again."
    )


def _or(states: tuple[State, ...]) -> str:
    return " or ".join(states)
