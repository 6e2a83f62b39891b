"""What can be asked beside something else: a base model, what a run tuned, one of its checkpoints,
here or at a service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.answers.of_run import (
    device_of,
    is_chat,
    model_of,
    refuse_tools,
    tuned_folder,
    tuned_steps,
)
from ftlab.answers.process import BASE, Place, Stop, Told
from ftlab.answers.streamed import streamed
from ftlab.data.template import Message
from ftlab.errors import RunError
from ftlab.model_cache import has_weights
from ftlab.models import locate
from ftlab.run import Run
from ftlab.runs import Runs, attach
from ftlab.spec import filled

if TYPE_CHECKING:
    from pydantic import SecretStr

HOSTED = "@together"
"""Ends the key of a side that answers at the service."""


class Side(NamedTuple):
    """One that answers."""

    run: Run
    step: int | None = None
    """Of a checkpoint; None is what the run ended with."""
    is_base: bool = False
    is_hosted: bool = False
    """Whether the service answers, which is billed."""

    @classmethod
    def base_of(cls, run: Run) -> Side:
        """What a run tunes, here if it can be."""
        return cls(run, is_base=True, is_hosted=not _is_here(run))

    @classmethod
    def tuned_of(cls, run: Run, step: int | None = None) -> Side:
        """What a run has tuned, here if it can be."""
        return cls(run, step, is_hosted=not _is_here(run))

    @property
    def key(self) -> str:
        """Names it for good: "base:ID", "ID" or "ID:STEP", and where it answers."""
        name = f"base:{self.run.id}" if self.is_base else self.run.id
        step = "" if self.step is None else f":{self.step}"
        return f"{name}{step}{HOSTED * self.is_hosted}"

    @property
    def title(self) -> str:
        """What a person calls it, among those of its run."""
        what = "base" if self.is_base else "tuned" if self.step is None else f"step {self.step:,}"
        return f"{what} (at Together, billed)" if self.is_hosted else what


def sides_of(run: Run) -> list[Side]:
    """All that can be asked of a run now: its base, what it tuned, its checkpoints, the newest
    first; and what its service serves."""
    found = list[Side]()
    if _is_here(run) or not run.is_hosted:
        found.append(Side(run, is_base=True))
        if run.adapter.exists():
            found.append(Side(run))
        found += [Side(run, step) for step in reversed(tuned_steps(run))]
    if run.is_hosted and run.job_id and run.status == "completed":
        found += [Side(run, is_base=True, is_hosted=True), Side(run, is_hosted=True)]
    return found


def newest_side(wanted: Callable[[Side], bool], what: str) -> Side:
    """The first such side that is no base, of the newest run that has one; `what` says in words
    what is looked for. Raises RunError where no run of the folder has it."""
    newest, runs = attach(), Runs()
    for run in runs:
        with contextlib.suppress(RunError):  # damaged, or deleted meanwhile
            for side in sides_of(run):
                if not side.is_base and wanted(side):
                    return side
    raise RunError(
        f"No run in {runs.folder} has {what} (the newest, {newest.id}, is {newest.status}); only "
        "one that has can be asked. Wait until one has, or name a run of another folder by its "
        "path: `ftlab runs` lists those of this one."
    )


def say(
    side: Side,
    messages: Sequence[Message],
    *,
    tools: list[Any] | None = None,
    heard: Callable[[str], Any] = lambda _: None,
    told: Told = lambda _: None,
    stop: Stop | None = None,
    key: str | SecretStr | None = None,
    **sampling: Any,
) -> str:
    """The answer to a chat; `heard` hears its pieces, on this thread or another. Raises Stopped,
    GaveWay, RunError or ServiceError."""
    if side.is_hosted:
        return _said_there(side, messages, tools, heard, told, stop or Stop(), key, sampling)
    pieces = list[str]()
    for piece in _pieces_here(side, messages, tools, told, stop, sampling):
        pieces.append(piece)
        heard(piece)
    return "".join(pieces)


def _pieces_here(
    side: Side,
    messages: Sequence[Message],
    tools: list[Any] | None,
    told: Told,
    stop: Stop | None,
    sampling: dict[str, Any],
) -> Any:
    run = side.run
    folder = BASE if side.is_base else str(tuned_folder(run, side.step))
    chats = is_chat(run)
    if not chats:
        refuse_tools(tools)
    asked = {"model": folder, "messages": list(messages), "plain": not chats, **sampling}
    return streamed(Place(model_of(run), device_of(run)), asked | {"tools": tools}, told, stop)


def _said_there(
    side: Side,
    messages: Sequence[Message],
    tools: list[Any] | None,
    heard: Callable[[str], Any],
    told: Told,
    stop: Stop,
    key: str | SecretStr | None,
    sampling: dict[str, Any],
) -> str:
    from ftlab.providers.together.account import secret
    from ftlab.providers.together.chat import chat
    from ftlab.providers.together.client import Cancelled, Client
    from ftlab.providers.together.jobs import looked_up

    run = side.run
    if side.step is not None or not run.job_id:
        raise RunError(
            f"Run {run.id} is asked at the service for "
            f"{'no job' if side.step is None else f'step {side.step:,}'}; it serves the base and "
            "what a job ended with. Ask for one of these, or download the checkpoint."
        )
    told("Together answers, billed by the tokens.")
    try:
        with Client(secret(key), run.hosted.address or None, stop=stop, told=told) as client:
            job = looked_up(client, run.job_id)
            name = job.get("model_output_name") or job.get("output_name") or run.job_id
            model = filled(run.job.spec.model, "model") if side.is_base else str(name)
            return chat(client, model, messages, told=heard, tools=tools, **sampling)
    except Cancelled:
        stop.check()
        raise


def _is_here(run: Run) -> bool:
    """Whether its models can be asked on this machine: those of a job at a service where both the
    base and what came of it are here."""
    if not run.is_hosted:
        return True
    here = locate(run.job.spec.model or "")
    return run.adapter.exists() and here is not None and has_weights(here)
