"""The Job panel: a form made from the fields, with the estimate and the Train button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.presets import PRESETS
from ftlab.run import Run
from ftlab.ui.confirm_box import ConfirmBox
from ftlab.ui.course_svg import course_html
from ftlab.ui.engine_choice import EngineChoice
from ftlab.ui.engines_box import EnginesBox
from ftlab.ui.estimate_box import estimate_html
from ftlab.ui.exchange_box import ExchangeBox
from ftlab.ui.fields import FieldRow
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import IssueLine, IssueLines
from ftlab.ui.key_box import KeyBox
from ftlab.ui.knobs import FORM_FIELDS, FORM_GROUPS, FORM_KNOBS, NOT_GIVEN, matches
from ftlab.ui.offers import preset_offer, recommended_offer
from ftlab.ui.probe_box import ProbeBox
from ftlab.ui.problems import Problems
from ftlab.ui.pump import PUMP
from ftlab.ui.review_box import ReviewBox
from ftlab.ui.service_box import ServiceBox
from ftlab.ui.shown import set_html, show
from ftlab.ui.spare_box import SpareBox
from ftlab.ui.state import State
from ftlab.ui.template_box import TemplateBox

BASIC, ALL, CHANGED = "basic", "all", "changed"
SHOWN = (("basic fields", BASIC), ("all fields", ALL), ("fields with a value", CHANGED))
PROBLEMS_SHOWN = 8
ASKING = "Together is asked for its price first; nothing is started."
AGREE = "The job is sent when you agree to its price."


class JobPanel(widgets.VBox):
    """Every field by group; what the job will take; and the button that starts it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._starting = False
        self._failure: tuple[Any, str] = None, ""
        """Of which job the start failed, and why."""
        self.rows = {name: FieldRow(state, name, visible=False) for name in FORM_FIELDS}
        self.groups = {group: self._group(group) for group in FORM_GROUPS}
        self.strays = IssueLines(state)
        self.stray_box = widgets.VBox()
        self.nothing = widgets.HTML()
        self.review = ReviewBox(state, self._review_closed)
        form = [self._toolbar(), self.review, self.stray_box, *self.groups.values(), self.nothing]
        self.form = widgets.VBox(form).add_class("ft-wide").add_class("ft-form")
        self.engines = EnginesBox(state)
        self.exchange = ExchangeBox(state)
        columns = widgets.HBox([self.form, self._side()]).add_class("ft-row")
        super().__init__([columns, self.engines, self.exchange])
        self.add_class("ft-panel")
        self._listen()
        self.refresh()

    def _group(self, group: str) -> widgets.VBox:
        rows = [row for name, row in self.rows.items() if FORM_KNOBS[name].group == group]
        heading = widgets.HTML(escaped(group)).add_class("ft-group")
        return widgets.VBox([heading, widgets.VBox(rows).add_class("ft-fields")])

    def _toolbar(self) -> widgets.Widget:
        self.search = widgets.Text(
            description="find",
            placeholder="a field: rank, warm-up, seed …",
            tooltip="Find fields by name, by meaning, or by what other tools call them",
            continuous_update=True,
        ).add_class("ft-search")
        self.shown = widgets.Dropdown(description="show", options=SHOWN)
        titles = [(preset.title, name) for name, preset in PRESETS.items()]
        self.preset = widgets.Dropdown(
            description="preset",
            options=[("look at one …", ""), *titles],
            tooltip="See what a preset would set; nothing is set yet",
        )
        self.use_all = widgets.Button(
            description="Use recommended …", tooltip="Look at what is recommended; then set it"
        )
        self.undo = widgets.Button(description="Undo", tooltip="Take the last change back")
        self.redo = widgets.Button(description="Redo", tooltip="Make it again")
        self.engine = EngineChoice(self.state)
        rows = [
            [self.engine],
            [self.search, self.shown],
            [self.preset, self.use_all, self.undo, self.redo],
        ]
        return widgets.VBox([widgets.HBox(row).add_class("ft-toolbar") for row in rows])

    def _side(self) -> widgets.Widget:
        self.problems = Problems(self.reveal, self.state.tell)
        self.estimate = widgets.HTML()
        self.advice = IssueLine(self.state)
        self.service = ServiceBox(self.state)
        self.template = TemplateBox(self.state, self.service)
        self.probe = ProbeBox(self.state)
        self.course = widgets.HTML()
        self.train = widgets.Button(description="Train", button_style="primary")
        self.why_not = widgets.HTML()
        parts = [
            self.problems,
            self.estimate,
            self.service,
            self.template,
            self.advice,
            self.probe,
            self.course,
        ]
        self.spare = SpareBox(self.state)
        self.key = KeyBox(self.state)
        self.confirm = ConfirmBox(self.state, self.service, self._submit)
        parts += [self.key, self.train, self.why_not, self.confirm, self.spare]
        return widgets.VBox(parts).add_class("ft-side").add_class("ft-stays")

    def _listen(self) -> None:
        state, tell = self.state, self.state.tell
        for chooser in (self.search, self.shown):
            chooser.observe(guarded(tell, lambda _: self._choose_rows()), "value")
        self.preset.observe(guarded(tell, lambda _: self._offer_preset()), "value")
        self.use_all.on_click(guarded(tell, lambda _: self._offer_recommended()))
        self.undo.on_click(guarded(tell, lambda _: state.undo()))
        self.redo.on_click(guarded(tell, lambda _: state.redo()))
        self.train.on_click(guarded(tell, self._train))
        waited = ((state.key, "news"), (self.service, "asking"), (self.confirm, "wanted"))
        for heard, name in waited:
            heard.observe(guarded(tell, lambda _: self._show_button()), name)
        watched = ["checked", "scanning", "reports"]
        state.observe(guarded(tell, lambda _: self.refresh()), watched)

    # --- which fields are shown --------------------------------------------------------------

    def _choose_rows(self) -> None:
        about = {issue.where for issue in self.state.issues if issue.level != "tip"}
        seen = {name for name in FORM_FIELDS if self._shows(name, about)}
        for name, row in self.rows.items():
            row.set_visible(name in seen)
        for group, box in self.groups.items():
            show(box, visible=any(FORM_KNOBS[name].group == group for name in seen))
        query = self.search.value.strip()
        text = f"No field answers to “{query}”. Search for a part of its name or of its meaning."
        set_html(self.nothing, "" if seen else f'<span class="ft-dim">{escaped(text)}</span>')

    def _shows(self, name: str, about: set[str]) -> bool:
        """A field that has a value or a problem is always there, unless one searches another."""
        if query := self.search.value.strip():
            return matches(name, query)
        if name in about or self.state.given(name) is not NOT_GIVEN:
            return True
        knob, spec = FORM_KNOBS[name], self.state.resolved.spec
        if self.shown.value == CHANGED or spec.training_method not in knob.methods:
            return False
        basic = not knob.advanced and self.state.where.engine in knob.providers
        return self.shown.value == ALL or basic

    def reveal(self, name: str) -> None:
        """Make sure that a field can be seen."""
        if name in self.rows and not self.rows[name].is_shown:
            self.search.value = ""
            if not self.rows[name].is_shown:
                self.shown.value = ALL

    # --- presets and recommended values ------------------------------------------------------

    def _offer_preset(self) -> None:
        if self.preset.value:
            preset = PRESETS[self.preset.value]
            self.review.open_offer(lambda: preset_offer(self.state, preset))

    def _offer_recommended(self) -> None:
        self.preset.value = ""
        self.review.open_offer(lambda: recommended_offer(self.state))

    def _review_closed(self) -> None:
        self.preset.value = ""

    # --- training ----------------------------------------------------------------------------

    def _train(self, _: Any) -> None:
        if self._is_hosted:
            self.confirm.begin()
        else:
            self._start(self.state.train)

    def _submit(self, most: float) -> None:
        """After a person has agreed to pay as many dollars."""
        self._start(lambda: self.state.train(pay_up_to=most))

    def _start(self, start: Callable[[], Run]) -> None:
        self._starting = True
        self.refresh()
        PUMP.work(start, self._started, self._failed)

    @property
    def _is_hosted(self) -> bool:
        return self.state.where.engine == "together"

    def _started(self, run: Run) -> None:
        self._starting = False
        self.refresh()
        warned = next((log.text for log in run.history.logs if log.level == "warning"), "")
        begins = "The job is on its way to Together" if run.is_hosted else "The run has started"
        said = f"{begins}. It goes on when you close this page. {warned}".strip()
        self.state.tell("warning" if warned else "tip", said)
        self.state.tab = "run"

    def _failed(self, level: str, text: str) -> None:
        self._starting = False
        self._failure = self.state.resolved, text
        self.state.tell(level, text)
        self.refresh()

    # --- what follows from the state ---------------------------------------------------------

    def refresh(self) -> None:
        """Show the fields that count, what is wrong, what it takes, and why the button is off."""
        self._choose_rows()
        self._show_issues()
        set_html(self.estimate, estimate_html(self.state.estimate))
        self.advice.show_issue(None if self._is_hosted else self.state.estimate.advice)
        self.key.offer(wanted=self._is_hosted)
        resolved = self.state.resolved
        engine, n_steps = self.state.where.engine, self.state.estimate.n_steps
        set_html(self.course, course_html(resolved.spec, n_steps, engine))
        self.undo.disabled = not self.state.history.can_undo
        self.redo.disabled = not self.state.history.can_redo
        self._show_button()

    def _show_button(self) -> None:
        """What is beside the button says why it is off, or why the last press came to nothing."""
        hosted, waits = self._is_hosted, self._is_hosted and self.confirm.wanted
        reason = self.confirm.why_not if hosted else self.state.why_not_train
        too_large = not hosted and self.state.estimate.fits == "does not fit"
        word = "Submit" if hosted else "Train all the same" if too_large else "Train"
        self.train.description = "Starting" if self._starting else word
        self.train.button_style = "" if too_large or waits else "primary"
        self.train.disabled = self._starting or waits or bool(reason)
        if waits and not reason:
            reason = ASKING if self.service.asking else AGREE
        job, failure = self._failure
        if not reason and failure and job == self.state.resolved and not self._starting:
            said = (
                f'<span class="ft-error" role="alert">{SHAPES["error"]} {escaped(failure)}</span>'
            )
        else:
            said = f'<span class="ft-dim">{escaped(reason)}</span>' if reason else ""
        set_html(self.why_not, said)

    def _show_issues(self) -> None:
        """Those of fields lead to them; those of what is no field stand above the form."""
        found = [issue for issue in self.state.issues if issue.level != "tip"]
        self.problems.show_issues([i for i in found if i.where in self.rows][:PROBLEMS_SHOWN])
        lines = self.strays.show_issues([i for i in found if i.where not in self.rows])
        if tuple(lines) != self.stray_box.children:
            self.stray_box.children = lines
