"""Room on the disk: what a run takes, what of it can go, and taking it away.

Only a run that rests is touched, under its lock, so that no process starts meanwhile; what goes is
renamed out of sight first. Nothing is followed out of the run's folder.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ftlab import attempts
from ftlab.errors import RunError
from ftlab.eventlog import EventWriter
from ftlab.events import FINAL, Log
from ftlab.files import bytes_in
from ftlab.manifest import damage
from ftlab.units import in_bytes

if TYPE_CHECKING:
    from ftlab.run import Run

Keep = Literal["best", "last"]
MADE_HERE = re.compile(r"\d{8}-\d{6}-[a-z0-9-]{1,32}-[0-9a-f]{4}")
"""What `Run.create` calls a folder. Others may hold anything, and are nobody's to delete."""
GONE = ".gone-"


class Tidying(NamedTuple):
    """What tidying would do."""

    kept: tuple[int, ...]
    """The steps whose checkpoints stay."""
    gone: tuple[int, ...]
    frees: int
    """Bytes."""

    def in_words(self) -> str:
        """Keep the checkpoint of step 300 and remove 3 others: frees 1.2 GB."""
        many = len(self.kept) > 1
        kept = " and ".join(f"{step:,}" for step in self.kept)
        kept = f"keep the checkpoint{'s' * many} of step{'s' * many} {kept}"
        if not self.gone:
            return f"{kept}; there is no other"
        n = len(self.gone)
        other = "other" + "s" * (n > 1)
        return f"{kept} and remove {n} {other}: frees {in_bytes(self.frees)}"


# --- the whole run ---------------------------------------------------------------------------


def why_not_delete(run: Run) -> str:
    """Why a run can't be deleted now; empty when it can."""
    path = run.path.absolute()
    if path.is_symlink() or not MADE_HERE.fullmatch(path.name):
        what = "is a link" if path.is_symlink() else "has another name than ftlab gives"
        return f"{path} {what}; ftlab deletes only folders that it made itself. Remove it by hand."
    if run.is_alive:
        return f"{_is_live(run)} Cancel it first."
    if problem := _may_cost(run):
        return problem
    heir = next((other for other in run.siblings() if other.is_alive and _needs(other, run)), None)
    if heir is not None:
        return (
            f"Run {heir.id} goes on from {run.id} and is {heir.status}; what a live run needs "
            "stays. Wait for its end."
        )
    return ""


def _may_cost(run: Run) -> str:
    """What jobs at a service may cost yet, if they are not known to have ended: that of a run, or
    those of a sweep's arms, which nobody would end without it."""
    if not run.is_hosted:
        return ""
    arms: dict[int, Run] = getattr(run, "runs", {})
    return next((why for one in (run, *arms.values()) if (why := _one_may_cost(one))), "")


def _one_may_cost(run: Run) -> str:
    try:
        hosted = run.hosted
    except RunError as exc:
        return str(exc)
    if hosted.ended or not (hosted.tag or hosted.job_id) or run.status in FINAL:
        return ""
    job = f"The job {hosted.job_id}" if hosted.job_id else f"A job with the suffix {hosted.tag}"
    goes_on = "goes on" if hosted.job_id else "may go on"
    return (
        f"{job} of run {run.id} {goes_on} at {run.job.provider} and costs what it costs"
        f"{'' if run.is_alive else ', and nobody follows it'}; only what has no such job is "
        "deleted. Resume it, or cancel it. "
        "Where the account's list has no such job, remove the folder by hand."
    )


def delete(run: Run) -> int:
    """Take a run away for good and return the bytes that this freed. Raises RunError when it can't
    be deleted."""
    if problem := why_not_delete(run):
        raise RunError(problem)
    path = run.path.absolute()
    with _resting(run):
        freed = bytes_in(path)
        gone = path.with_name(GONE + path.name)
        path.rename(gone)
    shutil.rmtree(gone)
    for left in path.parent.glob(f"{GONE}*"):  # by a process that was killed here
        shutil.rmtree(left, ignore_errors=True)
    return freed


def _needs(other: Run, run: Run) -> bool:
    """Whether a run goes on from another one's adapter, or trains its model."""
    with contextlib.suppress(RunError):
        named = (other.job.spec.from_checkpoint, other.job.spec.model)
        return any(n and Path(n).is_relative_to(run.path.absolute()) for n in named)
    return False


# --- its checkpoints -------------------------------------------------------------------------


def tidying(run: Run, keep: Keep = "best") -> Tidying:
    """What keeping only the best or the last checkpoint would take away. A run that can go on keeps
    both: it goes on from its last, and may end with its best.

    Raises RunError when there is no such checkpoint.
    """
    steps = _steps(run)
    if not steps:
        raise RunError(
            f"Run {run.id} has no checkpoint; tidying keeps one of several. Delete the run if it "
            "shall go."
        )
    best = _best(run, steps)
    if keep == "best" and best is None:
        raise RunError(
            f"No checkpoint of run {run.id} has a validation loss; the best is the one with the "
            "lowest. Keep the last one."
        )
    both = not _is_over(run) and best is not None
    kept = {best, steps[-1]} if both else {best if keep == "best" else steps[-1]}
    gone = tuple(step for step in steps if step not in kept)
    frees = sum(bytes_in(run.checkpoint(step)) for step in gone)
    return Tidying(tuple(step for step in steps if step in kept), gone, frees)


def tidy(run: Run, keep: Keep = "best") -> Tidying:
    """Keep only the best or the last checkpoint. Raises RunError when the run is live, when there
    is no such checkpoint, and when the one to keep is damaged."""
    with _resting(run):
        plan = tidying(run, keep)
        for step in plan.kept:
            if problem := damage(run.checkpoint(step)):
                raise RunError(
                    f"Checkpoint {run.checkpoint(step).name} is damaged ({problem}); the others go "
                    "only when the one that stays is whole. Nothing was removed."
                )
        for step in plan.gone:
            _remove(run.checkpoint(step))
        if plan.gone:
            _note(run, plan)
    return plan


def _steps(run: Run) -> list[int]:
    """Of the checkpoints that lie in the run's own folder; one that is a link stays as it is."""
    if run.checkpoints.is_symlink():
        return []
    return [step for step in run.steps_on_disk if not run.checkpoint(step).is_symlink()]


def _best(run: Run, steps: list[int]) -> int | None:
    losses = run.history.series.get("eval_loss", {})
    judged = [step for step in steps if not math.isnan(losses.get(step, math.nan))]
    return min(judged, key=lambda step: losses[step], default=None)


def _is_over(run: Run) -> bool:
    return run.status in FINAL


def _remove(checkpoint: Path) -> None:
    gone = checkpoint.with_name(GONE + checkpoint.name)
    shutil.rmtree(gone, ignore_errors=True)
    checkpoint.rename(gone)
    shutil.rmtree(gone)


def _note(run: Run, plan: Tidying) -> None:
    """Say in the log what has become of the checkpoints that it tells of."""
    steps = ", ".join(f"{step:,}" for step in plan.kept)
    writer = EventWriter(run.event_file, run.history.attempt)
    n = len(plan.gone)
    writer.append(Log(text=f"{n} checkpoint{'s' * (n > 1)} removed; step {steps} is kept."))
    writer.close()


# --- both ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _resting(run: Run) -> Iterator[None]:
    """The run's lock, so that no process runs it meanwhile."""
    if run.is_alive:
        raise RunError(f"{_is_live(run)} Wait for its end, or stop it.")
    handle = attempts.lock(run)
    try:
        yield
    finally:
        os.close(handle)


def _is_live(run: Run) -> str:
    return f"Run {run.id} is {run.status}; only what no process uses can be removed."
