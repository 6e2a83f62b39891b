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
    is_over = newest is not None and position.step == run.history.n_steps
    if request == "pause" and not is_over:
        yield Status(status="paused", detail=f"paused at step {position.step:,}")
    elif request == "cancel" or newest is None:
        keep_only(saving.folder, ())
        yield Status(status="cancelled", detail=why or "cancelled before it began")
    else:
        yield from _kept(run, saving, position, newest, why)


def _kept(run: Run, saving: Saving, position: Position, newest: Path, why: str) -> Iterator[Event]:
    """The result of a run that is stopped where it rests."""
    best = saving.best(run.job.spec, position)
    copy_tuned(best.folder or newest, run.adapter)
    yield Checkpoint(step=best.step, ref=run.adapter.name)
    said = (best.problem, rows_cut(position.n_cut, run.job.spec))
    yield from warnings(text for text in said if text)
    detail = best.ending(position.step, run.history.n_steps, why)
    yield Status(status="completed", detail=detail, from_step=position.step)
