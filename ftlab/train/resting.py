"""How a run ends that has no model in memory, because it had paused or never began."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftlab.events import Checkpoint, Event, Status
from ftlab.run import Run
from ftlab.train.checkpoints import copy_tuned, keep_only
from ftlab.train.position import Position
from ftlab.train.saving import Saving, rows_cut, warnings


def ended_resting(run: Run, request: str | None, why: str = "") -> Iterator[Event]:
    """What becomes of it when it is asked to end, and `why` where it is stopped."""
    saving = Saving(run.checkpoints)
    position, newest, problems = saving.newest()
    yield from warnings(problems)
    if request == "pause":
        yield Status(status="paused", detail=f"paused at step {position.step:,}")
    elif request == "cancel" or newest is None:
        keep_only(saving.folder, ())
        yield Status(status="cancelled", detail=why or "cancelled before it began")
    else:
        yield from _kept(run, saving, position, newest, why)


def _kept(run: Run, saving: Saving, position: Position, newest: Path, why: str) -> Iterator[Event]:
    """The result of a run that is stopped where it rests."""
    best, n_steps = saving.best(run.job.spec, position), run.history.n_steps
    detail = f"stopped at step {position.step:,}" + (f" of {n_steps:,}" if n_steps else "")
    copy_tuned(best.folder or newest, run.adapter)
    yield Checkpoint(step=best.step, ref=run.adapter.name)
    said = (best.problem, rows_cut(position.n_cut, run.job.spec))
    yield from warnings(text for text in said if text)
    detail = f"{detail}: {why}" if why else detail
    yield Status(status="completed", detail=f"{detail}{best.in_words}", from_step=position.step)
