"""How fast something comes: on a line that only drips, another one is better."""

from __future__ import annotations

import time

import httpx

SPELL, LEAST = 60.0, 2**16
"""Seconds in which so many bytes must come."""


class Pace:
    """Looks at it from spell to spell."""

    def __init__(self, got: int) -> None:
        self._got, self._since = got, time.monotonic()

    def require(self, got: int) -> None:
        """Raise ReadTimeout where less has come than is of use."""
        now = time.monotonic()
        if now - self._since < SPELL:
            return
        if got - self._got < LEAST:
            raise httpx.ReadTimeout("it only drips")
        self._got, self._since = got, now
