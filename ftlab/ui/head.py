"""The line above the tabs: what is loaded, what is wrong, what it takes. Each part is a link."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import ipywidgets as widgets

from ftlab.estimated import Estimate, duration_in_words
from ftlab.fits import in_gib
from ftlab.html import rate, short
from ftlab.issues import SHAPES, Issue
from ftlab.memory import GIB
from ftlab.prices import Price
from ftlab.spec import JobSpec
from ftlab.ui.guard import guarded
from ftlab.ui.shown import show
from ftlab.ui.state import State

PLACES = ("data", "job", "error", "warning", "cost", "run")
LEVELS = ("error", "warning")
FITS = {"tight": "warning", "does not fit": "error"}
ENDS = {"failed": "error", "cancelled": "warning"}


class Part(NamedTuple):
    """A few words, and where a click on them leads."""

    text: str
    tab: str
    level: str = "dim"


class Head(widgets.HBox):
    """One button for each part; those without words are hidden."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buttons = {place: self._button(place) for place in PLACES}
        super().__init__([*self.buttons.values()])
        self.add_class("ft-head")
        self._parts = dict[str, Part]()
        watched = ["values", "issues", "estimate", "reports", "beat", "selected", "provider"]
        state.observe(guarded(state.tell, lambda _: self.refresh()), watched)
        self.refresh()

    def refresh(self) -> None:
        """Say what is so now."""
        found = summary(self.state)
        for place, button in self.buttons.items():
            self._show(button, self._parts.get(place), found.get(place))
        self._parts = found

    def _show(self, button: widgets.Button, before: Part | None, part: Part | None) -> None:
        show(button, visible=part is not None)
        if part is None or part == before:
            return
        button.description = part.text
        button.tooltip = f"Go to the {part.tab.title()} tab"
        if before is not None:
            button.remove_class(f"ft-{before.level}")
        button.add_class(f"ft-{part.level}")

    def _button(self, place: str) -> widgets.Button:
        button = widgets.Button().add_class("ft-part")
        button.on_click(guarded(self.state.tell, lambda _: self._go(place)))
        return button

    def _go(self, place: str) -> None:
        self.state.tab = self._parts[place].tab


def summary(state: State) -> dict[str, Part]:
    """Place → what stands there; no entry where there is nothing to say."""
    found = {"data": _data(state), "job": _job(state), **_issues(state)}
    found |= {"cost": _cost(state), "run": _run(state)}
    return {place: part for place, part in found.items() if part is not None}


def _data(state: State) -> Part:
    file = state.values.get("training_file")
    if not file:
        return Part("ftlab · no data yet", "data")
    parts, report = [Path(str(file)).name], state.report
    if report is not None:
        parts.append(f"{report.n_rows:,} rows")
        if report.tokens and report.tokens.n_sequences:
            parts.append(f"{short(report.tokens.total)} tokens")
    return Part(" · ".join(parts), "data", "name")


def _job(state: State) -> Part | None:
    spec: JobSpec | None = None if state.resolved is None else state.resolved.spec
    if spec is None or not spec.model:
        return None
    epochs = f"{spec.n_epochs} epoch" + ("s" if spec.n_epochs > 1 else "")
    trained = "all weights" if spec.lora is False else f"LoRA r{spec.lora_r}"
    parts = [Path(spec.model).name, trained, f"lr {rate(spec.learning_rate)}", epochs]
    return Part(" · ".join(parts), "job", "name")


def _issues(state: State) -> dict[str, Part]:
    """How many errors and how many warnings there are; a click leads to the first."""
    if not state.values:
        return {}  # nothing is wrong yet
    # The issue that sums the data's up is counted as those that it stands for.
    of_job = [issue for issue in state.issues if issue.code != "data_is_accepted"]
    reported = state.report.issues if state.report else ()
    of_data = [issue for issue in reported if _counts(issue, state.where.engine)]
    found = dict[str, Part]()
    for level in LEVELS:
        here = sum(issue.level == level for issue in of_job)
        if n := here + sum(issue.level == level for issue in of_data):
            text = f"{SHAPES[level]} {n} {level}{'s' if n > 1 else ''}"
            found[level] = Part(text, "job" if here else "data", level)
    return found


def _counts(issue: Issue, engine: str) -> bool:
    return (not issue.blocks or engine in issue.blocks) and issue.where != "model"


def _cost(state: State) -> Part | None:
    """What it takes here is no matter of a hosted job."""
    found: Estimate | None = state.estimate
    if found is None or found.n_steps is None:
        return None
    here, level = state.where.engine == "local", "dim"
    parts = [f"{found.n_steps:,} steps"]
    if found.price is not None:
        parts.append(f"{Price(*found.price).in_words()} hosted")
    if here and found.duration is not None:
        parts.append(f"{duration_in_words(found.duration)} here")
    if here and found.memory is not None and found.device is not None:
        level = FITS.get(found.fits or "", level)
        parts.append(f"{in_gib(found.memory)} of {found.device.memory_bytes / GIB:.3g} GiB")
    return Part(" · ".join(parts), "job", level)


def _run(state: State) -> Part | None:
    run = state.run
    if run is None:
        return None
    history, status = run.history, run.state.status
    of = f" {history.last_step:,} of {history.n_steps:,}" if history.n_steps else ""
    return Part(f"run: {status}{of}", "run", ENDS.get(status, "dim"))
