"""The Run panel: progress, curves, and the buttons that pause, resume and end a run."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import Any

import ipywidgets as widgets

from ftlab.eventlog import History
from ftlab.html import escaped, progress_bar, short
from ftlab.run import Run, RunState
from ftlab.ui.account_box import AccountBox
from ftlab.ui.doctor_box import DoctorBox
from ftlab.ui.export_box import ExportBox
from ftlab.ui.guard import guarded
from ftlab.ui.hard_rows_box import HardRowsBox
from ftlab.ui.hosted_box import HostedBox
from ftlab.ui.next_box import NextBox
from ftlab.ui.queue_box import QueueBox
from ftlab.ui.run_buttons import RunButtons
from ftlab.ui.run_rows import open_rows
from ftlab.ui.runs_box import RunsBox
from ftlab.ui.samples_box import SamplesBox
from ftlab.ui.shown import MARKS, log_html, show
from ftlab.ui.state import State
from ftlab.ui.trackers_box import TrackersBox

RECENT_STEPS = 20
CLICK = (
    "A click on a point of the loss opens the hardest rows of that step; with Shift those of its "
    "evaluation."
)


class RunPanel(widgets.VBox):
    """The run that is selected, live while it runs and whole afterwards."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.runs, self.queue = RunsBox(state), QueueBox(state)
        self.hosted, self.account = HostedBox(state), AccountBox(state)
        self.choice = widgets.Dropdown(description="run", options=[]).add_class("ft-run-choice")
        self.empty = widgets.HTML("No run yet. The Job tab has the button that starts one.")
        self.head = widgets.HTML()
        self.buttons = RunButtons(state, self.hosted, self.refresh)
        self.log_scale = widgets.Checkbox(description="logarithmic loss", indent=False)
        self.hint = widgets.HTML(f'<span class="ft-dim">{CLICK}</span>')
        self.plot = widgets.VBox().add_class("ft-plot")
        self.log_view = widgets.HTML()
        self.doctor = DoctorBox(state).add_class("ft-side")
        watching = widgets.HBox([self.plot.add_class("ft-wide"), self.doctor]).add_class("ft-row")
        super().__init__(
            [
                *(self.runs, self.account, self.queue, self.empty, self.choice, self.head),
                *(self.hosted, self.buttons, NextBox(state), ExportBox(state)),
                *(watching, SamplesBox(state)),
                *(HardRowsBox(state), TrackersBox(state), self.log_view),
            ]
        )
        self.add_class("ft-panel")
        self._figure: Any = None
        self.log_scale.observe(guarded(state.tell, lambda _: self._scale()), "value")
        self.choice.observe(guarded(state.tell, self._chosen), "value")
        state.observe(guarded(state.tell, lambda _: self.refresh_choice()), ["runs", "selected"])
        state.observe(guarded(state.tell, lambda _: self.refresh()), "beat")
        state.observe(guarded(state.tell, lambda _: self._mend()), "looked")
        state.key.observe(guarded(state.tell, lambda _: self.refresh()), "news")
        self.refresh_choice()
        self.refresh()

    def _chosen(self, change: Any) -> None:
        if change.new is not None and change.new != self.state.selected:
            self.state.select(change.new)

    def refresh_choice(self) -> None:
        """Offer the runs there are."""
        if tuple(self.choice.options) != self.state.runs:
            self.choice.options = self.state.runs
        if self.state.selected in self.state.runs and self.choice.value != self.state.selected:
            self.choice.value = self.state.selected

    def refresh(self) -> None:
        """Show what the selected run has reported until now."""
        run = self.state.run
        self.empty.layout.display = None if run is None else "none"
        self.choice.layout.display = None if len(self.state.runs) > 1 else "none"
        if run is None:
            self.buttons.layout.display = self.plot.layout.display = "none"
            self.head.value = self.log_view.value = ""
            return
        history, state = run.history, run.state
        self.head.value = head_html(run, history, state)
        self.buttons.offer(run, state)
        self.log_view.value = log_html(history)
        show(self.plot, visible=bool(history.series))
        if history.series:
            self._draw(history, run.id)

    def _open_rows(self, metric: str, step: int) -> None:
        open_rows(self.state, "validation" if metric == "eval_loss" else "training", step)

    def _scale(self) -> None:
        if self._figure is not None:
            self._figure.set_log_scale(on=self.log_scale.value)

    def _mend(self) -> None:
        """Make the figure anew where a page may lack something of it."""
        run = self.state.run
        if run is not None and self._figure is not None and self._figure.is_stale:
            self._figure = None
            self._draw(run.history, run.id)
            self._scale()

    def _draw(self, history: History, run_id: str) -> None:
        if self._figure is None:  # the first one costs a second and 5 MB: only when it is needed
            from ftlab.ui.figure import LiveFigure

            self._figure = LiveFigure(guarded(self.state.tell, self._open_rows))
            above = widgets.HBox([self.log_scale, self.hint]).add_class("ft-row")
            self.plot.children = (above, self._figure)
        self._figure.show_history(history, run_id)


def head_html(run: Run, history: History, state: RunState) -> str:
    """State, progress and losses in words."""
    total = history.n_steps or 0
    step = history.last_step
    level = {"failed": "error", "cancelled": "warning", "paused": "warning"}.get(
        state.status, "tip"
    )
    parts = [f'<b class="ft-{level}">{MARKS.get(state.status, "●")} {state.status}</b>']
    if total:
        parts.append(f"step {step:,} of {total:,}")
    if (epoch := history.latest("epoch")) is not None:
        parts.append(f"epoch {short(epoch)}")
    parts += speed(history)
    if (right := history.latest("rewards_accuracy")) is not None:
        parts.append(f"{right:.0%} of pairs ranked right")
    if state.status == "running" and (left := seconds_left(history)) is not None:
        parts.append(f"{_duration(left)} left")
    line = " · ".join(parts)
    bar = progress_bar(step / total) if total and not state.ended else ""
    says_more = state.detail not in ("", state.status)
    detail = f"<div>{escaped(state.detail)}</div>" if says_more else ""
    return f"<div>{line}</div>{bar}{detail}{_result(run, history, state)}"


def _result(run: Run, history: History, state: RunState) -> str:
    lines = []
    for name, title in {"eval_loss": "Validation loss", "train_loss": "Training loss"}.items():
        points = list(history.series.get(name, {}).values())
        if len(points) > 1:
            lines.append(f"{title} {short(points[0])} → {short(points[-1])}")
    if state.status == "completed" and run.adapter.exists():
        lines.append(run.tuned_in_words)
    return "".join(f"<div>{escaped(line)}</div>" for line in lines)


def speed(history: History) -> list[str]:
    """What a step takes of time and memory, as far as it is told."""
    parts = list[str]()
    if (rate := history.latest("tokens_per_second")) is not None:
        parts.append(f"{short(rate)} tokens per second")
    if (seconds := step_seconds(history)) is not None:
        parts.append(f"{short(seconds)} s a step")
    for name, title in {"gpu_memory_gib": "GPU memory", "memory_gib": "memory"}.items():
        if (value := history.latest(name)) is not None:
            parts.append(f"{title} {short(value)} GiB")
    return parts


def step_seconds(history: History) -> float | None:
    """The median of the last steps of the newest attempt; None before there are enough."""
    times = list(history.times.values())[-RECENT_STEPS - 1 :]
    steps = [later - sooner for sooner, later in pairwise(times)]
    return median(steps) if len(steps) >= 3 else None


def seconds_left(history: History) -> float | None:
    """By what a step takes; None before that is known."""
    seconds = step_seconds(history)
    if seconds is None or not history.n_steps:
        return None
    return seconds * (history.n_steps - history.last_step)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
