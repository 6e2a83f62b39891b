"""What people ask of a run: a file of lines, which its process reads between steps."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal, get_args

Request = Literal["pause", "stop", "cancel"]
"""From the weakest to the strongest: the strongest counts."""
_RESUME = "resume"


def ask(file: Path, request: Request) -> None:
    """Add a request."""
    _add(file, request)


def forget(file: Path) -> None:
    """What was asked until now counts no more: a new process goes on."""
    _add(file, _RESUME)


def asked(file: Path) -> Request | None:
    """The strongest request since the last process began."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    wanted = [_request_on(line) for line in lines]
    if _RESUME in wanted:
        wanted = wanted[len(wanted) - wanted[::-1].index(_RESUME) :]
    return next((request for request in reversed(get_args(Request)) if request in wanted), None)


def _add(file: Path, request: str) -> None:
    # A line break in front too: after a torn line, this one still stands on its own.
    line = "\n" + json.dumps({"request": request, "time": time.time()}) + "\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    handle = os.open(file, flags, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _request_on(line: bytes) -> str | None:
    """What a line asks for; None for a blank or torn one."""
    try:
        return json.loads(line)["request"]
    except (ValueError, KeyError, TypeError):
        return None
