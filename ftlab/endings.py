"""How a run's process ended that could not say so itself.

What is known of the process stands in the run's lock file. The file is written in place and never
grows, which works on a full disk too.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.devices import CONTROL_GROUPS

SIZE = 4096  # bytes of the lock file: one block, taken when the process begins
WORDS = 600  # characters that are kept of what a process could not write into its log
BOOT = Path("/proc/sys/kernel/random/boot_id")
COUNTERS = (CONTROL_GROUPS / "memory.events", Path("/proc/vmstat"))


def note_birth(lock: Path, pid: int) -> None:
    """Note which process runs the run, and what the machine is like as it begins."""
    _write(lock, {"pid": pid, "boot": _boot(), "oom_kills": _oom_kills()})


def note_words(lock: Path, text: str) -> None:
    """Note why a process ends that can't write into its log any more."""
    _write(lock, {**_read(lock), "words": text[:WORDS]})


def note_exit(lock: Path, pid: int, status: int) -> None:
    """Note a child's exit status, as subprocess gives it: below 0 it is a signal."""
    known = _read(lock)
    _write(lock, {**(known if known.get("pid") == pid else {}), "pid": pid, "exit": status})


class Ending(NamedTuple):
    """The end of a process."""

    text: str
    """What is known of it, as a sentence."""
    is_clear: bool = True
    """Whether the cause came from outside, so that the log says nothing about it."""


def how_it_ended(lock: Path) -> Ending:
    """The end of the process that held the lock last."""
    known = _read(lock)
    if words := known.get("words"):
        return Ending(words)
    if known.get("boot", _boot()) != _boot():
        return Ending("The machine was started anew while the run went on.")
    status = known.get("exit")
    if status in (None, -signal.SIGKILL) and _oom_kills() > known.get("oom_kills", _oom_kills()):
        return Ending(
            "The system's out-of-memory killer ended a process of this machine, most likely it."
        )
    if status is None:
        return Ending(
            "The process ended without saying why; it may have been killed.", is_clear=False
        )
    if status < 0:
        return Ending(f"The process was ended by {_signal_name(-status)}.")
    return Ending(f"The process ended with exit code {status}.", is_clear=False)


def _read(lock: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is missing, empty or torn."""
    try:
        found = json.loads(lock.read_bytes().rstrip(b" "))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(lock: Path, known: dict[str, Any]) -> None:
    handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(handle, json.dumps(known, ensure_ascii=False).encode().ljust(SIZE), 0)
    finally:
        os.close(handle)


def _boot() -> str:
    """Another word after each start of the machine; empty where the system has none."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""


def _oom_kills() -> int:
    """Processes that the system has ended for want of memory, in this container or machine."""
    for counter in COUNTERS:
        try:
            found = re.search(r"^oom_kill (\d+)$", counter.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
