"""How far the mirrors of a run are, in words."""

from __future__ import annotations

from typing import NamedTuple

from ftlab.run import Run
from ftlab.trackers import TITLES
from ftlab.trackers.states import Mirrored, MirrorFolder, mirrors


class Report(NamedTuple):
    """Of one mirror."""

    tracker: str
    step: int
    """The last that the tracker was given."""
    last_step: int
    """The last of the run."""
    link: str
    is_alive: bool
    is_whole: bool
    problem: str
    """Why something is missing there; empty where nothing is."""
    text: str
    """All of it, for a person."""


def reports_of(run: Run) -> list[Report]:
    """One for each tracker; of a sweep, one for each of its arms that has begun."""
    arms = [Run(path.parent.resolve()) for path in sorted(run.path.glob("arms/*/job.json"))]
    return [_report(folder, one, run) for one in arms or [run] for folder in mirrors(one)]


def _report(folder: MirrorFolder, run: Run, whole: Run) -> Report:
    """`whole` is the run, or the sweep whose arm it is: one process mirrors all arms."""
    is_alive = MirrorFolder(whole, folder.tracker).is_alive  # before what it has said
    state, last = folder.state, run.history.last_step
    problem = state.problem
    if not (problem or is_alive or state.is_whole):
        missing = f"steps {state.step + 1:,} to {last:,}" if state.step < last else "its end"
        problem = f"The mirror's process has ended; {missing} may be missing there."
    if problem and not is_alive:
        problem += f" `ftlab track {whole.id} --to {folder.tracker}` goes on."
    title = TITLES.get(folder.tracker, folder.tracker)
    name = title if run is whole else f"{title}, arm {run.id}"
    parts = (_how_far(state, last, is_alive=is_alive), state.link, problem)
    text = f"{name}: {' · '.join(filter(None, parts))}"
    return Report(
        folder.tracker, state.step, last, state.link, is_alive, state.is_whole, problem, text
    )


def _how_far(state: Mirrored, last: int, *, is_alive: bool) -> str:
    if state.is_whole:
        return f"all is there, up to step {state.step:,}"
    if not state.link:
        return "is being opened" if is_alive else "was not opened"
    return f"mirrored up to step {state.step:,} of {last:,}"
