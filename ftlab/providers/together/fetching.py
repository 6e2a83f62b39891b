"""Large things of the service, fetched into a file: where the line breaks off, the rest follows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr

from ftlab.errors import ServiceError
from ftlab.providers.together.pace import Pace
from ftlab.providers.together.room import require_room
from ftlab.providers.together.statuses import PASSING
from ftlab.providers.together.wire import Found, wait
from ftlab.units import in_bytes

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each of the times that a download is gone on with."""
BEYOND = 416
LOOK_AT_ROOM_EVERY = 2**26  # bytes
REDIRECTS = (301, 302, 303, 307, 308)
PLACE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)")

Told = Callable[[float], Any]
"""Called with the share that is there."""


def fetch(
    client: Client, path: str, asked: Mapping[str, str], into: Path, doing: str, told: Told
) -> None:
    """Write what lies at a path of the service into a file.

    It is gone on with five times, each with a new address where the service sends elsewhere for
    it, and taken from its beginning where it may have changed. What has come stays in the file
    where it can't be finished, and the next call goes on with it. `doing` completes "when …".
    Raises ServiceError, FtlabError where the disk is too small, and Cancelled.
    """
    _Fetch(client, path, asked, into, doing, told).all()


def is_begun(into: Path) -> bool:
    """Whether a file holds a part that can be gone on with."""
    return _note_of(into).is_file() and existing_size(into) > 0


def existing_size(file: Path) -> int:
    """Its bytes; 0 where there is none."""
    return file.stat().st_size if file.is_file() else 0


def _note_of(into: Path) -> Path:
    """Says which version a part is of."""
    return into.with_name(f"{into.name}.json")


@dataclass
class _Fetch:
    """How much of it is there, and of which version."""

    client: Client
    path: str
    asked: Mapping[str, str]
    into: Path
    doing: str
    told: Told
    size: int | None = None
    version: str | None = None
    got: int = 0
    share: float = -1.0
    """The one that was told last."""
    n_before_room: int = 0
    """Bytes that were there at the last look at the disk."""

    def all(self) -> None:
        self.into.touch(mode=0o600)
        self._recall()
        self._look()
        if self.got and self.got == self.size:
            return
        waits = iter(WAITS)
        while not self._is_whole(found := self._go_on()):
            seconds = next(waits, None)
            if seconds is None:
                raise self._broken_off(found)
            self.client.pause(seconds)

    def _recall(self) -> None:
        """What a call before has left, if it is known of which version."""
        try:
            known = json.loads(_note_of(self.into).read_bytes())
            self.version, self.size = str(known["version"]), int(known["size"])
        except (OSError, ValueError, TypeError, KeyError):
            return
        self.got = existing_size(self.into)

    def _look(self) -> None:
        """Ask for the first two bytes, to hear how many there are."""
        headers = {**PLAIN, "Range": "bytes=0-1"}
        found = self.client.request(
            "GET",
            self.path,
            self.doing,
            accepted=REDIRECTS,
            taken=_nothing,
            params=self.asked,
            headers=headers,
        )
        found = self._followed(found, _nothing, headers)
        if isinstance(found, httpx.Response) and found.is_success:
            self._note(found)

    def _go_on(self) -> Found:
        """Take what is missing; what comes is in the file, however it ends."""
        self.client.pause(0)
        headers = dict(PLAIN)
        if self.got:
            headers["Range"] = f"bytes={self.got}-"
            headers |= {"If-Range": self.version} if self.version else {}
        found = self.client.attempt(
            "GET", self.path, self._take, params=self.asked, headers=headers
        )
        return self._followed(found, self._take, headers)

    def _followed(self, found: Found, taken: Any, headers: Mapping[str, str]) -> Found:
        """What a redirect leads to, without the key. Raises ServiceError for a refusal."""
        if not isinstance(found, httpx.Response) or found.is_success:
            return found
        if found.has_redirect_location:
            where = SecretStr(found.headers["location"])
            return self.client.storage.get(where, self.doing, taken, headers)
        if found.status_code not in (BEYOND, *PASSING):
            raise self.client.failure(found, self.doing)
        if found.status_code == BEYOND:
            self.got = 0  # it became shorter
        return found

    def _take(self, reply: httpx.Response, stop: Event) -> bytes:
        """Write a body where it belongs: at the end of what is there, or from the beginning."""
        place = PLACE.fullmatch(reply.headers.get("content-range", ""))
        start = int(place[1]) if reply.status_code == 206 and place else 0
        is_same = place and place[2] in ("*", str(self.size)) and _version(reply) == self.version
        if start and not (is_same and start == self.got):
            self.got = 0  # of something else; the next try takes it from its beginning
            return b""
        if not start:
            self._note(reply)
        with self.into.open("r+b") as file:
            file.truncate(start)
            file.seek(start)
            self.got = start
            pace = Pace(start)
            for chunk in reply.iter_raw():
                wait(stop, 0)
                self.got += file.write(chunk)
                self._check_size()
                self._check_room()
                pace.require(self.got)
        return b""

    def _note(self, reply: httpx.Response) -> None:
        """How much there is, and by what it is known again."""
        place = PLACE.fullmatch(reply.headers.get("content-range", ""))
        said = place[2] if place else reply.headers.get("content-length", "")
        version, size = _version(reply), self.size
        if said.isascii() and said.isdigit():
            size = int(said)
        elif version != self.version:
            size = None
        if (version, size) != (self.version, self.size):
            self.got = 0  # another one lies there by now
        self.version, self.size = version, size
        _note_of(self.into).unlink(missing_ok=True)
        if version and size:
            _note_of(self.into).write_text(json.dumps({"version": version, "size": size}))
        self._check_room(at_once=True)

    def _check_room(self, *, at_once: bool = False) -> None:
        """Both what comes and what is in it must fit; of what says no size, what there is."""
        if not at_once and self.got - self.n_before_room < LOOK_AT_ROOM_EVERY:
            return
        self.n_before_room = self.got
        size = self.got if self.size is None else self.size
        require_room(self.into.parent, 2 * size - self.got, "What comes, with what is in it,")

    def _check_size(self) -> None:
        if self.size is None:
            return
        if self.got > self.size:
            self.got = 0
            raise httpx.RemoteProtocolError("more came than was announced")
        share = round(self.got / self.size, 2)
        if share > self.share:
            self.share = share
            self.told(share)

    def _is_whole(self, found: Found) -> bool:
        if not isinstance(found, httpx.Response) or not found.is_success:
            return False
        return self.got > 0 and self.size in (None, self.got)

    def _broken_off(self, found: Found) -> ServiceError:
        said = found.status_code if isinstance(found, httpx.Response) else type(found).__name__
        of = f" of {in_bytes(self.size)}" if self.size else ""
        return ServiceError(
            f"It broke off at {in_bytes(self.got)}{of} for the {len(WAITS) + 1}th time ({said}) "
            f"when {self.doing}; only the whole is of use, and it stays at the service. Check the "
            f"network, then ask again{_GOES_ON * bool(self.got and self.version)}.",
        )


_GOES_ON = ": it goes on from there"
PLAIN = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
"""As it lies there: a range counts the bytes of that."""


def _version(reply: httpx.Response) -> str | None:
    """By what a body is known again; a weak tag is of no use for that."""
    tag = reply.headers.get("etag", "")
    return tag if tag.startswith('"') else reply.headers.get("last-modified")


def _nothing(reply: httpx.Response, stop: Event) -> bytes:
    """No more than that it is there."""
    return b""
