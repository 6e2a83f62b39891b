"""The process that has the models in memory: started when it is asked, and asked again when it had
to give its device back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab import devices
from ftlab.errors import RunError
from ftlab.processes import is_locked, spawn, try_lock

if TYPE_CHECKING:
    import httpx

BASE = "base"
GAVE_WAY = "gave_way"
"""The type of the error of a process that gives its device back."""
START_SECONDS = 180
POLL = 0.1
LOG_TAIL = 600
Told = Callable[[str], None]
"""Hears what is being waited for."""


class Stopped(RunError):
    """The person who asked wants no answer any more."""


class GaveWay(RunError):
    """The process gave its device back before it had answered."""


class BrokeOff(RunError):
    """The process ended before it had answered."""


class Stop(Event):
    """Set when nobody wants the answer any more; the connection that waits for one ends then."""

    def __init__(self) -> None:
        super().__init__()
        self._connection: socket.socket | None = None

    def set(self) -> None:
        super().set()
        self._shut()

    def holds(self, connection: socket.socket | None) -> None:
        """End this connection when it is set."""
        self._connection = connection
        if self.is_set():
            self._shut()

    def _shut(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it has ended already
                self._connection.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raises Stopped once it is set."""
        if self.is_set():
            raise Stopped("The answer was stopped. Ask again when you like.")


class Place(NamedTuple):
    """A process: its model and device."""

    model: str
    device: str

    @property
    def socket(self) -> Path:
        key = hashlib.sha256(f"{self.model}\n{self.device}".encode()).hexdigest()[:12]
        return devices.lease_folder() / f"infer-{key}.sock"

    @property
    def lock(self) -> Path:
        return self.socket.with_suffix(".lock")

    @property
    def log(self) -> Path:
        return self.socket.with_suffix(".log")


def posted(
    model: str, device: str, path: str, asked: dict[str, Any], told: Told = lambda _: None
) -> dict[str, Any]:
    """The reply to one request, as an object. A process that gives its device back meanwhile is
    asked again, and waits for its turn. Raises RunError."""
    while True:
        try:
            with replied(Place(model, device), path, asked, told, Stop()) as reply:
                return json.loads(reply.read())
        except GaveWay as exc:
            told(str(exc))


@contextlib.contextmanager
def replied(
    place: Place, path: str, asked: dict[str, Any], told: Told, stop: Stop
) -> Iterator[httpx.Response]:
    """A success whose body has yet to be read. Raises GaveWay, Stopped, or RunError."""
    reply = None
    with contextlib.ExitStack() as opened, _said_what_broke(stop):
        while reply is None:
            stop.check()
            _wait_until_ready(place, told, stop)
            reply = _reply(opened, place, path, asked, stop)
        if reply.is_error:
            raise failure(json.loads(reply.read())["error"])
        yield reply


def connected(place: Place, told: Told) -> httpx.Client:
    """A client of the process, once it is ready."""
    _wait_until_ready(place, told, Stop())
    return _client(place)


def _client(place: Place) -> httpx.Client:
    import httpx

    transport = httpx.HTTPTransport(uds=str(place.socket), retries=2)
    return httpx.Client(transport=transport, base_url="http://models", timeout=None)


def failure(error: dict[str, Any]) -> RunError:
    """What the process said of why there is no answer."""
    if error.get("type") == GAVE_WAY:
        return GaveWay(error["message"])
    return RunError(f"The model could not answer: {error['message']}")


def _reply(
    opened: contextlib.ExitStack, place: Place, path: str, asked: dict[str, Any], stop: Stop
) -> httpx.Response | None:
    """None where the process was just ending, and heard nothing of it."""
    import httpx

    def seen(event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_unix_socket.complete":
            stop.holds(info["return_value"].get_extra_info("socket"))

    client = _client(place)
    opened.callback(stop.holds, None)
    opened.enter_context(client)
    try:
        # What httpx writes by itself is UTF-8, which has no word for half a character.
        body = json.dumps(asked).encode()
        stream = client.stream("POST", path, content=body, extensions={"trace": seen})
        return opened.enter_context(stream)
    except httpx.ConnectError:
        return None


@contextlib.contextmanager
def _said_what_broke(stop: Stop) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPError as exc:
        stop.check()
        raise BrokeOff(
            f"The process that answers has ended ({exc}); it must live until it has "
            "answered, and ends when memory is short. Ask again; it is started anew."
        ) from exc


# --- its life --------------------------------------------------------------------------------


def _wait_until_ready(place: Place, told: Told, stop: Stop) -> None:
    """Start the process where there is none, and wait until it can be asked."""
    end, is_ours = time.monotonic() + START_SECONDS, False
    while not ((lives := is_locked(place.lock)) and place.socket.exists()):
        stop.check()
        if not lives:
            if is_ours:
                raise RunError(_why_it_ended(place))
            is_ours = _start(place)
        holder = devices.holder_of(place.device)
        waits = holder and devices.is_wanted(place.device)
        told(f"Waiting for {place.device}, used by {holder}." if waits else "Loading the model.")
        if waits:
            end = time.monotonic() + START_SECONDS
        if time.monotonic() > end:
            raise RunError(
                f"The model was not loaded within {START_SECONDS} s, which is what it may take. "
                f"Its process goes on: ask again; {place.log} says how far it is."
            )
        stop.wait(POLL)


def _start(place: Place) -> bool:
    """Start it; False where somebody else has just done so."""
    handle = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(handle):
            return False
        place.socket.unlink(missing_ok=True)
        place.log.unlink(missing_ok=True)
        arguments = [place.model, str(place.socket), "--device", place.device]
        spawn("ftlab.infer", arguments, place.log, handle)
        return True
    finally:
        os.close(handle)


def _why_it_ended(place: Place) -> str:
    log = place.log
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return (
        "The process that answers ended before it was ready; it must load the model. "
        f"Its log ends with: {text[-LOG_TAIL:]}"
    )
