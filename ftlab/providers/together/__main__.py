"""`python -m ftlab.providers.together RUN`: one hosted run, from its job.json to its last event.

Holds the run's lock for its whole life. Its secrets come through its standard input. It may be
killed at any moment: the job goes on at the service, and the next process goes on from what is
written down.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator

from ftlab.endings import note_birth, note_words
from ftlab.errors import FtlabError, RunError, ServiceError
from ftlab.eventlog import EventWriter
from ftlab.events import Event, Log, RunStatus, Status
from ftlab.job import TogetherOptions
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.following import follow
from ftlab.providers.together.ledger import Intent, Ledger
from ftlab.providers.together.piped import Secrets, begin
from ftlab.providers.together.starting import found_of_others, started
from ftlab.run import Run

LISTEN_EVERY = 0.3  # seconds between two looks at what people ask of the run
TELL_EVERY = 1.0  # seconds between two lines about the same upload


def main() -> int:
    return begin("ftlab.providers.together", Run, carry_out)


def carry_out(run: Run, secrets: Secrets) -> int:
    """Start and follow the job of a run whose lock is held; the exit status of the process."""
    note_birth(run.lock_file, os.getpid())
    writer = run.writer()
    try:
        for event in _events(run, writer, secrets):
            writer.append(event)
        return 0
    except Cancelled:  # by a person, while it was certain that nothing was started
        _say(run, writer, "cancelled", "cancelled before it was started; nothing is billed")
        return 0
    except FtlabError as exc:
        _say(run, writer, _rests(run), str(exc))
    except Exception as exc:
        _say(run, writer, _rests(run), _in_words(exc))
        with contextlib.suppress(OSError):  # the log may be on a full disk
            traceback.print_exc()
    finally:
        writer.close()
    return 1


def _events(run: Run, writer: EventWriter, secrets: Secrets) -> Iterator[Event]:
    """All that happens in this process; what it waits for is written at once."""
    address = run.hosted.address or TogetherOptions(**run.job.options).base_url
    stop, tell, hidden = threading.Event(), _teller(writer), secrets.fields.values()
    with (
        Ledger(run.path.parent) as ledger,
        _stopped_when_asked(run, stop),
        Client(secrets.key, address, stop=stop, told=tell, secrets=hidden) as client,
        Client(secrets.key, address, secrets=hidden) as steady,
    ):
        yield from _of_others(steady, run, ledger)
        intent = started(client, steady, run, ledger, secrets, tell)
        if intent.said:
            yield Log(level="warning", text=intent.said)
        if intent.state == "bound":
            yield Log(text=f"The job at Together is {intent.job_id}.")
            yield from follow(steady, run, intent.job_id, run.asked)
        else:
            if intent.state == "rejected":
                run.note_hosted(ended=intent.state)
            yield _not_started(intent)


def _not_started(intent: Intent) -> Status:
    if intent.state == "rejected":
        return Status(
            status="failed",
            detail=f"Together refused the job: {intent.said}. Nothing was started and nothing is "
            "billed. Change what it names, and submit it again.",
        )
    return Status(
        status="paused",
        detail=f"It is not known whether Together has started the job: {intent.said}. It is never "
        f"asked for a second time by itself. resume() looks again for {intent.tag}; the service "
        "may have named it otherwise, so look in the account's list (ftlab account) for a job of "
        "this model and time, and adopt it. Only where there is none, submit it again.",
    )


def _of_others(client: Client, run: Run, ledger: Ledger) -> Iterator[Event]:
    with contextlib.suppress(ServiceError, RunError):  # it is no matter of this run
        for intent in found_of_others(client, run, ledger):
            text = f"Run {intent.run} has a job at Together after all, {intent.job_id}; resume it."
            yield Log(level="warning", text=text)


@contextlib.contextmanager
def _stopped_when_asked(run: Run, stop: threading.Event) -> Iterator[None]:
    """Set the event as soon as somebody asks the run to end."""
    over = threading.Event()

    def listen() -> None:
        while not over.wait(LISTEN_EVERY):
            if run.asked() in ("stop", "cancel"):
                stop.set()

    if run.asked() in ("stop", "cancel"):
        stop.set()
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _teller(writer: EventWriter):
    """Writes what is waited for into the log: each thing once, a share at most once a second."""
    last = ["", -TELL_EVERY]

    def tell(text: str) -> None:
        what, now = text.partition(":")[0], time.monotonic()
        if what != last[0] or now - last[1] >= TELL_EVERY:
            last[:] = [what, now]
            writer.append(Status(status="queued", detail=text))

    return tell


def _rests(run: Run) -> RunStatus:
    """What a run is that can't go on now: where there may be a job, it has not failed."""
    try:
        return "paused" if run.hosted.tag or run.hosted.job_id else "failed"
    except RunError:
        return "paused"


def _say(run: Run, writer: EventWriter, status: RunStatus, text: str) -> None:
    """Write it into the log; where that can't be written, beside it."""
    try:
        writer.append(Status(status=status, detail=text))
    except OSError:
        with contextlib.suppress(OSError):  # the folder may be gone
            note_words(run.lock_file, text)


def _in_words(exc: Exception) -> str:
    return (
        f"The process that follows the job failed unexpectedly ({type(exc).__name__}: {exc}). A "
        "job that was started goes on at Together. The whole trace is in the run's log.txt; resume "
        "it."
    )


if __name__ == "__main__":
    sys.exit(main())
