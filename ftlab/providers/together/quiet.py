"""httpx and httpcore write whole addresses, signatures included, and headers into their logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy")))
_is_ours: ContextVar[bool] = ContextVar("a request of ftlab goes on", default=False)


def _is_of_others(_: logging.LogRecord) -> bool:
    return not _is_ours.get()


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep requests that are made inside out of the logs; other people's requests stay in them."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_is_of_others)  # a second time it changes nothing
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
