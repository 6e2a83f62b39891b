"""The Sweep panel: all arms as they learn, which are left, what is best, and its full run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from ftlab.comparison.compared import tracks_of
from ftlab.errors import RunError
from ftlab.html import escaped
from ftlab.overlays import marks_of
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.sweeps.folder import Sweep, Sweeps
from ftlab.ui.curves_box import CurvesBox
from ftlab.ui.guard import guarded
from ftlab.ui.hosted_box import HostedBox
from ftlab.ui.news import news_of
from ftlab.ui.pump import PUMP
from ftlab.ui.run_buttons import RunButtons
from ftlab.ui.shown import log_html, set_html, show
from ftlab.ui.state import State
from ftlab.ui.sweep_form import SweepForm
from ftlab.ui.sweep_shown import arms_html, head_html
from ftlab.ui.valley_svg import valley_html

NONE_YET = (
    "No sweep yet. It trains the job of the form with several learning rates, ends those that fall "
    "behind, and says which is best."
)
USE = "Use and continue to a full run"
GOES_ON = "An arm that is being trained can't be taken out. Wait for the end, or pause the sweep."
NO_LOSS = "No arm has a validation loss yet."
RESUMED = "The form has the settings of {}; its run goes on from where the sweep left it."
DONE = "The form has the settings of {}; its run is complete, and the Try tab asks it."
WITHOUT_ADAPTER = (
    "The form has the settings of {}; its run is {} and has no adapter, so there is nothing to "
    "try. {}Train starts it anew."
)
ALL_ROWS = (
    "The form has the settings of {}, which the sweep found on {:,} rows; Train starts the run on "
    "all of them. What the arm has learned is a run of its own in the Run tab."
)


class SweepPanel(widgets.VBox):
    """Reads the folder alone, and only while it is open: the same after a reload or a restart."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._known: dict[str, Sweep] = {}
        self._chosen = ""
        self._shown: tuple[Any, ...] = ()
        self._is_using = self._is_filling = False
        self.form = SweepForm(state, self._started)
        self.empty = widgets.HTML(f'<div class="ft-dim">{NONE_YET}</div>')
        self.choice = widgets.Dropdown(description="sweep", options=[])
        self.head = widgets.HTML()
        self.buttons = RunButtons(state, HostedBox(state), self.refresh, "sweep")
        self.use = widgets.Button(description=USE, button_style="primary")
        self.use_reason = widgets.HTML(layout={"align_self": "center"})
        self.curves = CurvesBox(state, "eval_loss")
        self.valley = widgets.HTML()
        self.arms = widgets.HTML().add_class("ft-scroll")
        self.log_view = widgets.HTML()
        using = widgets.HBox([self.use, self.use_reason]).add_class("ft-row")
        side = widgets.VBox([self.valley]).add_class("ft-valley")
        drawn = widgets.HBox([self.curves.add_class("ft-wide"), side]).add_class("ft-row")
        self.result = widgets.VBox(
            [self.head, self.buttons, using, drawn, self.arms, self.log_view]
        )
        super().__init__([self.form, self.empty, self.choice, self.result])
        self.add_class("ft-panel")
        self._listen()
        self.refresh()

    def _listen(self) -> None:
        tell = self.state.tell
        self.use.on_click(guarded(tell, lambda _: self._use()))
        self.choice.observe(guarded(tell, lambda _: self._choose()), "value")
        self.state.observe(guarded(tell, lambda _: self.refresh()), ["tab", "looked"])

    def _started(self, sweep: Sweep) -> None:
        self._known[sweep.id], self._chosen = sweep, sweep.id
        self.refresh()

    def _choose(self) -> None:
        if not self._is_filling and self.choice.value:
            self._chosen = self.choice.value
            self.refresh()

    @property
    def sweep(self) -> Sweep | None:
        """The one that is shown."""
        return self._known.get(self._chosen)

    # --- what is there -----------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the chosen sweep as it is now; at first the newest that is alive, or of all."""
        if self.state.tab != "sweep":
            return
        self._look()
        sweep = self.sweep
        show(self.empty, visible=sweep is None)
        show(self.result, visible=sweep is not None)
        if sweep is None:
            if not self.form.is_open:
                self.form.head.value = True
        else:
            self._show(sweep)

    def _look(self) -> None:
        # Those that were read already have read all but the newest of their logs.
        self._known = {s.id: self._known.get(s.id, s) for s in Sweeps(self.state.folder.folder)}
        if self._chosen not in self._known:
            alive = (sweep.id for sweep in self._known.values() if sweep.is_alive)
            self._chosen = next(alive, next(iter(self._known), ""))
        options = tuple((sweep.name or sweep.id, sweep.id) for sweep in self._known.values())
        show(self.choice, visible=len(options) > 1)
        self._is_filling = True
        try:
            if options != self.choice.options:
                self.choice.options = options
            if self._chosen:
                self.choice.value = self._chosen
        finally:
            self._is_filling = False

    def _show(self, sweep: Sweep) -> None:
        try:
            sweep.plan  # noqa: B018 - a damaged one is told of here
        except RunError as exc:
            set_html(self.head, f'<div class="ft-error">{escaped(exc)}</div>')
            return
        shown = (news_of(sweep), *(news_of(run) for _, run in sweep.arms))
        if shown == self._shown:
            self.curves.mend()
            return
        self._shown = shown
        set_html(self.head, head_html(sweep))
        self.buttons.offer(sweep, sweep.state)
        self._offer(sweep)
        arms = sweep.all_arms
        ended = {n for decision in sweep.decisions for n in decision.stopped}
        marks = marks_of(
            sweep.decisions, sweep.curves(), [arm.name for arm in arms], sweep.plan.n_steps
        )
        arms_drawn = zip(sweep.runs, tracks_of(sweep), strict=True)
        tracks = [replace(track, place=n) for n, track in arms_drawn if track.series]
        self.curves.show_tracks(tracks, marks, {arms[n].name for n in ended if n < len(arms)})
        set_html(self.valley, valley_html(sweep))
        set_html(self.arms, arms_html(sweep))
        set_html(self.log_view, log_html(sweep.history))

    def _offer(self, sweep: Sweep) -> None:
        """The button that takes the winner; one that can't says why beside it."""
        reason = "" if sweep.answer is not None else NO_LOSS
        if not reason and sweep.is_alive:
            reason = GOES_ON
        self.use.disabled = bool(reason) or self._is_using
        shown = f'<span class="ft-dim">{escaped(reason)}</span>' if reason else ""
        set_html(self.use_reason, shown)

    # --- the winner --------------------------------------------------------------------------

    def _use(self) -> None:
        sweep = self.sweep
        if sweep is None or self._is_using:
            return
        self._is_using = self.use.disabled = True
        # A sweep of its own: what this one has read grows on the kernel's thread meanwhile.
        PUMP.work(
            lambda: _promoted(Sweep(sweep.path)),
            lambda taken: self._used(sweep, *taken),
            self._not_used,
        )

    def _used(self, sweep: Sweep, run: Run, spec: JobSpec) -> None:
        try:
            self.state.replace(spec)
            self._go_on(sweep, run)
        finally:
            self._is_using, self._shown = False, ()

    def _go_on(self, sweep: Sweep, run: Run) -> None:
        """Show the winner's run, and let it go on where it is not at its end."""
        state, name = self.state, sweep.all_arms[sweep.answer.best if sweep.answer else 0].name
        state.refresh_runs()
        state.select(run.id)
        rows = sweep.job.spec.max_train_rows
        if rows is not None and sweep.winning_spec.max_train_rows is None:
            state.tab = "job"
            state.tell("tip", ALL_ROWS.format(name, rows))
            return
        state.tab = "run"
        if not (run.state.ended or run.why_not_resume):
            run.resume()
            state.tell("tip", RESUMED.format(name))
        elif run.status == "completed" and run.adapter.exists():
            state.tell("tip", DONE.format(name))
        else:
            state.tell("warning", _without_adapter(name, run))

    def _not_used(self, level: str, text: str) -> None:
        self._is_using, self._shown = False, ()
        self.state.tell(level, text)
        self.refresh()


def _promoted(sweep: Sweep) -> tuple[Run, JobSpec]:
    """The winner's run among the runs, and what the form is to hold of it."""
    return sweep.promote(), sweep.winning_spec


def _without_adapter(name: str, run: Run) -> str:
    """How the winner has ended, and what can be done."""
    goes_on = "" if run.why_not_resume else f"Resume in the Run tab goes on {run.resumes_from}; "
    return WITHOUT_ADAPTER.format(name, run.status, goes_on)
