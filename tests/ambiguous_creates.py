"""Requests for jobs whose answers don't say whether there is a job now, and what comes of them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import httpx

from ftlab.providers.together import client as module
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.ledger import Intent, Ledger, tag_of
from ftlab.providers.together.sending import reconcile, send
from tests.fakes.together import DROP, HANG, Fault, Service

CREATE = "/fine-tunes"
SENDERS = """
import json, os, sys
from pathlib import Path
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.ledger import Ledger
from ftlab.providers.together.sending import send
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        ledger = Ledger(Path(asked["folder"]))
        with Client(secret("k"), asked["address"]) as client:
            os.write(1, b"%d\\n" % os.getpid())
            send(client, ledger, asked["run"], asked["body"], print)
    os.waitpid(child, 0)
    os.write(1, b"over\\n")
"""
FAULTS = {
    "reset": DROP,
    "hang": HANG,
    "killed": HANG,
    "an empty answer": Fault(status=200, body=b""),
    "a page": Fault(
        status=200, body=b"<html>down</html>", headers=(("Content-Type", "text/html"),)
    ),
    **{str(status): Fault(status=status) for status in (408, 409, 500, 502, 503, 504)},
}


class Outcome(NamedTuple):
    """What came of one request."""

    fault: str
    is_started: bool
    n_posts: int
    intent: Intent

    @property
    def is_right(self) -> bool:
        """One request; a job that there is was found, and otherwise nobody claims to know."""
        wanted = "bound" if self.is_started else "unknown"
        return self.n_posts == 1 and self.intent.state == wanted


@contextlib.contextmanager
def ambiguous_creates(folder: Path, seed: int = 7) -> Iterator[Any]:
    """A function that asks for a job while the named fault happens, finds out what came of it, and
    returns that."""
    draw = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SENDERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # Nobody waits for anything but an answer that does not come.
    no_waits = mock.patch.object(Client, "pause")
    short = mock.patch.object(module, "TIMEOUT", httpx.Timeout(0.3))
    with Service(key="k") as service, no_waits, short, Ledger(folder) as ledger:

        def ask(fault: str) -> Outcome:
            return _ask(service, ledger, process, fault, draw)

        yield ask
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


def _ask(
    service: Service, ledger: Ledger, process: Any, fault: str, draw: random.Random
) -> Outcome:
    is_started, service.lag = draw.random() < 0.5, draw.randint(0, 4)
    run = f"run-{len(service.requests)}"
    tag = ledger.prepare(Intent(run, tag_of("mine", run), "prepared", service.address)).tag
    body = {"model": "m", "training_file": "file-0", "suffix": tag}
    service.misbehave("POST", CREATE, FAULTS[fault]._replace(after=is_started))
    with Client(secret("k"), service.address) as client:
        if fault == "killed":
            _killed_while_sending(process, service, ledger, run, body)
            intent = ledger.of(run)
            assert intent is not None
            assert intent.state == "sent"
        else:
            intent = send(client, ledger, run, body, print)
        found = reconcile(client, ledger, intent, lambda _: None)
    return Outcome(fault, is_started, len(_posts(service, tag)), found)


def _killed_while_sending(
    process: Any, service: Service, ledger: Ledger, run: str, body: dict[str, Any]
) -> None:
    asked = {"folder": str(ledger.file.parent), "address": service.address}
    process.stdin.write(json.dumps({**asked, "run": run, "body": body}) + "\n")
    process.stdin.flush()
    child = int(next(process.stdout))
    while not _posts(service, body["suffix"]):
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    assert next(process.stdout) == "over\n"


def _posts(service: Service, tag: str | None) -> list[Any]:
    """The requests for the job with that tag."""
    sent = service.asked("POST", CREATE)
    return [request for request in sent if json.loads(request.body)["suffix"] == tag]
