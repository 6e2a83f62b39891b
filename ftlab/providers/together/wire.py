"""One request and its reply: nobody has to wait for a service that says nothing, or too much."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

import httpx

from ftlab.errors import FtlabError
from ftlab.providers.together.quiet import unlogged

LONGEST_REPLY = 120.0  # seconds from a request to the end of its reply
LARGEST_REPLY = 2**26  # bytes; the rest is not read. A list has about 1,500 per job
LOOK_EVERY = 0.1  # seconds between two looks at whether an answer is still wanted
ABOUT_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")
"""Headers that hold no more once a body is read."""
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

Opened = Callable[[], AbstractContextManager[httpx.Response]]
Found = httpx.Response | httpx.HTTPError
Taken = Callable[[httpx.Response, Event], bytes]
"""Reads the body of a success, on the thread of the request; returns what is kept of it."""


class Cancelled(FtlabError):
    """The person who asked wants no answer any more."""


def wait(stop: Event, seconds: float) -> None:
    """Wait. Raises Cancelled as soon as nobody wants an answer."""
    if stop.wait(seconds):
        raise Cancelled("Cancelled; no answer is waited for. Ask again when you like.")


def reply_of(
    opened: Opened, stop: Event, patience: float = math.inf, taken: Taken | None = None
) -> Found:
    """What a request brings within that many seconds, or why it brings nothing.

    It goes on a thread of its own, which ends by itself when nobody wants it any more; so no
    traceback leads to its headers and its address. `taken` reads a success that lasts.
    """
    queue: SimpleQueue[Found | BaseException] = SimpleQueue()
    read = taken or _body
    Thread(target=lambda: queue.put(_received(opened, stop, read)), daemon=True).start()
    try:
        found = waited_for(queue, stop, patience)
    except KeyboardInterrupt:
        stop.set()
        raise KeyboardInterrupt from None
    if isinstance(found, Found):
        return found
    raise found from None


def waited_for(
    queue: SimpleQueue[Found | BaseException], stop: Event, patience: float
) -> Found | BaseException:
    """What comes first: something in the queue, a stop, or the end of patience."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            return queue.get(timeout=LOOK_EVERY)
        except Empty:
            wait(stop, 0)
    return httpx.ReadTimeout("the reply does not end")


def _received(opened: Opened, stop: Event, read: Taken) -> Found | BaseException:
    """A reply with as much of its body as is of use, or what happened instead."""
    try:
        with unlogged(), opened() as reply:
            body = (read if reply.is_success else _body)(reply, stop)
    except BaseException as exc:  # whatever it is, it is raised where somebody waits for it
        exc.__context__ = None
        return exc.with_traceback(None)
    headers = [(n, v) for n, v in reply.headers.multi_items() if n not in ABOUT_THE_WIRE]
    return httpx.Response(reply.status_code, headers=headers, content=body)


def _body(reply: httpx.Response, stop: Event) -> bytes:
    body, end = bytearray(), time.monotonic() + LONGEST_REPLY
    for chunk in reply.iter_bytes():
        body += chunk
        wait(stop, 0)
        if time.monotonic() > end:
            raise httpx.ReadTimeout("the reply does not end")
        if len(body) > LARGEST_REPLY:
            break
    return bytes(body)


def connected(**settings: Any) -> httpx.Client:
    """A client. Raises FtlabError where the environment's proxy or certificates are of no use."""
    try:
        return httpx.Client(**settings)
    except (ImportError, ValueError) as exc:
        names, kind = PROXIES, type(exc).__name__
        takes = "a proxy at http://HOST:PORT or https://HOST:PORT"
    except OSError as exc:
        names, kind = CERTIFICATES, exc.strerror or type(exc).__name__
        takes = "a file, or a folder, of certificates in PEM format"
    given = [n for n in (*names, *map(str.lower, names)) if os.environ.get(n)] or names
    raise FtlabError(
        f"{' or '.join(given)} in the environment is of no use ({kind}); it takes {takes}. "
        "Correct it or take it out; nothing was sent."
    )
