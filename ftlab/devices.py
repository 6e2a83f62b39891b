"""Devices: what this machine has, and who may use it.

Nothing here imports torch. A device is leased by locking a file; the operating system drops the
lock when its holder dies, so no lease outlives a process. Who waits holds a ticket,
and the tickets say whose turn is next.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from ftlab import gpus, tickets
from ftlab.errors import RunError
from ftlab.processes import is_locked, try_lock

CONTROL_GROUPS = Path("/sys/fs/cgroup")
CONTROLS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Versions 2 and 1: its limit, what it uses, and what it could drop of that."""
POLL = 0.2  # seconds between two looks at the queue


@dataclass(frozen=True, slots=True)
class Device:
    """A place to train on."""

    name: str
    """"cpu", "mps", or "cuda:0" and so on, as torch names it."""
    title: str
    memory_bytes: int
    """Of the device; for a CPU of the whole machine, or of the container that this runs in."""
    n_cores: int = 0
    free_bytes: int | None = None
    """What nobody uses at the moment; None is unknown."""
    has_bfloat16: bool = True
    """Whether a GPU computes in it; older ones have float16."""


def detect() -> list[Device]:
    """The devices of this machine, the best one first; a CPU is always among them. The GPU of an
    Apple chip comes last: it is taken where it is asked for."""
    cpu = _cpu()
    return [*_gpus(cpu), cpu, *_apple_gpu(cpu)]


def _apple_gpu(cpu: Device) -> list[Device]:
    """It works in the same memory as the CPU."""
    if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return []
    return [replace(cpu, name="mps", title="Apple GPU", n_cores=0)]


def _cpu() -> Device:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory, container = psutil.virtual_memory(), _container()
    total, free = min(memory.total, container.limit), min(memory.available, container.free)
    return Device("cpu", "CPU", total, cores or 1, free)


@lru_cache(maxsize=1)
def processor() -> str:
    """Its name, as Linux has it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


class _Container(NamedTuple):
    """Bytes that this process's control group may use, and that nobody in it does."""

    limit: int = sys.maxsize
    free: int = sys.maxsize


def _container() -> _Container:
    """Endless when nothing limits it. What it keeps of files nobody reads is free: it is let go."""
    for limit, used, dropped in CONTROLS:
        most = _control(limit)
        if most.isdecimal():  # otherwise no such file, or the word "max"
            stat = _control(str(Path(used).with_name("memory.stat"))).splitlines()
            idle = sum(int(line.split()[1]) for line in stat if line.startswith(f"{dropped} "))
            return _Container(int(most), int(most) - max(int(_control(used) or 0) - idle, 0))
    return _Container()


def _control(name: str) -> str:
    """What a file of the control group says; nothing where there is none."""
    try:
        return (CONTROL_GROUPS / name).read_text().strip()
    except OSError:
        return ""


def _gpus(cpu: Device) -> list[Device]:
    """By the names that torch has for them. One without a memory of its own uses the machine's."""
    return [
        Device(
            f"cuda:{number}",
            gpu.title,
            gpu.memory_bytes or cpu.memory_bytes,
            free_bytes=gpu.free_bytes if gpu.memory_bytes else cpu.free_bytes,
            has_bfloat16=gpu.has_bfloat16,
        )
        for number, gpu in enumerate(gpus.visible())
    ]


def number_of(device: str) -> int:
    """Of a GPU among those of the machine; 0 for what there is once."""
    return int(device.partition(":")[2] or 0)


def side_by_side(first: str, n: int) -> list[str]:
    """The devices of `n` processes from the first one on: GPUs in a row, or all the same."""
    kind, numbered, _ = first.partition(":")
    return [f"{kind}:{number_of(first) + i}" if numbered else first for i in range(n)]


def missing_gpus(chosen: str, n: int) -> str:
    """What is to be said where there are not `n` GPUs from the chosen device on, in three facts;
    empty where they are there, or where the CPU is to do it."""
    if n == 1 or chosen == "cpu":
        return ""
    names = [device.name for device in detect()]
    if chosen not in ("auto", *names):
        here = ", ".join(names)
        return f"device is {chosen}; this machine has {here}. Set device to one of them."
    gpus = [name for name in names if name.startswith("cuda")]
    first = gpus[0] if chosen == "auto" and gpus else chosen
    there = len([name for name in gpus if number_of(name) >= number_of(first)])
    if first in gpus and there >= n:
        return ""
    has = f"{there} from {first} on" if first in gpus else f"no {first}"
    found = f"n_gpus is {n}; this machine has {has if gpus else 'no NVIDIA GPU'}, and each process"
    return f"{found} takes one of its own. Set n_gpus to {max(there, 1)}."


# --- leases ----------------------------------------------------------------------------------


def lease_folder() -> Path:
    """Where the locks of this machine's devices lie; the same for all processes of a person."""
    folder = os.environ.get("FTLAB_LEASES")
    path = Path(folder) if folder else Path(tempfile.gettempdir()) / f"ftlab-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise RunError(
            f"{path} belongs to somebody else; the locks of devices lie in a folder of one's own. "
            "Set FTLAB_LEASES to such a folder."
        )
    return path


@contextlib.contextmanager
def lease(
    device: str,
    holder: str = "",
    waiting: Callable[[str], None] = lambda _: None,
    given_up: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Hold a device; yields False when `given_up` said so while waiting for it.

    `waiting` is called once with the name of the present holder when it has to wait.
    """
    folder, place = lease_folder(), gpus.place_of(device)
    with (
        tickets.ticket(folder, place, holder) as ticket,
        _open(folder / f"{place}.lease") as lock,
    ):
        told = False
        while not (tickets.is_first(folder, place, ticket) and try_lock(lock)):
            if given_up():
                yield False
                return
            if not told:
                told = True
                waiting(holder_of(device))
            time.sleep(POLL)
        _write_name(lock, holder)
        tickets.drop(folder, ticket)
        yield True


@contextlib.contextmanager
def leases(
    devices: Iterable[str],
    holder: str = "",
    waiting: Callable[[str, str], None] = lambda _device, _holder: None,
    given_up: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Hold several devices, one after another in the order of their numbers: whoever waits for one
    has none that comes later."""
    with contextlib.ExitStack() as held:
        yield all(
            held.enter_context(lease(device, holder, partial(waiting, device), given_up))
            for device in sorted(set(devices), key=number_of)
        )


def holder_of(device: str) -> str:
    """The name that the present holder of a device gave, or nothing when it is free."""
    return holder_at(gpus.place_of(device))


def holder_at(place: str) -> str:
    """The same by the name of the device's lock."""
    path = lease_folder() / f"{place}.lease"
    # Looked at without locking it for oneself: that would turn away whoever takes it just then.
    if not is_locked(path):
        return ""
    name = path.read_bytes()[: tickets.NAME_LENGTH].decode("utf-8", "replace")
    return name.strip() or "another process"


def is_wanted(device: str) -> bool:
    """Whether somebody waits for the device."""
    return tickets.is_wanted(lease_folder(), gpus.place_of(device))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _write_name(lock: int, name: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, name.encode(), 0)
