"""Starting the processes that load torch: detached, quiet, and gentle with a busy machine."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import SecretBytes

# OpenMP's threads spin while they wait for each other, and sleep after so many looks. Beside one
# busy process a thread that spins takes the core that the awaited one needs; alone, one that sleeps
# at once is late for its next piece. Tokens per second of the demo job by the number of looks, on
# 2 cores alone and beside one busy process: none 11,600 and 9,600; a thousand 15,700 and 7,400; for
# ever 17,000 and next to none. Sixteen thousand are a tenth (32M parameters, packed) to a third
# (the demo job) faster than a thousand alone, and a third slower beside the other.
WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
WAIT_POLICY_ALONE = {"GOMP_SPINCOUNT": "16000"}
LOADAVG = Path("/proc/loadavg")
LOOKS, BETWEEN_LOOKS = 5, 0.004  # seconds
# glibc gives memory back in pieces that are a little too small for the next tensor of that size:
# it keeps what was beside an aligned piece for small things. Without those caches the pieces grow
# together again; training a Llama of 32M parameters takes 1.9 instead of 3.1 GiB, as fast as before
# (glibc 2.36, 2 cores, 2026-11). What a step gives back it also keeps for the next one, up to a
# GiB: the system would have to clear each page anew, 50,000 of them in a packed step of that model.
# So it is 4 % faster packed, 5 to 10 % in batches of eight, and takes 0 to 2 % more.
MALLOC = {
    "GLIBC_TUNABLES": ":".join(
        f"glibc.malloc.{name}={value}"
        for name, value in {
            "tcache_count": 0,
            "mxfast": 0,
            "mmap_threshold": 2**27,
            "trim_threshold": 2**30,
        }.items()
    )
}
# oneDNN keeps what it compiled for each shape of a product in bfloat16, up to 1,024 of them at
# nearly half a MiB; a piece of a step has some thirty, and the next piece has others.
SHAPES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
QUIET = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
# What torch can't do on Apple's GPUs is done on the CPU.
APPLE = {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
# CUDA numbers GPUs by speed unless told; the driver, which says what they are, by their slots.
CUDA = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
TRAINING = {**WAIT_POLICY, **MALLOC, **SHAPES, **QUIET, **APPLE, **CUDA}
"""What is good for a process that loads torch."""
OF_JUPYTER, NOTEBOOK_VARIABLES = "JPY_", ("MPLBACKEND",)
# What torchrun says to a process: in a pod of a cluster a notebook may have it, too.
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
KEY = "TOGETHER_API_KEY"
"""What no process needs: one that asks the service gets its key through a pipe."""
WANDB_KEY, HUB_KEY = OTHER_KEYS = ("WANDB_API_KEY", "HF_TOKEN")
"""What one that reads a pipe gets from there, if it needs it."""


Ended = Callable[[int, int], None]
"""Is told the id of a process and its exit status, as subprocess gives it."""


def spawn(
    module: str,
    arguments: list[str],
    log: Path,
    lock: int,
    ended: Ended = lambda *_: None,
    given: SecretBytes | None = None,
) -> None:
    """Start `python -m module` in a session of its own; it inherits the handle `lock`.

    An interrupt or a restart of the kernel does not reach it, and its output goes to a file,
    which nobody has to drain. `ended` is called when it ends, if this process lives so long.
    `given`, at most 64 kB, is what it reads from its standard input.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            # -P: a script beside the notebook called peft.py must not be taken for the library.
            [sys.executable, "-P", "-m", module, *arguments, "--lock", str(lock)],
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
            env={**environment(() if given is None else OTHER_KEYS), **patience()},
        )
    if process.stdin is not None and given is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it ended at once
            pipe.write(given.get_secret_value())
    reaped(process, ended)


def reaped(process: subprocess.Popen[bytes], ended: Ended) -> None:
    """Wait for a process in the background, so that it leaves no zombie while this one lives."""
    reap = lambda: ended(process.pid, process.wait())  # noqa: E731
    threading.Thread(target=reap, name="ftlab-reaper", daemon=True).start()


def try_lock(handle: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file without waiting; the system unlocks it when its last holder dies."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):  # a lock that we may not see is not ours
        return False
    try:
        return not try_lock(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock of a file within; False where somebody else does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield try_lock(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import heavy packages within; a fifth faster without collecting garbage in between."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was loaded stays, and is not looked through again and again
        gc.enable()


def environment(without: tuple[str, ...] = ()) -> dict[str, str]:
    """Of a process of its own: ours, without what belongs to the notebook's frontend or to its
    launcher, and without keys and these variables."""
    dropped = {*NOTEBOOK_VARIABLES, *LAUNCHER_VARIABLES, KEY, *without}
    kept = {
        k: v for k, v in os.environ.items() if k not in dropped and not k.startswith(OF_JUPYTER)
    }
    return {**TRAINING, **kept}


def patience() -> dict[str, str]:
    """What makes a process that starts now faster where it is alone; nothing where it is not, or
    where a person has said how it shall wait."""
    said = any(name in os.environ for name in WAIT_POLICY)
    return {} if said or not is_alone() else WAIT_POLICY_ALONE


def is_alone() -> bool:
    """Whether nothing but this thread wants a core of this machine, as most of some looks say.

    False where the system does not tell (all but Linux, whose OpenMP is the one that spins).
    """
    try:
        return statistics.median(_n_running() for _ in range(LOOKS)) <= 1
    except (OSError, ValueError, IndexError):
        return False


def _n_running() -> int:
    """How many threads run or wait for a core now, this one among them (proc_loadavg(5))."""
    time.sleep(BETWEEN_LOOKS)
    return int(LOADAVG.read_text().split()[3].split("/")[0])
