"""Requests to the service: the key goes there and nowhere else; what might cost is sent once."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Generator
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, TypeGuard

import httpx
from pydantic import SecretStr

import ftlab
from ftlab.errors import ServiceError
from ftlab.providers.together import refusals
from ftlab.providers.together.account import address, require_key
from ftlab.providers.together.statuses import PASSING
from ftlab.providers.together.storage import Storage
from ftlab.providers.together.wire import (
    LONGEST_REPLY,
    Found,
    Taken,
    connected,
    reply_of,
    wait,
)
from ftlab.providers.together.wire import (
    Cancelled as Cancelled,
)

TRIES = 3
FIRST_WAIT = 0.5  # seconds before the second try; each later one waits twice as long
LONGEST_WISH = 86400.0  # seconds of a Retry-After; a longer one is a mistake
LONGEST_WAIT = 60.0  # seconds that the service may ask for; the official SDK obeys as many
TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # those of the official SDK
FAREWELL = 5.0  # seconds for a request that nobody waits for


class _Bearer(httpx.Auth):
    """Puts the key into a request; it stands in no header of the client."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


class Client:
    """One account at the service; a context that closes its connections.

    `stop` ends all waiting: the call that goes on raises Cancelled at once. `told` hears why it
    waits. `secrets` are what is sent beside the key, and shown as little.
    """

    def __init__(
        self,
        key: SecretStr | None = None,
        base_url: str | None = None,
        *,
        stop: Event | None = None,
        told: Callable[[str], Any] = lambda _: None,
        secrets: Collection[SecretStr] = (),
    ) -> None:
        self.address = address(base_url)
        self._key = require_key(key)
        self._secrets = (self._key, *secrets)
        self._stop, self._told = stop or Event(), told
        # A proxy would read what goes to this machine in clear text, the key too.
        is_far = self.address.startswith("https:")
        self._service = connected(
            trust_env=is_far,
            base_url=self.address,
            auth=_Bearer(self._key),
            headers={"User-Agent": f"ftlab/{ftlab.__version__}", "Accept": "application/json"},
            timeout=TIMEOUT,
        )
        self.storage = Storage(self.address, self._stop)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()
        self.storage.close()

    def json(self, method: str, path: str, doing: str, **content: Any) -> dict[str, Any]:
        """The reply to a request that may be repeated, as an object. Raises ServiceError."""
        return self.parsed(self.request(method, path, doing, **content), doing)

    def parsed(self, reply: httpx.Response, doing: str) -> dict[str, Any]:
        """A reply as a JSON object. Raises ServiceError where it is none."""
        try:
            found = reply.json()
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise refusals.unreadable(reply, doing, self._secrets)
        return found

    def request(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        once: bool = False,
        accepted: Collection[int] = (),
        taken: Taken | None = None,
        **content: Any,
    ) -> httpx.Response:
        """The reply, a success or of an `accepted` status. Raises ServiceError for any other.

        A request is repeated when it is lost or the service is busy, unless `once`: then only
        after a 429, which says that nothing was done. `doing` completes "when …".
        """
        tries = 0
        while True:
            self.pause(0)
            tries += 1
            found = self.attempt(method, path, taken, **content)
            if _is_accepted(found, accepted):
                return found
            wait = _seconds(found, tries)
            if tries == TRIES or wait is None or (once and not is_undone(found)):
                break
            self._told(f"{why(found)}; asking again in {wait:.0f} s")
            self.pause(wait)
        raise self.failure(found, doing)

    def cleaned(self, text: object) -> str:
        """What the service said, as it may be shown: one line, cut, without secrets."""
        return refusals.without_secrets(str(text), self._secrets)

    def redacted(self, text: str) -> str:
        """A text of many lines, however long, without secrets."""
        return refusals.redacted(text, self._secrets)

    def said(self, reply: httpx.Response) -> str:
        """What the service said in a reply, in brackets, as it may be shown."""
        return refusals.told(reply, self._secrets)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Cancelled as soon as nobody wants an answer."""
        wait(self._stop, seconds)

    def give_up(self) -> None:
        """End all waiting: nobody wants an answer any more."""
        self._stop.set()

    def attempt(self, method: str, path: str, taken: Taken | None = None, **content: Any) -> Found:
        """What one request brings that is not repeated: a reply of any status, or why there is
        none. `taken` reads the body of a success, which may last."""
        self.pause(0)
        patience = LONGEST_REPLY if taken is None else math.inf
        return reply_of(
            lambda: self._service.stream(method, path, **content), self._stop, patience, taken
        )

    def last_word(self, method: str, path: str, **content: Any) -> None:
        """Say what need not arrive, for a moment, also when nobody wants an answer any more."""
        reply_of(lambda: self._service.stream(method, path, **content), Event(), FAREWELL)

    def failure(self, found: Found, doing: str) -> ServiceError:
        """The error for a reply that is no success, or for none."""
        if isinstance(found, httpx.Response):
            refused = refusals.refused(found, doing, self._secrets)
            refused.wait = retry_after(found)
            return refused
        return refusals.unreachable(found, doing, self.address)


def _is_accepted(found: Found, accepted: Collection[int]) -> TypeGuard[httpx.Response]:
    is_reply = isinstance(found, httpx.Response)
    return is_reply and (found.is_success or found.status_code in accepted)


def is_undone(found: Found) -> bool:
    """Whether it is certain that the service has done nothing."""
    if isinstance(found, httpx.Response):
        return found.status_code == 429
    return isinstance(found, httpx.ConnectError | httpx.ConnectTimeout)


def _seconds(found: Found, tries: int) -> float | None:
    """How long to wait before the next try; None where another one would be of no use."""
    backoff = FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.75, 1.0)
    if not isinstance(found, httpx.Response):
        return backoff if isinstance(found, httpx.TransportError) else None
    wish = found.headers.get("x-should-retry")
    if wish == "false" or (wish != "true" and found.status_code not in PASSING):
        return None
    asked = retry_after(found)
    if asked is None:
        return backoff
    return asked if asked <= LONGEST_WAIT else None


def retry_after(reply: httpx.Response) -> float | None:
    """Seconds that the service asks to wait, which it gives as a number or as a date: a day at
    most."""
    text = reply.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_WISH) if math.isfinite(seconds) else None


def why(found: Found) -> str:
    """Why there is no success, in a few words."""
    if isinstance(found, httpx.Response):
        return f"the service is busy ({found.status_code})"
    return "the service does not answer"
