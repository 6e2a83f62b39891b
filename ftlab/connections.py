"""Connections to other processes of this machine."""

from __future__ import annotations

import select
import socket


def has_left(connection: socket.socket) -> bool:
    """Whether the other side of a connection has closed it, or ours has."""
    try:
        watched = select.poll()  # select itself knows the first 1,024 files alone
        watched.register(connection, select.POLLIN)
        if not watched.poll(0):
            return False
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return True
