"""Who waits for a device, and whose turn is next.

Each who waits holds a ticket: a file that it keeps locked, so that the system drops it when its
holder dies. The oldest is first, unless a person has said otherwise: an order file names tickets in
the order of their turns, and those that it does not name follow by age. Whoever waits reads it
anew with each look, so nobody has to be told of a change.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ftlab.files import alone_in, replace_file
from ftlab.processes import is_locked

NAME_LENGTH = 200  # bytes of a holder's name that are read


class Ticket(NamedTuple):
    """One who waits."""

    id: str
    holder: str
    """The name that it gave, such as the id of a run."""
    since: float
    """Seconds since the epoch."""


@contextlib.contextmanager
def ticket(folder: Path, device: str, holder: str) -> Iterator[str]:
    """The id of a new ticket, which is locked from the moment others can see it."""
    path = folder / f"{device}-{time.time_ns():020d}-{os.getpid()}.ticket"
    new = path.with_suffix(".new")
    handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.pwrite(handle, holder.encode("utf-8", "replace"), 0)
        new.rename(path)
        yield path.stem
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def drop(folder: Path, own: str) -> None:
    """Take a ticket away: its holder has the device, and waits no more."""
    (folder / f"{own}.ticket").unlink(missing_ok=True)


def waiting(folder: Path, device: str) -> list[Ticket]:
    """Who waits, the next one first. Tickets of the dead are taken away."""
    rank = _ranks(folder, device)
    paths = sorted(_paths(folder, device), key=lambda path: rank(path.stem))
    return [_read(path) for path in paths if _is_alive(path)]


def is_wanted(folder: Path, device: str) -> bool:
    """Whether somebody waits."""
    return any(map(is_locked, _paths(folder, device)))


def is_first(folder: Path, device: str, own: str) -> bool:
    """Whether nobody who lives is before the holder of a ticket."""
    rank = _ranks(folder, device)
    before = (path for path in _paths(folder, device) if rank(path.stem) < rank(own))
    return not any(map(_is_alive, before))


def move(folder: Path, device: str, own: str, by: int) -> bool:
    """Let a ticket have its turn `by` places later (below 0: sooner), as far as there are any;
    whether that changed the order."""
    with alone_in(folder):
        ids = [one.id for one in waiting(folder, device)]
        if own not in ids:
            return False
        place = ids.index(own)
        then = min(max(place + by, 0), len(ids) - 1)
        ids.insert(then, ids.pop(place))
        replace_file(_order_file(folder, device), "\n".join(ids).encode())
        return then != place


def _paths(folder: Path, device: str) -> Iterator[Path]:
    shape = re.compile(re.escape(device) + r"-\d{20}-\d+")
    return (path for path in folder.glob("*.ticket") if shape.fullmatch(path.stem))


def _ranks(folder: Path, device: str) -> Callable[[str], tuple[int, str]]:
    """A function from a ticket's id to what sorts it: its place as a person said, then its age."""
    try:
        said = _order_file(folder, device).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        said = []
    places = {name: place for place, name in enumerate(said)}
    return lambda name: (places.get(name, len(places)), name)


def _order_file(folder: Path, device: str) -> Path:
    return folder / f"{device}.order"


def _is_alive(path: Path) -> bool:
    if is_locked(path):
        return True
    path.unlink(missing_ok=True)  # its holder died waiting
    return False


def _read(path: Path) -> Ticket:
    try:
        name = path.read_bytes()[:NAME_LENGTH].decode("utf-8", "replace")
    except FileNotFoundError:  # it has its turn by now
        name = ""
    _, began, _ = path.stem.rsplit("-", 2)
    return Ticket(path.stem, name or "another process", int(began) / 1e9)
