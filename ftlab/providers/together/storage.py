"""Where data lies outside the service: places that are never told the key, by addresses that hold
a signature and are never shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from threading import Event

import httpx
from pydantic import SecretStr

from ftlab.errors import ServiceError
from ftlab.providers.together import refusals
from ftlab.providers.together.account import is_private
from ftlab.providers.together.wire import Found, Taken, connected, reply_of

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
HOPS = 5  # redirects of a storage

Content = Callable[[], Iterator[bytes]]


class Storage:
    """Requests to such places. `service` is the address of the service that names them."""

    def __init__(self, service: str, stop: Event) -> None:
        self._service, self._stop = service, stop
        # A proxy would read what goes to this machine in clear text.
        self._client = connected(trust_env=service.startswith("https:"), timeout=TIMEOUT)

    def close(self) -> None:
        self._client.close()

    def put(
        self,
        url: SecretStr,
        content: Content,
        size: int,
        doing: str,
        headers: Mapping[str, SecretStr] | None = None,
    ) -> httpx.Headers:
        """Send bytes, with more headers where a signature is of them; those of the reply come
        back. Raises ServiceError."""
        # Another length could spoil the signature.
        more = {**(headers or {}), "Content-Length": SecretStr(str(size))}
        return self._stored(url, doing, lambda where: self._put(where, content, more))

    def get(self, url: SecretStr, doing: str, taken: Taken, headers: Mapping[str, str]) -> Found:
        """What lies there, which `taken` reads, or why it does not come. Raises ServiceError for
        an address to which nobody may be sent."""
        return self._followed(url, doing, lambda where: self._get(where, taken, headers))[1]

    def _stored(
        self, url: SecretStr, doing: str, send: Callable[[SecretStr], Found]
    ) -> httpx.Headers:
        where, found = self._followed(url, doing, send)
        if not isinstance(found, httpx.Response):
            host = httpx.URL(where.get_secret_value()).host
            raise refusals.unreachable(found, doing, host)
        if not found.is_success:
            raise refusals.not_stored(found.status_code, doing)
        return found.headers

    def _followed(
        self, url: SecretStr, doing: str, send: Callable[[SecretStr], Found]
    ) -> tuple[SecretStr, Found]:
        """The last place of a few redirects, and what it said."""
        where = self._place(SecretStr(self._service), url, doing)
        found = send(where)
        for _ in range(HOPS - 1):
            if not isinstance(found, httpx.Response) or not found.has_redirect_location:
                break
            where = self._place(where, SecretStr(found.headers["location"]), doing)
            found = send(where)
        return where, found

    def _put(self, where: SecretStr, content: Content, headers: Mapping[str, SecretStr]) -> Found:
        return reply_of(
            lambda: self._client.stream(
                "PUT",
                where.get_secret_value(),
                content=content(),
                headers={name: value.get_secret_value() for name, value in headers.items()},
            ),
            self._stop,
        )

    def _get(self, where: SecretStr, taken: Taken, headers: Mapping[str, str]) -> Found:
        return reply_of(
            lambda: self._client.stream("GET", where.get_secret_value(), headers=headers),
            self._stop,
            math.inf,
            taken,
        )

    def _place(self, base: SecretStr, text: SecretStr, doing: str) -> SecretStr:
        """Where data may go: over https, or on this machine for a service on this machine."""
        scheme, host, where = _joined(base, text)
        is_near = self._service.startswith("http:")
        if not is_private(scheme, host) or (scheme == "http" and not is_near):
            raise ServiceError(
                f"When {doing}, Together named a storage at {scheme}://{host}; data goes "
                "over https only. Nothing was sent there; ask again later."
            )
        return where


def _joined(base: SecretStr, text: SecretStr) -> tuple[str, str, SecretStr]:
    """Scheme, host and the whole of an address; empty ones where it is none."""
    try:
        url = httpx.URL(base.get_secret_value()).join(text.get_secret_value())
    except httpx.InvalidURL:
        return "", "", SecretStr("")
    return url.scheme, url.host, SecretStr(str(url))
