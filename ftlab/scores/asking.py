"""Answers and losses of many rows from the process that holds the models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab import devices
from ftlab.answers import client_of, device_of
from ftlab.errors import RunError
from ftlab.pieces import PIECE_TOKENS, piece_sizes
from ftlab.run import Run
from ftlab.scores.metrics import Loss

if TYPE_CHECKING:
    import httpx

ROWS = 32  # answered at once
POLL = 0.2  # seconds

Told = Callable[[str], None]


class Stopped(Exception):
    """Somebody gave the scoring up."""


class Trained(NamedTuple):
    """Token ids and labels as training would take them."""

    ids: list[int]
    labels: list[int]


class Task(NamedTuple):
    """What the models are asked of a row."""

    place: int
    prompt: str | None
    is_plain: bool
    n_tokens: int
    """Of the prompt."""
    sequences: Sequence[Trained]


class Models:
    """The process with a run's base model; found again, or started anew, when it has ended."""

    def __init__(self, run: Run, told: Told) -> None:
        """`told` hears what is being waited for, and may raise `Stopped`."""
        self._run, self._told = run, told
        self._device = device_of(run)
        self._client: httpx.Client | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def wait(self) -> None:
        """Until the models are there."""
        self._give_way()
        self._connected()

    def answers(
        self, tasks: Sequence[Task], model: str, max_tokens: int
    ) -> Iterator[list[tuple[int, str]]]:
        """(place, answer) of each task, some at a time, at temperature 0; the longest first."""
        ordered = sorted(tasks, key=lambda task: (task.is_plain, -task.n_tokens))
        for batch in _batches(ordered, max_tokens):
            asked = {
                "model": model,
                "prompt": [task.prompt for task in batch],
                "max_tokens": max_tokens,
                "temperature": 0,
                "add_special_tokens": batch[0].is_plain,
            }
            choices = self._ask("/v1/completions", asked)["choices"]
            yield [(t.place, one["text"]) for t, one in zip(batch, choices, strict=True)]

    def losses(
        self, tasks: Sequence[Task], model: str
    ) -> Iterator[list[tuple[int, tuple[Loss, ...]]]]:
        """(place, loss of each of its sequences) of each task, some at a time."""
        ordered = sorted(tasks, key=lambda task: -max(len(s.ids) for s in task.sequences))
        for start in range(0, len(ordered), ROWS):
            batch = ordered[start : start + ROWS]
            rows = [one._asdict() for task in batch for one in task.sequences]
            told = iter(self._ask("/v1/losses", {"model": model, "rows": rows})["rows"])
            yield [(t.place, tuple(Loss(**next(told)) for _ in t.sequences)) for t in batch]

    def _ask(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        import httpx

        self._give_way()
        for is_last in (False, True):
            try:
                reply = self._connected().post(path, json=asked)
            except httpx.HTTPError as exc:  # it gave the device to training, or died
                self.close()
                if is_last:
                    raise RunError(
                        f"The process that answers has ended ({exc}); it must live until it has "
                        "answered, and ends when memory is short. Score again: what it said is "
                        "kept, and it is started anew."
                    ) from exc
                continue
            body = reply.json()
            if reply.is_error:
                raise RunError(
                    f"The model could not be scored: {body['error']['message']}. What was found "
                    "before is kept."
                )
            return body
        raise AssertionError("a second failure is raised")

    def _connected(self) -> httpx.Client:
        if self._client is None:
            self._client = client_of(self._run, self._told)
        return self._client

    def _give_way(self) -> None:
        """The process ends for whoever waits for its device, but only when nobody asks."""
        while devices.is_wanted(self._device):
            self.close()
            self._told(f"Giving {self._device} to a run; the scoring goes on after it.")
            time.sleep(POLL)


def _batches(tasks: Sequence[Task], max_tokens: int) -> Iterator[Sequence[Task]]:
    """Tasks of one kind whose prompts and answers fit in a piece together."""
    for is_plain in (False, True):
        alike = [task for task in tasks if task.is_plain is is_plain]
        lengths = [task.n_tokens + max_tokens for task in alike]
        start = 0
        for size in piece_sizes(lengths, ROWS, 2 * PIECE_TOKENS, padded=True):
            yield alike[start : start + size]
            start += size
