"""What all tests share: no network beyond this machine, and no trace in the real folders."""

from __future__ import annotations

import os
import socket

import pytest

LOOPBACK = ("127.0.0.1", "::1", "localhost")
connect = socket.socket.connect


def _connect_on_loopback(self, address):
    if isinstance(address, tuple) and address[0] not in LOOPBACK:
        raise RuntimeError(f"a test tried to reach {address[0]}; tests stay on this machine")
    return connect(self, address)


@pytest.fixture(autouse=True)
def stays_on_this_machine(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", _connect_on_loopback)


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory):
    """Leases and caches of the tests, apart from those of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        # A unix socket's path is limited to 108 characters, so this one is short.
        patch.setenv("FTLAB_LEASES", str(tmp_path_factory.mktemp("l")))
        patch.setenv("FTLAB_CACHE", str(tmp_path_factory.mktemp("scans")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("FTLAB_SPARE", "0")  # a process each time that a form is right; see test_spare
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        os.environ.pop("FTLAB_RUNS", None)
        yield
