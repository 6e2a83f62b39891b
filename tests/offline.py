"""Run a command in a network of its own that has nothing but the loopback.

    unshare --net python tests/offline.py COMMAND …

A new network starts with its loopback down; this takes it up, without needing other tools.
"""

import fcntl
import os
import socket
import struct
import sys

GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def take_up(interface: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", interface, 0)
        (flags,) = struct.unpack("16xh", fcntl.ioctl(any_socket, GET_FLAGS, request))
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", interface, flags | IS_UP))


if __name__ == "__main__":
    take_up(b"lo")
    os.execvp(sys.argv[1], sys.argv[1:])
