"""Files above 5 GiB go up in parts, four at a time; all of them arrive, or nothing is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together.statuses import PASSING

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

PATH = "/v1/files/multipart"
# Those of the official SDK, so that a file is cut as its service expects it.
PART, LEAST_PART, MOST_PARTS = 250 * 2**20, 5 * 2**20, 250
AT_ONCE = 4
WAITS = (1.0, 4.0)
"""Seconds before a part is sent again."""

Read = Callable[[int, int, Callable[[int], Any]], Iterator[bytes]]
"""The content from a place on, so many bytes; told how many of them are read."""


def parts_of(size: int) -> tuple[int, int]:
    """Into how many parts a file goes, and the bytes of each but the last."""
    if size <= PART:
        return 1, size
    n_parts = min(MOST_PARTS, math.ceil(size / PART))
    each = max(math.ceil(size / n_parts), LEAST_PART)
    return math.ceil(size / each), each


@dataclass(frozen=True)
class Place:
    """Where a part goes; the address and the headers hold signatures."""

    number: int
    url: SecretStr
    headers: dict[str, SecretStr]


@dataclass(frozen=True)
class Begun:
    """What the service said to an upload in parts, so that no traceback shows where they go."""

    upload_id: object
    file_id: object
    places: list[Place]


def begun_by(reply: Mapping[str, Any]) -> Begun:
    """Of a reply; places that are none are left out. Raises nothing: it would show the reply."""
    listed = reply.get("parts")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    places = [place for place in map(_place, entries) if place is not None]
    return Begun(reply.get("upload_id"), reply.get("file_id"), places)


def _place(entry: Mapping[str, Any]) -> Place | None:
    number = entry.get("PartNumber", entry.get("part_number"))
    url = entry.get("URL") or entry.get("UploadURL")
    given = entry.get("Headers") or {}
    if type(number) is not int or not isinstance(url, str) or not isinstance(given, dict):
        return None
    return Place(number, SecretStr(url), {str(k): SecretStr(str(v)) for k, v in given.items()})


def send_parts(
    client: Client,
    begun: Begun,
    size: int,
    read: Read,
    told: Callable[[float], Any],
    doing: str,
) -> None:
    """Send a file to where the service wants its parts, and tell it when all are there. Where that
    fails, the service is told to drop them. Raises ServiceError."""
    known = {"upload_id": begun.upload_id, "file_id": begun.file_id}
    try:
        _require_places(begun, parts_of(size)[0], doing)
        sent = _sent(client, begun.places, _Pieces(client, size, read, told, doing))
        client.request("POST", f"{PATH}/complete", doing, json={**known, "parts": sent})
    except BaseException:
        client.last_word("POST", f"{PATH}/abort", json=known)
        raise


def _require_places(begun: Begun, n_parts: int, doing: str) -> None:
    numbers = sorted(place.number for place in begun.places)
    if not begun.upload_id or numbers != list(range(1, n_parts + 1)):
        raise ServiceError(
            f"Together named places for {len(numbers)} parts when {doing}; the file has {n_parts}, "
            "each with its own. Nothing was sent; ask again later."
        )


def _sent(client: Client, places: list[Place], pieces: _Pieces) -> list[dict[str, Any]]:
    """The tag of each part, by their numbers."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
    try:
        going = {pool.submit(pieces.send, place): place.number for place in places}
        wait(going, return_when=FIRST_EXCEPTION)
        failed = [one for one in going if one.done() and one.exception()]
        tags = {} if failed else {number: one.result() for one, number in going.items()}
    except KeyboardInterrupt:
        client.give_up()
        raise
    finally:
        pieces.over.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failed:
        raise failed[0].exception() or AssertionError
    return [{"part_number": number, "etag": tags[number]} for number in sorted(tags)]


@dataclass
class _Pieces:
    """The parts of one file, and how far they are."""

    client: Client
    size: int
    read: Read
    told: Callable[[float], Any]
    doing: str
    over: Event = field(default_factory=Event)
    """Set once no part is wanted any more."""
    n_sent: dict[int, int] = field(default_factory=dict)
    share: float = -1.0
    lock: Lock = field(default_factory=Lock)

    def send(self, place: Place) -> str:
        """Send a part, again where it may well arrive then; its tag at the storage."""
        for seconds in WAITS:
            try:
                return self._send(place)
            except ServiceError as exc:
                if exc.status not in (None, *PASSING) or self.over.is_set():
                    raise
            self.client.pause(seconds)
        return self._send(place)

    def _send(self, place: Place) -> str:
        each = parts_of(self.size)[1]
        start = (place.number - 1) * each
        size = min(each, self.size - start)
        content = partial(self._content, place.number, start, size)
        storage = self.client.storage
        headers = storage.put(place.url, content, size, self.doing, place.headers)
        if tag := headers.get("etag", "").strip('"'):
            return tag
        raise ServiceError(
            f"The storage named no tag for part {place.number} when {self.doing}; each part that "
            "arrived has one. Ask again later."
        )

    def _content(self, number: int, start: int, size: int) -> Iterator[bytes]:
        for chunk in self.read(start, size, partial(self._note, number)):
            if self.over.is_set():
                raise FtlabError("Another part failed; all are needed. Ask again.")
            yield chunk

    def _note(self, number: int, n_bytes: int) -> None:
        with self.lock:
            self.n_sent[number] = n_bytes
            share = sum(self.n_sent.values()) / self.size
            if share > self.share:  # a part that is sent again does not count back
                self.share = share
                self.told(share)
