"""Following a job at the service: what is new in it becomes events, until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ftlab.asking import Request
from ftlab.errors import ServiceError
from ftlab.eventlog import EventReader
from ftlab.events import ENDED, Checkpoint, Event, Log, Metrics, Status
from ftlab.providers.together.client import Client
from ftlab.providers.together.downloads import checkpoints
from ftlab.providers.together.finishing import ended
from ftlab.providers.together.jobs import cancel, path_of
from ftlab.providers.together.said import Said
from ftlab.providers.together.statuses import NO_ENTRY, PASSING
from ftlab.providers.together.translated import (
    Word,
    logs_of,
    metrics_of,
    n_steps_in,
    reason_in,
    tells_of_checkpoints,
    word_of,
)
from ftlab.run import Run
from ftlab.units import duration

FIRST_WAIT, LONGEST_WAIT, GROWTH = 1.0, 30.0, 1.1
"""Seconds between two looks at a job, and how they grow while its state stays: 30 after five and a
half minutes."""
LONGEST_WISH = 900.0
"""Seconds for which the service may ask not to be looked at: a job may end meanwhile."""
LISTEN_EVERY = 0.5  # seconds between two looks at what people ask of the run
OVERLAP = 20
"""Steps that are asked for again: a row may come late."""
LOOKS_FOR_A_NEW_ONE = 27
"""Looks, two minutes, for which the service may not know a job yet that it has started."""
NO_PAUSE = "Together can't pause a job, so this one goes on; it can be stopped or cancelled."
SILENT = "Together does not answer as it should"
PATIENCE = 20
"""Looks after the end of a job at which its events or metrics may fail before it is left so."""

Asked = Callable[[], Request | None]


class Cadence:
    """When to look again: soon at first and after each change, later less often. Each wait begins
    when the last look is over, by a clock that stands still while the machine sleeps; so no look is
    made up for."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._seconds = FIRST_WAIT

    def wait(self, asked: Asked, *, changed: bool, at_least: float = 0.0) -> None:
        """Come back when it is time, or when somebody asks something new of the run. `at_least` is
        what the service wishes, in seconds."""
        self._seconds = FIRST_WAIT if changed else min(self._seconds * GROWTH, LONGEST_WAIT)
        before, end = asked(), self._clock() + max(self._seconds, at_least)
        while (left := end - self._clock()) > 0 and asked() == before:
            self._sleep(min(left, LISTEN_EVERY))


class Watch:
    """What is known of a job already; whatever is looked at twice is told once."""

    def __init__(self, client: Client, run: Run, job_id: str) -> None:
        self._client, self._path, self.job_id = client, path_of(job_id), job_id
        self._said = Said(run.said_file, client)
        self._logs: set[tuple[float, str]] = set()
        self._values: set[tuple[int, str]] = set()
        self._checkpoints: set[tuple[int, str]] = set()
        self._n_told_of = self._n_failed = 0
        self.word: Word | None = None
        self.job: Mapping[str, Any] = {}
        self.reason = ""
        for event in EventReader(run.event_file).new_events():
            self._learn(event)

    @property
    def has_ended(self) -> bool:
        return self.word is not None and self.word.status in ENDED

    @property
    def last_checkpoint(self) -> int | None:
        """The step of the last one that the service has kept."""
        return max((step for step, _ in self._checkpoints), default=None)

    def look(self) -> Iterator[Event]:
        """What is new. Raises ServiceError; what was found until then is told all the same."""
        job = self._client.json("GET", self._path, f"{self.job_id} was looked at")
        word = word_of(job, self._client.cleaned)
        self._said.keep("job", job)
        found = self._part(word, "events").get("data")
        yield from self._logged(found)
        yield from self._measured(word)
        yield from self._saved(tells_of_checkpoints(found), is_last=word.status in ENDED)
        self.job, self.reason = job, reason_in(found, self._client.cleaned)
        n_steps = word.n_steps or n_steps_in(found)
        yield from self._stands(word._replace(n_steps=n_steps))

    def _stands(self, word: Word) -> Iterator[Event]:
        """Its state where that changed; its end is told by whoever follows it, as the last."""
        known, self.word = self.word, word
        if word != known and not self.has_ended:
            yield word.event

    def _logged(self, found: object) -> Iterator[Event]:
        for log in logs_of(found, self._client.cleaned):
            if (log.time, log.text) not in self._logs:
                self._learn(log)
                yield log if log.time else Log(level=log.level, text=log.text)
        self._said.keep_all("event", found)

    def _part(self, word: Word, what: str, **asked: int) -> dict[str, Any]:
        """Its events or metrics; nothing where the service has none of that kind, or still fails to
        say them long after the job has ended."""
        try:
            doing = f"the {what} of {self.job_id} were read"
            return self._client.json("GET", f"{self._path}/{what}", doing, params=asked or None)
        except ServiceError as exc:
            self._n_failed += word.status in ENDED
            has_none = exc.status is not None and 400 <= exc.status < 500
            if exc.status not in NO_ENTRY and (has_none or self._n_failed > PATIENCE):
                return {}
            raise

    def _measured(self, word: Word) -> Iterator[Event]:
        """The rows from shortly before the newest one; at the end all of them."""
        newest = max((step for step, _ in self._values), default=0)
        first = 0 if word.status in ENDED else max(newest - OVERLAP, 0)
        asked = {"global_step_from": first} if first else {}
        reply = self._part(word, "metrics", **asked)
        for row in metrics_of(reply.get("metrics")):
            if new := {n: v for n, v in row.values.items() if (row.step, n) not in self._values}:
                event = row.model_copy(update={"values": new})
                self._learn(event)
                yield event
        self._said.keep_all("metrics", reply.get("metrics"))

    def _saved(self, n_told_of: int, *, is_last: bool) -> Iterator[Event]:
        """Its checkpoints, where events tell of new ones; a list that can't be read is no harm."""
        if n_told_of == self._n_told_of and not is_last:
            return
        try:
            found = checkpoints(self._client, self.job_id)
        except ServiceError:
            return
        self._n_told_of = n_told_of
        for one in found:
            if (one.step, one.ref) not in self._checkpoints:
                event = Checkpoint(step=one.step, ref=one.ref)
                self._learn(event)
                yield event

    def _learn(self, event: Event) -> None:
        match event:
            case Log():
                self._logs |= {(event.time, event.text), (0.0, event.text)}
            case Metrics():
                self._values |= {(event.step, name) for name in event.values}
            case Checkpoint():
                self._checkpoints.add((event.step, event.ref))
            case Status():
                pass


def follow(
    client: Client, run: Run, job_id: str, asked: Asked, cadence: Cadence | None = None
) -> Iterator[Event]:
    """All that is new in a job until it has ended, and then what it made, on this machine.

    What the service does not answer is asked for again. Raises ServiceError where it will not.
    """
    watch, cadence = Watch(client, run, job_id), cadence or Cadence()
    heard, trouble, n_looks = None, "", 0
    while True:
        word, request, n_looks, wished = watch.word, asked(), n_looks + 1, 0.0
        try:
            if request != heard:
                yield from _heard(client, job_id, request, heard)
                heard = request
        except ServiceError as exc:
            heard = request if _is_answer(exc) else heard
            if trouble != (trouble := str(exc)):
                yield Log(level="warning", text=trouble)
        try:
            yield from watch.look()
        except ServiceError as exc:
            is_new = not watch.job and n_looks < LOOKS_FOR_A_NEW_ONE
            if exc.status in NO_ENTRY or (exc.status == 404 and not is_new):
                raise
            wished = min(exc.wait or 0.0, LONGEST_WISH)
            yield from _silence(watch, exc, wished)
        if watch.has_ended:
            break
        cadence.wait(asked, changed=watch.word != word, at_least=wished)
    yield from ended(client, run, watch, asked)


def _is_answer(exc: ServiceError) -> bool:
    """Whether a refusal stays one when the same is asked again."""
    return exc.status is not None and 400 <= exc.status < 500 and exc.status not in (404, *PASSING)


def _heard(
    client: Client, job_id: str, request: Request | None, before: Request | None
) -> Iterator[Event]:
    if request == "pause":
        yield Log(level="warning", text=NO_PAUSE)
    elif request is not None and before not in ("stop", "cancel"):
        word = cancel(client, job_id)
        yield Log(text=f"Together was asked to end the job; its state is {word or 'unknown'}.")


def _silence(watch: Watch, exc: ServiceError, wished: float) -> Iterator[Event]:
    """Say once that the service does not answer, and what was known last."""
    last = watch.word or Word("queued", "")
    if not last.detail.startswith(SILENT):
        detail = f"{SILENT} ({exc.status or 'no connection'})"
        if wished > LONGEST_WAIT:
            detail += f"; it wants to be left alone, so the next look is in {duration(wished)}"
        if last.detail:
            detail += f"; at {time.strftime('%H:%M')} it was {last.detail}"
        watch.word = last._replace(detail=detail)
        yield watch.word.event
