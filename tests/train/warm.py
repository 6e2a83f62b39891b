"""Runs in processes that die on purpose: forked from one process that has loaded torch already.

    python -m tests.train.warm

takes lines of JSON, carries out a run for each in a child, and answers with its exit status.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from ftlab.asking import ask
from ftlab.errors import UnreadableData
from ftlab.job import Job
from ftlab.processes import environment
from ftlab.runs import Run
from ftlab.sweeps.folder import Sweep
from ftlab.ui.samples_box import answers_of

KILLED = -signal.SIGKILL
SPOILED = "The rows were spoiled; they must be fresh. Take others."
SERIES = ("train_loss", "grad_norm", "learning_rate", "eval_loss", "epoch")


class Warm:
    """The process that children are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.train.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
        )

    def carry_out(self, run: Run, **plan) -> int:
        """Carry out a run or a sweep in a process of its own and return its exit status.

        lose: in that step another process of the run is killed, lose_after: after seconds;
        spoil: its share of that step is; fail: its device does so as it sums that step;
        slow: it takes longer to connect than is waited for;
        lose_last: it is killed when all steps are done, and saving takes longer than is waited for;
        weigh: each process notes in `held-RANK` how many values of the base model it holds, and in
        `short-RANK` how many of its norms take the short way;
        room_elsewhere: rows that the others have room for;
        every: save a state after so many steps; pause, stop, cancel: ask for it in that step of the
        process;
        at_once: arms of a sweep that the memory has room for; full: in that turn it does not
        suffice; broken: in that turn the device is;
        once: {"at", "n"} as below, in the first worker of a sweep alone that comes there;
        kill: {"after": seconds}, or {"at": one of POINTS, "n": which time}; room: bytes that a file
        may have; clock: seconds that it jumps by with every look; ask: what is asked of it at once.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        sweep = isinstance(run, Sweep)
        stdin.write(json.dumps({"run": str(run.path), "sweep": sweep, **plan}) + "\n")
        stdin.flush()
        return int(stdout.readline())

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


def new_run(job: Job, folder: Path, name: str) -> Run:
    return Run.create(job, folder / name)


def outcome(run: Run) -> dict[str, object]:
    """What must be the same to the last bit, however often a run was interrupted."""
    series = run.history.series
    values = {
        name: {step: value.hex() for step, value in series[name].items()}
        for name in SERIES
        if name in series
    }
    weights = sorted(run.adapter.glob("*.safetensors"))
    assert weights
    return {
        "status": run.status,
        "series": values,
        "rows": [(one.step, one.file, one.lines, one.losses) for one in run.told_of_rows()],
        "samples": answers_of(run.history.samples),
        "weights": [sha256(file.read_bytes()).hexdigest() for file in weights],
    }


def damage_one(folder: Path, draw: random.Random) -> str:
    """Do something bad to one file of a checkpoint; what it was."""
    file = draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    data = bytearray(file.read_bytes())
    kind = draw.choice(("flip", "truncate", "remove", "empty", "append", "zero"))
    place = draw.randrange(len(data))
    if kind == "remove":
        file.unlink()
        return f"{file.name} removed"
    if kind == "flip":
        data[place] ^= 1 << draw.randrange(8)
    elif kind == "zero":
        end = min(place + 512, len(data))
        data[place:end] = bytes((byte + 1) % 256 for byte in data[place:end])
    else:
        data = {"truncate": data[:place], "empty": b"", "append": data + b"\0"}[kind]
    file.write_bytes(data)
    return f"{file.name}: {kind} at {place}"


# --- in the child ----------------------------------------------------------------------------


class _Every:
    """A pace by steps instead of seconds."""

    def __init__(self, steps: int) -> None:
        self._steps, self._n = steps, 0

    def is_due(self) -> bool:
        self._n += 1
        return self._steps > 0 and self._n % self._steps == 0

    def took(self, seconds: float) -> None:
        pass


def _points() -> dict[str, tuple[object, str]]:
    from ftlab import manifest
    from ftlab.eventlog import EventWriter
    from ftlab.train import checkpoints, joining, saving, states, training
    from ftlab.train.contenders import Contender
    from ftlab.train.parallel import Room
    from ftlab.train.trainer import Trainer

    return {
        "step": (Trainer, "launch"),
        "evaluation": (Trainer, "loss"),
        "event": (EventWriter, "append"),
        "sync": (manifest, "_sync"),
        "manifest": (manifest, "_write_manifest"),
        "weights": (states, "write_tuned"),
        "optimizer": (states, "_save_optimizer"),
        "rename": (Path, "rename"),
        "removal": (checkpoints, "remove"),
        "saved": (saving, "keep_only"),
        "loading": (states, "_load_optimizer"),
        "reference": (Trainer, "refer"),
        "share": (Trainer, "take"),
        "connecting": (joining, "_at_most"),
        "sum": (Room, "_sum"),
        "keeping": (training.Training, "_kept"),
        "tuned": (training, "save_tuned"),
        "turn": (Contender, "train"),
        "joining": (Contender, "come"),
        "ending": (Contender, "end"),
    }


COUNTED = {
    "evaluation": lambda trainer, *_: not trainer.model.training,
    "share": lambda trainer, *_: trainer.room.rank > 0,
    "connecting": lambda *_: "RANK" in os.environ,
    "sum": lambda room, *_: room.rank > 0,
}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(at: str, n: int, then=_die) -> None:
    """Do something just before the nth call of a function."""
    owner, name = _points()[at]
    is_counted = COUNTED.get(at, lambda *_: True)
    function, calls = getattr(owner, name), [0]

    @functools.wraps(function)
    def watched(*args, **kwargs):
        counts = is_counted(*args)
        calls[0] += counts
        if calls[0] == n and counts:
            then()
        return function(*args, **kwargs)

    setattr(owner, name, watched)


class _Forked:
    """Another process of a run, forked: it has loaded torch already."""

    all: ClassVar[list[_Forked]] = []

    def __init__(self, variables) -> None:
        self._status, self._mutex = None, threading.Lock()
        watched, self._open = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(variables)
            os.dup2(watched, 0)
            os.closerange(3, 4096)  # the run's lock among them, and what the others watch
            _exit(_follow)
        os.close(watched)
        self.all.append(self)

    def poll(self):
        with self._mutex:
            if self._status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid else None
            return self._status

    def wait(self, timeout=None):
        end = time.monotonic() + (timeout or 3600)
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("forked", timeout or 3600)
            time.sleep(0.01)
        return status

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def let_go(self):
        os.close(self._open)


class _ForkedWorker(_Forked):
    """A worker of a sweep, likewise."""

    one_at_a_time: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, device, n) -> None:
        self._status, self._mutex = None, threading.Lock()
        tasks, self._open = os.pipe()
        answers, to = os.pipe()
        with self.one_at_a_time:  # a package that is loaded refuses two forks at once
            self.pid = os.fork()
        if self.pid == 0:
            os.dup2(tasks, 0)
            os.dup2(to, 1)
            os.closerange(3, 4096)
            sys.stdin = os.fdopen(0)  # what this process read from belongs to another
            _exit(functools.partial(_work, device, n))
        os.close(tasks)
        os.close(to)
        self.stdin, self.stdout = os.fdopen(self._open, "w"), os.fdopen(answers)
        self.all.append(self)


def _work(device, n) -> int:
    from ftlab.train.worker import work

    return work(device, n)


def _die_once(folder: Path) -> None:
    mark = folder / "killed"
    if not mark.exists():
        mark.touch()
        _die()


def _follow() -> int:
    from ftlab.train.follower import main

    return main()


def _prepare(run: Run, plan: dict) -> None:
    from ftlab.train import joining, others, workers

    others.start, workers.start = _Forked, _ForkedWorker
    kill = plan.get("kill") or {}
    if "after" in kill:
        threading.Timer(kill["after"], _die).start()
    elif kill:
        _watch(kill["at"], kill["n"])
    if "ask" in plan:
        ask(run.request_file, plan["ask"])
    for request in {"pause", "stop", "cancel"} & plan.keys():
        _watch("step", plan[request], getattr(run, request))
    if "signal" in plan:
        own = os.getpid()  # in a worker it is another
        _watch("step", plan["signal"], lambda: os.kill(own, signal.SIGTERM))
    if "lose" in plan:
        _watch("step", plan["lose"], lambda: _Forked.all[0].kill())
    if "once" in plan:
        _watch(plan["once"]["at"], plan["once"]["n"], lambda: _die_once(run.path))
    if "lose_after" in plan:
        threading.Timer(plan["lose_after"], lambda: _Forked.all and _Forked.all[0].kill()).start()
    if "spoil" in plan:
        _watch("share", plan["spoil"], _spoil)
    if "fail" in plan:
        _watch("sum", plan["fail"], _fail)
    if "slow" in plan:
        joining.CONNECTING = 1.0
        _watch("connecting", 1, lambda: time.sleep(20))
    if "lose_last" in plan:
        others.GRACE = 0.2
        _watch("keeping", 1, lambda: _Forked.all[0].kill())
        _watch("tuned", 1, lambda: time.sleep(2))
    if "weigh" in plan:
        _weigh(run.path)
    if "room_elsewhere" in plan:
        _limit_elsewhere(plan["room_elsewhere"])
    if "at_once" in plan:
        _limit_arms(plan["at_once"])
    if "full" in plan:
        _watch("turn", plan["full"], _no_memory)
    if "broken" in plan:
        _watch("turn", plan["broken"], _fail)
    if "remove" in plan:
        _watch("step", plan["remove"], lambda: _remove_all(run.path))
    if "room" in plan:
        _watch("step", 2, lambda: _limit(plan["room"]))
    if "clock" in plan:
        real, jumps = time.time, random.Random(plan["clock"])
        time.time = lambda: real() + jumps.uniform(-1e7, 1e7)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _spoil() -> None:
    raise UnreadableData(SPOILED)


def _fail() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _limit_arms(n: int) -> None:
    from ftlab.train.turns import Turns

    Turns._room_for = lambda *_: n


def _no_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _limit_elsewhere(rows: int) -> None:
    """The other processes have room for so many rows at once."""
    import torch

    from ftlab.train.trainer import Trainer

    loss = Trainer.loss

    def limited(self, piece):
        if self.room.rank > 0 and len(piece) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(self, piece)

    Trainer.loss = limited


def _weigh(folder: Path) -> None:
    from ftlab.train import loop

    make = loop.made

    def made(job, device, pad_id, room):
        trainer = make(job, device, pad_id, room)
        own = [p for n, p in trainer.model.named_parameters() if "lora_" not in n]
        held = sum(getattr(p, "_local_tensor", p).numel() for p in own)
        (folder / f"held-{room.rank}").write_text(str(held))
        norms = [m for m in trainer.model.modules() if type(m).__name__.endswith("RMSNorm")]
        short = sum("forward" in vars(norm) for norm in norms)
        (folder / f"short-{room.rank}").write_text(str(short))
        return trainer

    loop.made = made


def _remove_all(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def _child(plan: dict) -> int:
    from ftlab.train import __main__, sweep

    module, kind = (sweep, Sweep) if plan["sweep"] else (__main__, Run)
    run = kind(plan["run"])
    log = os.open(run.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    handle = run.begin()
    _prepare(run, plan)
    status = module.carry_out(run, _Every(plan.get("every", 0)))
    os.close(handle)
    return status


def _exit(work) -> None:
    """End this process with the status that the work comes to."""
    status = 70
    try:
        status = work()
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # on a full disk
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def main() -> None:
    import peft  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM  # noqa: F401

    from ftlab.train import follower, loop  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _exit(functools.partial(_child, json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
