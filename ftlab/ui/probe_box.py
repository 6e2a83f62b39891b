"""The button that turns the estimate into a measurement."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.measured import Measurement
from ftlab.memory import GIB, two_digits
from ftlab.probing import UNDIVIDED, Probe
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

TOOLTIP = "Run a few real steps, the longest rows first, and measure memory and time"
TOO_LARGE = "The job does not fit here, so no step of it can be measured."
WHAT = "Measuring a few steps"
CANCELLED = "Cancelled; the figures stay estimates."
CHANGED = "Measured, but the form holds another job by now; measure again for that one."


class ProbeBox(widgets.VBox):
    """Runs a few real steps of the job, the longest rows among them, in a process of its own."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.measure = widgets.Button(description="Measure here", tooltip=TOOLTIP)
        self.cancel = widgets.Button(description="Cancel", tooltip="End the measurement")
        self.task = Task(state, self.refresh)
        self._probe: Probe | None = None
        self._found: Measurement | None = None
        """What the line under the button is about."""
        self._was_impossible = False
        buttons = widgets.HBox([self.measure, self.cancel]).add_class("ft-buttons")
        super().__init__([buttons, self.task.said])
        self.measure.on_click(guarded(state.tell, lambda _: self._start()))
        self.cancel.on_click(guarded(state.tell, lambda _: self.end()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["checked", "scanning"])
        self.refresh()

    def refresh(self) -> None:
        """Nothing is measured of a job that could not start, or whose weights alone are too much
        for the device."""
        estimate, busy = self.state.estimate, self.task.is_busy
        ready = self.state.spec is not None and not self.state.why_not_train
        known = estimate.memory is not None and self.state.where.engine == "local"
        show(self.measure, visible=known and not busy)
        show(self.cancel, visible=busy)
        why_not = self._why_not()
        self.measure.disabled = not ready or bool(why_not)
        again = estimate.measured is not None
        self.measure.description = "Measure again" if again else "Measure here"
        is_of_another = estimate.measured != self._found  # by now
        if not busy and (is_of_another or why_not or self._was_impossible):
            set_html(self.task.said, escaped(why_not) if known and ready else "")
            self._was_impossible = bool(why_not)

    def _why_not(self) -> str:
        """Why nothing can be measured of a job that can start; empty where it can."""
        if self.state.estimate.fits == "does not fit":
            return TOO_LARGE
        return UNDIVIDED if self.state.estimate.shard else ""

    def _start(self) -> None:
        state = self.state
        if self.task.is_busy:
            return
        self._found = None
        probe = self._probe = Probe(
            state.values,
            report=state.report,
            validation=state.reports.get("validation_file"),
            told=lambda share, what: self.task.progress(round(100 * share), 100, what),
            **state.options,
        )
        self.task.start(WHAT, probe.measure, self._measured)

    def end(self) -> None:
        """Cancel what goes on."""
        if self._probe is not None:
            self._probe.cancel()

    def _measured(self, found: Measurement | None) -> str:
        """The line under the button; empty when the form holds another job by now."""
        self.state.look_again()
        self._found = self.state.estimate.measured
        if found is None:
            return CANCELLED
        return escaped(in_words(found)) if found == self._found else CHANGED


def in_words(found: Measurement) -> str:
    """The result in one line."""
    return (
        f"Measured: {two_digits(found.step_seconds)} s per step, "
        f"{found.peak_bytes / GIB:.3g} GiB at the peak."
    )
