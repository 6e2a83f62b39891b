"""The end of a job at the service: what it made is brought here, while people are heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from ftlab.asking import Request
from ftlab.errors import FtlabError
from ftlab.events import Checkpoint, Event, Log, Status
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.downloads import Tuned, download_adapter
from ftlab.providers.together.translated import Word
from ftlab.run import Run

if TYPE_CHECKING:
    from ftlab.providers.together.following import Watch

LISTEN_EVERY = 0.5  # seconds between two looks at what people ask of the run
TELL_EVERY = 5.0  # seconds between two lines about the same download
COMES = "ended at Together; downloading what was tuned"
NOTHING_KEPT = "stopped before Together had kept a checkpoint, so nothing of it is left"
GIVEN_UP = (
    "its download was given up; the job is done and billed, and Together keeps what it has made "
    "(ftlab account download)"
)


def ended(
    client: Client, run: Run, watch: Watch, asked: Callable[[], Request | None]
) -> Iterator[Event]:
    """What a job made, and how it ended; the last event is its end."""
    assert watch.word is not None
    run.note_hosted(ended=watch.word.status)
    word, step = _meant(watch, asked())
    if word.status == "completed":
        try:
            tuned = yield from _brought(client, run, watch, step, asked)
        except Cancelled:
            yield Status(status="cancelled", detail=GIVEN_UP, n_steps=word.n_steps)
            return
        except FtlabError as exc:
            yield Status(status="paused", detail=f"The job is done, but not here: {exc}")
            return
        yield from (Log(level="warning", text=note) for note in tuned.notes)
        yield Checkpoint(step=step or watch.last_checkpoint or 0, ref=tuned.folder.name)
    why = f": {watch.reason}" if word.status == "failed" and watch.reason else ""
    yield Status(status=word.status, detail=f"{word.detail}{why}", n_steps=word.n_steps)


def _meant(watch: Watch, asked: Request | None) -> tuple[Word, int | None]:
    """How it has ended for the person, and the step of what is fetched where that is not the
    last one."""
    assert watch.word is not None
    step = watch.last_checkpoint
    if watch.word.status != "cancelled" or asked != "stop":
        return watch.word, None
    if step is None:
        return Word("cancelled", NOTHING_KEPT, watch.word.n_steps), None
    text = f"stopped; of step {step:,}, the last that Together has kept"
    return Word("completed", text, watch.word.n_steps), step


def _brought(
    client: Client,
    run: Run,
    watch: Watch,
    step: int | None,
    asked: Callable[[], Request | None],
) -> Generator[Event, None, Tuned]:
    """Fetch what was tuned, and say how far that is. Raises as `download_adapter` does, and
    Cancelled where somebody asks for that meanwhile."""
    adapter, model = run.places
    job: Mapping[str, Any] = {**watch.job, "id": watch.job_id}
    shares, before = [0.0], asked()
    yield Status(status="running", detail=COMES)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(
            download_adapter, client, job, adapter, shares.append, step=step, model=model
        )
        try:
            for share in _told(work, shares):
                if share is not None:
                    yield Status(status="running", detail=f"{COMES}: {share:.0%}")
                if asked() == "cancel" != before:
                    client.give_up()
        finally:
            if not work.done():
                client.give_up()
    return work.result()


def _told(work: Future[Tuned], shares: list[float]) -> Iterator[float | None]:
    """While it goes on: the share that is there where it is time to tell it, otherwise None."""
    last, told = 0.0, time.monotonic()
    while not wait([work], LISTEN_EVERY).done:
        if shares[-1] > last and time.monotonic() - told >= TELL_EVERY:
            last, told = shares[-1], time.monotonic()
            yield last
        else:
            yield None
