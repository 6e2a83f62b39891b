"""The Job panel: a form made from JobSpec's fields, with the estimate and the Train button."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ftlab.cost import Estimate
from ftlab.html import curves, escaped, facts
from ftlab.schedule import lr_share
from ftlab.spec import GROUPS, KNOBS, JobSpec
from ftlab.ui.fields import FieldRow
from ftlab.ui.guard import guarded
from ftlab.ui.pump import PUMP
from ftlab.ui.state import State

PREVIEW_POINTS = 60


class JobPanel(widgets.HBox):
    """Every field of the spec by group; what the job will take; and the button that starts it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._starting = False
        self.rows: dict[str, FieldRow] = {}
        self.all_fields = widgets.Checkbox(description="all fields", indent=False)
        self.form = widgets.VBox()
        self.form.add_class("ft-wide")
        self.estimate = widgets.HTML()
        self.train = widgets.Button(description="Train", button_style="primary")
        self.why_not = widgets.HTML()
        side = widgets.VBox([self.estimate, self.train, self.why_not])
        side.add_class("ft-side")
        super().__init__([self.form, side])
        self.add_class("ft-panel").add_class("ft-row")
        self.all_fields.observe(guarded(state.tell, lambda _: self._lay_out()), "value")
        self.train.on_click(guarded(state.tell, self._train))
        watched = ["estimate", "issues", "scanning", "reports"]
        state.observe(guarded(state.tell, lambda _: self.refresh()), watched)
        self._lay_out()
        self.refresh()

    def _lay_out(self) -> None:
        children: list[widgets.Widget] = [self.all_fields]
        for group in GROUPS:
            names = [n for n, knob in KNOBS.items() if knob.group == group and self._shows(n)]
            if names:
                heading = widgets.HTML(escaped(group))
                fields = widgets.VBox([self._row(name) for name in names])
                children += [heading.add_class("ft-group"), fields.add_class("ft-fields")]
        self.form.children = children

    def _shows(self, name: str) -> bool:
        knob, given = KNOBS[name], name in self.state.values
        if self.all_fields.value or given:
            return True
        return not knob.advanced and self.state.provider in knob.providers

    def _row(self, name: str) -> FieldRow:
        if name not in self.rows:
            self.rows[name] = FieldRow(self.state, name)
        return self.rows[name]

    def _train(self, _: Any) -> None:
        self._starting = True
        self.refresh()
        PUMP.work(self.state.train, lambda _: self._started(), self._failed)

    def _started(self) -> None:
        self._starting = False
        self.refresh()
        self.state.tell("tip", "The run has started. It goes on when you close this page.")
        self.state.tab = "run"

    def _failed(self, level: str, text: str) -> None:
        self._starting = False
        self.state.tell(level, text)
        self.refresh()

    def refresh(self) -> None:
        """Show the estimate, and why the button is off if it is."""
        shown = estimate_html(self.state.estimate, self.state.resolved)
        if self.estimate.value != shown:
            self.estimate.value = shown
        reason = self.state.why_not_train
        self.train.description = "Starting" if self._starting else "Train"
        self.train.disabled = self._starting or bool(reason)
        self.why_not.value = f'<span class="ft-dim">{escaped(reason)}</span>' if reason else ""


def estimate_html(found: Estimate | None, resolved: Any) -> str:
    """What a job will take, with the basis one click away, and its learning rate as a curve."""
    if found is None:
        return ""
    basis = "".join(f"<div>{escaped(line)}</div>" for line in found.basis)
    partly = '<div class="ft-dim">Of the fields that are valid.</div>' if found.incomplete else ""
    preview = "" if resolved is None else schedule_svg(resolved.spec)
    return (
        f"{facts(found.in_words())}{partly}"
        "<details><summary>Where these figures come from</summary>"
        f'<div class="ft-dim">{basis}</div></details>{preview}'
    )


def schedule_svg(spec: JobSpec) -> str:
    """The learning rate over the run, by the function that the trainer uses."""
    peak = spec.learning_rate or 0.0
    shares = [i / PREVIEW_POINTS for i in range(PREVIEW_POINTS + 1)]
    points = [
        (
            share * 100,
            peak
            * lr_share(
                share,
                spec.lr_scheduler_type,
                warmup_ratio=spec.warmup_ratio,
                min_lr_ratio=spec.min_lr_ratio,
                scheduler_num_cycles=spec.scheduler_num_cycles,
            ),
        )
        for share in shares
    ]
    return curves({"learning rate, by % of the run": points}, width=310, height=120)
