"""Hosted runs for the tests: a service on the loopback, and the process of a run in this one."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftlab.eventlog import EventReader
from ftlab.providers import prepare
from ftlab.providers.together import finishing, following
from ftlab.providers.together.__main__ import carry_out
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.downloads import Tuned
from ftlab.providers.together.piped import Secrets
from ftlab.runs import Run
from tests.fakes.together import Service
from tests.small import chat_rows, write_rows

KEY = "the-key"
MODEL = "Qwen/Qwen3-8B"


@contextlib.contextmanager
def hosted(patch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service whose address and key are in the environment, and nobody who waits."""
    pause = Client.pause
    patch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    patch.setattr(following.Cadence, "wait", lambda *_, **__: None)
    patch.setattr(finishing, "download_adapter", download)
    with Service(key=KEY) as service:
        patch.setenv("TOGETHER_BASE_URL", f"{service.address}/v1")
        patch.setenv("TOGETHER_API_KEY", KEY)
        yield service


def download(
    client: Client, job: Any, into: Path, told: Any, *, step: int | None = None, model: Any = None
) -> Tuned:
    """In place of the real one, which has tests of its own."""
    into.mkdir(exist_ok=True)
    (into / "from.txt").write_text(f"{job['id']} {step}")
    return Tuned(into)


def spec(folder: Path, **values: Any) -> dict[str, Any]:
    file = write_rows(folder / "train.jsonl", chat_rows(40))
    return {"model": MODEL, "training_file": str(file), "n_epochs": 3, "n_evals": 0, **values}


def new_run(folder: Path, options: dict[str, Any] | None = None, **values: Any) -> Run:
    """A run that was submitted, and whose process has not begun."""
    given = {"pay_up_to": 1.0, **(options or {})}
    return Run.create(prepare(spec(folder, **values), "together", **given).job, folder / "runs")


def carried_out(run: Run, *, key: str = KEY) -> int:
    """The exit status of the run's process, which runs here."""
    handle = run.begin()
    try:
        return carry_out(run, Secrets(secret(key)))
    finally:
        os.close(handle)


def in_background(run: Run) -> threading.Thread:
    """The process of a run on a thread; join it."""
    handle = run.begin()

    def work() -> None:
        try:
            carry_out(run, Secrets(secret(KEY)))
        finally:
            os.close(handle)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def events(run: Run) -> list[Any]:
    return EventReader(run.event_file).new_events()


def texts(run: Run) -> list[str]:
    return [event.text for event in events(run) if event.kind == "log"]


def details(run: Run) -> list[str]:
    return [event.detail for event in events(run) if event.kind == "status"]
