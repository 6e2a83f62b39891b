"""The queues of this machine's devices, as a person sees and changes them."""

from __future__ import annotations

from typing import NamedTuple

from ftlab import tickets
from ftlab.devices import holder_at, lease_folder
from ftlab.errors import RunError
from ftlab.tickets import Ticket
from ftlab.units import age


class Queue(NamedTuple):
    """Who uses a device and who waits for it."""

    device: str
    holder: str
    """The run that has it, or a name such as "the Try panel"; empty when it is free."""
    since: float | None
    """Seconds since the epoch; None when it is free."""
    waiting: list[Ticket]
    """The next one first."""

    def place(self, name: str) -> int | None:
        """From 1; None when nobody of that name waits here."""
        holders = [one.holder for one in self.waiting]
        return holders.index(name) + 1 if name in holders else None

    def __str__(self) -> str:
        """Its device and holder, and a line for each that waits."""
        held = f"used by {self.holder} for {age(self.since)}" if self.holder else "free"
        lines = (
            f"  {place}. {one.holder}, waiting for {age(one.since)}"
            for place, one in enumerate(self.waiting, start=1)
        )
        return "\n".join(
            (f"{self.device}: {held}", *(lines if self.waiting else ("  nobody waits",)))
        )

    def as_dict(self) -> dict[str, object]:
        """As plain data; times are seconds since the epoch."""
        waiting = [{"run": one.holder, "since": one.since} for one in self.waiting]
        return {
            "device": self.device,
            "holder": self.holder,
            "since": self.since,
            "waiting": waiting,
        }


def queues() -> list[Queue]:
    """Of the devices that somebody uses or waits for."""
    folder = lease_folder()
    found = (_queue(lease.stem) for lease in sorted(folder.glob("*.lease")))
    return [queue for queue in found if queue.holder or queue.waiting]


def where(name: str) -> Queue:
    """The queue in which the run of that id waits. Raises RunError when it waits in none."""
    for queue in queues():
        if queue.place(name) is not None:
            return queue
    raise RunError(
        f"{name} waits for no device; only what waits can be moved or taken out of a queue. "
        "`ftlab queue` shows who does."
    )


def move(name: str, by: int) -> bool:
    """Let the run of that id have its turn `by` places later (below 0: sooner), as far as there
    are any; whether that changed the order. Raises RunError when it does not wait."""
    queue = where(name)
    ticket = next(one for one in queue.waiting if one.holder == name)
    return tickets.move(lease_folder(), queue.device, ticket.id, by)


def _queue(device: str) -> Queue:
    folder = lease_folder()
    holder = holder_at(device)
    since = (folder / f"{device}.lease").stat().st_mtime if holder else None
    return Queue(device, holder, since, tickets.waiting(folder, device))
