"""The first rows of a file at the service, for whoever has it no more."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from ftlab.providers.together.fetching import PLAIN, REDIRECTS
from ftlab.providers.together.listing import FILES
from ftlab.providers.together.wire import wait

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

MOST = 2**22
"""Bytes that are read: ten rows of many thousands of tokens."""


@contextlib.contextmanager
def first_lines(client: Client, file_id: str) -> Iterator[Path]:
    """A file of this machine that holds them while the context lasts. Raises ServiceError."""
    content = _beginning(client, file_id)
    whole, newline, _ = content.rpartition(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.jsonl"
        path.write_bytes(content if len(content) < MOST else whole + newline)
        yield path


def _beginning(client: Client, file_id: str) -> bytes:
    doing = f"the first rows of {file_id} were read"
    path = f"{FILES}/{quote(file_id, safe='')}/content"
    headers = {**PLAIN, "Range": f"bytes=0-{MOST - 1}"}
    found = client.request(
        "GET", path, doing, accepted=REDIRECTS, taken=_first_bytes, headers=headers
    )
    if found.has_redirect_location:
        where = SecretStr(found.headers["location"])
        found = client.storage.get(where, doing, _first_bytes, headers)
    if isinstance(found, httpx.Response) and found.is_success:
        return found.content
    raise client.failure(found, doing)


def _first_bytes(reply: httpx.Response, stop: Event) -> bytes:
    """No more than that, also of a service that knows no ranges."""
    body = bytearray()
    for chunk in reply.iter_raw():
        wait(stop, 0)
        body += chunk
        if len(body) >= MOST:
            break
    return bytes(body[:MOST])
