"""What the tests of providers share."""

from __future__ import annotations

import pytest

from ftlab.providers.together.client import Client


@pytest.fixture
def waits(monkeypatch):
    """Seconds that the client would have waited."""
    seconds, pause = [], Client.pause

    def note(client, wait):
        seconds.extend([wait] if wait else [])
        pause(client, 0)

    monkeypatch.setattr(Client, "pause", note)
    return seconds
