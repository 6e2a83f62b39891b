"""How fast a file goes up, beside `curl -T` to the same server on this machine.

    python -m tests.benchmarks.uploads [--gb 1] [--rounds 9]

Prints the speed of both, their ratio (above 1: ours is faster), and by how much our memory grew.
The server reads and forgets, in a process of its own; both are measured in turns, and the median
of each counts. The checksum is not among it: it is that of the scan.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from pydantic import SecretStr

from ftlab.providers.together.client import Client
from ftlab.providers.together.files import _chunks

BLOCK = 2**20
AGAIN = b"HTTP/1.1 100 Continue\r\n\r\n"
STORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def serve() -> None:
    """Take PUTs, one after the other, until the process is ended; prints its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    room = memoryview(bytearray(BLOCK))
    while True:
        connection, _ = listening.accept()
        with connection:
            take(connection, room)


def take(connection: socket.socket, room: memoryview) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    lines, _, body = head.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines.split(b"\r\n")[1:])
    if b"expect" in fields:  # curl waits for this before it sends
        connection.sendall(AGAIN)
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= connection.recv_into(room)
    connection.sendall(STORED)


def by_curl(file: Path, port: int) -> float:
    """Seconds that the whole program takes."""
    start = time.perf_counter()
    where = f"http://127.0.0.1:{port}/file"
    subprocess.run(["curl", "-sf", "--noproxy", "*", "-T", str(file), where], check=True)
    return time.perf_counter() - start


def by_us(file: Path, port: int) -> float:
    start = time.perf_counter()
    size = file.stat().st_size
    with (
        Client(SecretStr("k"), f"http://127.0.0.1:{port}") as client,
        file.open("rb") as content,
    ):
        read = partial(_chunks, client, content, 0, size, lambda _: None)
        client.storage.put(SecretStr(f"http://127.0.0.1:{port}/file"), read, size, "it was sent")
    return time.perf_counter() - start


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(file: Path, rounds: int, port: int) -> None:
    size = file.stat().st_size
    by_us(file, port)  # what is loaded once does not count
    by_curl(file, port)
    before = peak()
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(by_us(file, port))
        theirs.append(by_curl(file, port))
    print(f"ftlab     {size / median(ours) / 1e6:7.0f} MB/s   (each: {seconds(ours)})")
    print(f"curl -T   {size / median(theirs) / 1e6:7.0f} MB/s   (each: {seconds(theirs)})")
    print(f"ratio     {median(theirs) / median(ours):7.2f}")
    print(f"memory   +{(peak() - before) / 1e6:7.1f} MB for {size / 1e6:,.0f} MB")


def seconds(times: list[float]) -> str:
    return ", ".join(f"{one:.2f} s" for one in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    command = [sys.executable, "-m", "tests.benchmarks.uploads", "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        port, file = int(server.stdout.readline()), Path(folder) / "rows.jsonl"
        block = os.urandom(BLOCK)
        with file.open("wb") as content:
            for _ in range(round(options.gb * 1e9 / BLOCK)):
                content.write(block)
        try:
            measure(file, options.rounds, port)
        finally:
            server.kill()
    return None


if __name__ == "__main__":
    main()
