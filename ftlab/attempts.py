"""The processes of a run: one at a time, and each that goes on is an attempt of its own."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

from pydantic import SecretBytes, SecretStr

from ftlab.asking import Request, ask, forget
from ftlab.endings import note_exit
from ftlab.errors import RunError
from ftlab.eventlog import EventWriter
from ftlab.events import FINAL, Status
from ftlab.processes import spawn, try_lock
from ftlab.spare import SPARE
from ftlab.trackers.starting import track_again

if TYPE_CHECKING:
    from ftlab.run import Run
    from ftlab.run_record import RunRecord

TRAINER = "ftlab.train"
PROCESSES = {"local": TRAINER, "together": "ftlab.providers.together"}
"""Provider → the module whose process runs a run, or follows its job at a service."""
GIVEN = {"together": "ftlab.providers.together.piped:piped"}
"""Provider at a service → what finds the secrets that such a process reads from its pipe."""
LOCK_PATIENCE = 1.0  # seconds; who only looks whether a run lives holds its lock for an instant
PROCESS_PATIENCE = 15.0  # seconds; a process that has paused still has torch to take down


def module_of(run: RunRecord) -> str | None:
    """What runs a run; None where its provider starts its runs itself."""
    with contextlib.suppress(RunError):  # a damaged job is told of where it is read
        return run.processes.get(run.job.provider)
    return None


def is_hosted(run: RunRecord) -> bool:
    """Whether its job is that of a service, and goes on when no process of ours does."""
    with contextlib.suppress(RunError):
        return run.job.provider in GIVEN
    return False


def start(run: Run, *requests: Request, key: SecretStr | None = None) -> None:
    """Start a process, which holds the run's lock from birth and finds these requests. `key` is
    that of the service, if it runs there. Raises FtlabError where that takes a key and has none."""
    module = module_of(run)
    assert module is not None, "its provider starts it"
    given = _given(run, key)
    handle = begin(run)
    try:
        for request in requests:
            ask(run.request_file, request)
        ended = partial(_note_exit, run)
        if not (module == TRAINER and SPARE.take_over(run.path, run.log_file, handle, ended)):
            spawn(module, [str(run.path)], run.log_file, handle, ended, given)
        track_again(run)
    except OSError as exc:
        run.say(
            "failed",
            f"Its process could not be started ({exc}); a run needs one of its own and a "
            "log.txt in its folder. Make room for them, and resume it.",
        )
        raise
    finally:
        os.close(handle)


def _given(run: Run, key: SecretStr | None) -> SecretBytes | None:
    finder = GIVEN.get(run.job.provider)
    return None if finder is None else pkgutil.resolve_name(finder)(run, key)


def begin(run: Run) -> int:
    """Take the lock for another attempt and return its handle."""
    handle = lock(run, PROCESS_PATIENCE if run.is_paused else LOCK_PATIENCE)
    try:
        _begin(run)
    except OSError as exc:
        os.close(handle)
        raise RunError(
            f"Run {run.id} could not begin ({exc.strerror}); its folder must take new lines. "
            "Make room on the disk, and start it again."
        ) from exc
    except BaseException:  # an interrupt, too
        os.close(handle)
        raise
    return handle


def lock(run: Run, patience: float = LOCK_PATIENCE) -> int:
    """Take the run's lock and return its handle. Raises RunError when a process keeps it for
    `patience` seconds."""
    handle = os.open(run.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + patience
    while not try_lock(handle):
        if time.monotonic() < end:
            time.sleep(0.01)
            continue
        os.close(handle)
        raise RunError(
            f"Run {run.id} is being run by another process; a run has one at a time. "
            "Wait for it, or stop it."
        )
    return handle


def cancel(run: Run) -> bool:
    """End a paused run and keep nothing; False when it is paused no more."""
    handle = lock(run, PROCESS_PATIENCE)
    try:
        last = run.history.status  # who had the lock before may have gone on with it
        if last is None or last.status != "paused":
            return False
        run.say("cancelled", "cancelled while it was paused")
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        return True
    finally:
        os.close(handle)


def agree(run: Run, pay_up_to: float) -> None:
    """Keep what a person agrees to pay. Raises RunError for a run that asks for no price."""
    if not (is_hosted(run) and run.hosted.price):
        raise RunError(
            f"pay_up_to is {pay_up_to:g}; only a run that was refused for its price takes it, and "
            f"run {run.id} was not. Leave it out."
        )
    run.note_options(pay_up_to=pay_up_to)


def why_not_resume(run: RunRecord) -> str:
    """Why a run can't go on now; empty when it can."""
    status = run.status
    if status in FINAL:
        return (
            f"Run {run.id} is {status} already; paused and failed runs can go on. Start a new one."
        )
    if status not in ("paused", "failed") and not run.is_left:
        return (
            f"Run {run.id} is {status}; paused and failed runs can go on. "
            "Pause it first, or wait for it."
        )
    if has_ended_there(run):
        return (
            f"The job of run {run.id} has ended at {run.job.provider}, where what has ended does "
            "not go on. Submit it again, with what its message asks for."
        )
    if module_of(run) is None:
        return (
            f"Run {run.id} runs at {run.job.provider}; runs of {', '.join(run.processes)} can be "
            "resumed. Start a new one."
        )
    return ""


def has_ended_there(run: RunRecord) -> bool:
    """Whether a service has refused or failed its job, with which nobody can go on."""
    with contextlib.suppress(RunError):  # what can't be read is not known to have ended
        return is_hosted(run) and run.status == "failed" and bool(run.hosted.ended)
    return False


def _begin(run: Run) -> None:
    last = run.history.status
    if last is not None and last.status in FINAL:
        raise RunError(f"{run.id} is {last.status} already; a run runs once. Submit the job again.")
    if not is_hosted(run):  # what was asked of a job at a service holds until it has ended
        forget(run.request_file)
    writer = EventWriter(run.event_file, run.history.attempt + 1)
    try:
        writer.append(Status(status="queued", detail="starting"))
    finally:
        writer.close()


def _note_exit(run: Run, pid: int, status: int) -> None:
    with contextlib.suppress(OSError):  # the folder may be gone
        if not run.is_alive:
            note_exit(run.lock_file, pid, status)
