"""What becomes of the best arm: a copy of its run among the runs, which can be used and go on."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from ftlab.eventlog import EventWriter
from ftlab.events import FINAL, Log, Status, parse_event
from ftlab.files import replace_file
from ftlab.manifest import damage
from ftlab.run import Run
from ftlab.run_folder import new_folder
from ftlab.runs import Runs

LEFT_OUT = shutil.ignore_patterns("lock", "requests.jsonl", "job.json", "events.jsonl")
GOES_ON = "only one that no process trains is copied. Wait for its end, or pause the sweep."
NOTHING = (
    "only one that has left something to use is copied. Train the sweep's winning_spec as a job of "
    "its own."
)
NOT_AT_ITS_END = (
    "This arm was ended at step {:,} of {:,} and its checkpoints are gone, so it can't go on. To "
    "train it to its end, submit the sweep's winning_spec."
)


def has_failed(run: Run) -> bool:
    """Whether an arm says itself that it has failed; one whose process was killed may go on."""
    last = run.history.status
    return last is not None and last.status == "failed"


def why_not(run: Run) -> str:
    """Why an arm can't be taken, as the rest of the message; empty where it can."""
    if not run.is_hosted and run.is_alive:
        return f"is {run.status}; {GOES_ON}"
    if has_failed(run):
        return f"has failed, as all others ({run.state.detail}); {NOTHING}"
    if run.status == "cancelled":
        return f"was cancelled and has kept nothing; {NOTHING}"
    if not run.is_hosted and _was_ended(run) and not run.adapter.exists() and not _can_go_on(run):
        what = "neither its model nor a checkpoint is there any more"
        return f"was ended before its last step, and {what}; {NOTHING}"
    return ""


def copy_of(run: Run, sweep: Run) -> Run | None:
    """The copy of an arm that is there already and is as far."""
    copies = (copy for copy in Runs(sweep.path.parent).tagged(sweep.id) if copy.job == run.job)
    return next((c for c in copies if c.history.last_step >= run.history.last_step), None)


def promoted(run: Run, among: Path, name: str, tag: str) -> Run:
    """A copy of a run that no process has, under the time of now; it is one once it is whole, and
    nothing of it stays where there is no room. One that was ended on the way is paused."""
    path = new_folder(among, run.job.spec.suffix or "run", datetime.now(UTC))
    try:
        shutil.copytree(run.path, path, ignore=LEFT_OUT, dirs_exist_ok=True)
        _copy_events(run, path / run.event_file.name)
        replace_file(path / "job.json", run.job.model_dump_json(indent=1).encode())
        found = Run(path)
        found.rename(name)
        found.tag(tag)
    except BaseException:  # an interrupt, too
        shutil.rmtree(path, ignore_errors=True)
        raise
    return found


def _copy_events(run: Run, to: Path) -> None:
    """What it has said; that it is paused instead of its end, where it can go on."""
    shutil.copyfile(run.event_file, to)
    if not _was_ended(run):
        return
    step, n_steps = run.history.last_step, run.history.n_steps or 0
    can_go_on = _can_go_on(run)
    if can_go_on:
        to.write_bytes(_without_its_end(to.read_bytes()))
    writer = EventWriter(to, max(run.history.attempt, 1))
    if can_go_on:
        writer.append(Status(status="paused", detail=f"the sweep left it at step {step:,}"))
    else:
        writer.append(Log(level="warning", text=NOT_AT_ITS_END.format(step, n_steps)))
    writer.close()


def _without_its_end(log: bytes) -> bytes:
    """A log without the last status that ends a run."""
    lines = log.splitlines(keepends=True)
    final = (n for n in reversed(range(len(lines))) if _is_final(lines[n]))
    last = next(final, None)
    return log if last is None else b"".join(lines[:last] + lines[last + 1 :])


def _is_final(line: bytes) -> bool:
    event = parse_event(line.rstrip(b"\n"))
    return isinstance(event, Status) and event.status in FINAL


def _was_ended(run: Run) -> bool:
    """Whether it is over without being at its last step."""
    history = run.history
    last, n_steps = history.status, history.n_steps
    over = last is not None and last.status in FINAL
    return over and n_steps is not None and history.last_step < n_steps


def _can_go_on(run: Run) -> bool:
    """Whether one of its checkpoints is whole."""
    return any(not damage(run.checkpoint(step)) for step in run.steps_on_disk)
