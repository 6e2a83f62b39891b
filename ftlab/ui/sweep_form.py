"""What a new sweep is to vary, what it will take, and the button that starts it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.errors import FtlabError, InvalidSpec
from ftlab.html import escaped, facts
from ftlab.issues import SHAPES
from ftlab.spec import KNOBS, LORA, OPTIMISER
from ftlab.sweeps.asked import NOT_SWEPT
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import RATE
from ftlab.sweeps.start import ARMS, ReadySweep, prepare_sweep, sweep
from ftlab.ui.agree_box import AgreeBox
from ftlab.ui.fold import Fold
from ftlab.ui.guard import guarded
from ftlab.ui.key_box import KeyBox
from ftlab.ui.knobs import is_list
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.typed import rows_typed, values_typed

AROUND, THESE, AS_TYPED = "around the recommended one", "these", "as in the form"
FIELDS = tuple(
    name
    for name, knob in KNOBS.items()
    if knob.group in (OPTIMISER, LORA) and name not in {RATE, *NOT_SWEPT} and not is_list(name)
)
"""What may be varied beside the learning rate."""
NOTHING = "nothing else"
PLANNING = "Working out what it takes."
NO_KEY = "Together starts jobs only with the key of an account. Type it above."
TOOLTIPS = {
    "halving": "All arms begin; at each rung those that are behind end, and the best go on",
    "range_test": "One short run with a rising rate first; rates that are too high are left out",
    "rows": "Of the training file, the same for all arms; empty for all rows",
    "ray": "Address of a Ray cluster that trains the arms, such as auto; empty for this machine",
}


class SweepForm(Fold):
    """Plans off the kernel's thread whenever something changes while it is open."""

    state: State

    def __init__(self, state: State, started: Callable[[Sweep], Any]) -> None:
        self._started_with, self._ready = started, None
        self._asked: dict[str, Any] = {}
        self._planned_for: Any = None
        self._is_planning = self._is_starting = False
        self._why_not = ""
        self._make_controls()
        self.plan = widgets.HTML().add_class("ft-sweep-plan")
        self.agree = AgreeBox(state, self._show_button)
        self.key = KeyBox(state)
        self.start = widgets.Button(description="Start the sweep", button_style="primary")
        self.reason = widgets.HTML(layout={"align_self": "center"})
        buttons = widgets.HBox([self.start, self.reason]).add_class("ft-row")
        tooltip = "Train the job of the form in several variants, and find the best"
        parts = [self.bar, self.plan, self.agree, self.key, buttons]
        super().__init__(state, "New sweep", tooltip, parts)
        self.start.on_click(guarded(state.tell, lambda _: self._start()))
        state.key.observe(guarded(state.tell, lambda _: self._show_button()), "news")
        for control in self.controls:
            control.observe(guarded(state.tell, lambda _: self.is_open and self.refresh()), "value")
        state.observe(guarded(state.tell, lambda _: self.is_open and self.refresh()), "scanning")

    def _make_controls(self) -> None:
        self.rates = widgets.Dropdown(
            description="learning rates", options=[AROUND, THESE, AS_TYPED], value=AROUND
        )
        self.n = widgets.IntText(description="arms", value=ARMS["local"])
        self.values = widgets.Text(placeholder="1e-4, 3e-4, 1e-3", continuous_update=False)
        self.field = widgets.Dropdown(description="and", options=[NOTHING, *FIELDS])
        self.others = widgets.Text(placeholder="8, 64", continuous_update=False)
        self.rows = widgets.Text(
            description="rows", placeholder="all", tooltip=TOOLTIPS["rows"], continuous_update=False
        )
        self.halving = widgets.Checkbox(
            description="end arms that are behind",
            value=True,
            indent=False,
            tooltip=TOOLTIPS["halving"],
        )
        self.range_test = widgets.Checkbox(
            description="range test first", indent=False, tooltip=TOOLTIPS["range_test"]
        )
        self.ray = widgets.Text(
            description="Ray cluster",
            placeholder="none",
            tooltip=TOOLTIPS["ray"],
            continuous_update=False,
        )
        self.controls = [
            *(self.rates, self.n, self.values, self.field, self.others, self.rows),
            *(self.halving, self.range_test, self.ray),
        ]
        self.bar = widgets.HBox(self.controls).add_class("ft-row").add_class("ft-sweep-bar")

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments of `sweep` that stand in the controls. Raises FtlabError for a number that
        is none."""
        found: dict[str, Any] = {
            "halving": self.halving.value,
            "range_test": self.range_test.value and self.rates.value != AS_TYPED,
            "max_train_rows": rows_typed(self.rows.value),
        }
        if self._may_have_cluster:
            found["ray"] = self.ray.value.strip() or None
        if self.rates.value == AROUND:
            found["n"] = self.n.value
        if self.rates.value == THESE:
            found[RATE] = values_typed(RATE, self.values.value)
        if self.field.value != NOTHING:
            found[str(self.field.value)] = values_typed(str(self.field.value), self.others.value)
        elif self.rates.value == AS_TYPED:
            raise FtlabError(
                "Nothing is varied; a sweep has several values of at least one field. Choose "
                "learning rates, or a field and its values."
            )
        return found

    def refresh(self) -> None:
        """Plan anew where something has changed."""
        show(self.n, visible=self.rates.value == AROUND)
        show(self.values, visible=self.rates.value == THESE)
        show(self.others, visible=self.field.value != NOTHING)
        show(self.ray, visible=self._may_have_cluster)
        state = self.state
        key = (*(c.value for c in self.controls), state.checked, state.scanning, state.provider)
        if key == self._planned_for or self._is_planning:
            return
        self._planned_for = key
        self._why_not = state.why_not_train
        self._plan()
        self._show_button()

    @property
    def _may_have_cluster(self) -> bool:
        return not self._is_paid and importlib.util.find_spec("ray") is not None

    @property
    def _is_paid(self) -> bool:
        return self.state.where.engine == "together"

    def _plan(self) -> None:
        self._ready = None
        try:
            asked = self._asked = self._arguments()
        except FtlabError as exc:
            asked, self._why_not = {}, self._why_not or str(exc)
        if self._why_not:
            set_html(self.plan, "")
            return
        self._is_planning = True
        PUMP.work(lambda: _prepared(asked), self._known, self._failed)

    def _arguments(self) -> dict[str, Any]:
        """All that `prepare_sweep` needs."""
        state = self.state
        return {
            **{"spec": dict(state.values), "provider": state.provider, "report": state.report},
            **{"validation": state.reports.get("validation_file")},
            **state.own_options,
            **self.asked,
        }

    def _known(self, found: ReadySweep | str) -> None:
        self._is_planning = False
        if isinstance(found, str):
            self._why_not = found
        else:
            self._ready = found
            self.agree.offer(found)
        set_html(self.plan, "" if isinstance(found, str) else plan_html(found))
        self.refresh()  # something may have changed meanwhile
        self._show_button()

    def _show_button(self) -> None:
        """What is beside the button says why it is off."""
        ready, paid = self._ready, self._is_paid
        show(self.agree, visible=paid and ready is not None)
        self.key.offer(wanted=paid)
        reason = self._why_not or (PLANNING if self._is_planning else "")
        if paid and not reason:
            reason = self.agree.why_not if self.state.key.is_here else NO_KEY
        self.start.disabled = bool(reason) or ready is None or self._is_starting
        self.start.description = "Starting" if self._is_starting else "Start the sweep"
        shown = f'<span class="ft-dim">{escaped(reason)}</span>' if reason else ""
        set_html(self.reason, shown)

    # --- starting ----------------------------------------------------------------------------

    def _start(self) -> None:
        """Start what is shown, at the price that is shown."""
        if self.start.disabled:
            return  # a second click, before the page has heard of the first
        asked, state = dict(self._asked), self.state
        if self._is_paid:
            asked["pay_up_to"] = self.agree.most
        state.require_fresh_scans()
        self._is_starting = True
        self.agree.take_back()
        self._show_button()
        folder, key = state.folder.folder, state.key.typed
        PUMP.work(lambda: sweep(**asked, folder=folder, key=key), self._started, self._failed)

    def _started(self, found: Sweep) -> None:
        self._is_starting = False
        if found.is_hosted:
            self.state.key.forget()  # its process has it now
        self.head.value = False
        self._show_button()
        self._started_with(found)
        self.state.tell("tip", "The sweep has started. It goes on when you close this page.")

    def _failed(self, level: str, text: str) -> None:
        self._is_planning = self._is_starting = False
        self._show_button()
        shape = f'<span class="ft-{level}" role="alert">{SHAPES[level]}'
        set_html(self.reason, f"{shape} {escaped(text)}</span>")
        self.state.tell(level, text)


def _prepared(asked: dict[str, Any]) -> ReadySweep | str:
    """What would start, or why nothing would."""
    try:
        return prepare_sweep(**asked)
    except InvalidSpec as exc:
        more = f" ({len(exc.issues)} errors in all)" if len(exc.issues) > 1 else ""
        return exc.issues[0].message + more
    except FtlabError as exc:
        return str(exc)


def plan_html(ready: ReadySweep) -> str:
    """The arms by name, when they are compared, and what all of them take."""
    plan, cost = ready.plan, ready.cost
    arms = " · ".join(arm.name for arm in plan.arms)
    rungs = ", ".join(f"{step:,}" for step in plan.rungs)
    words = cost.in_words()
    lines = "".join(f"<div>{escaped(line)}</div>" for line in cost.basis)
    shown = {**words, "arms": f"{words['arms']}: {arms}", "compared after": f"{rungs} steps"}
    return (
        f'<div class="ft-facts">{facts(shown)}</div>'
        f"<details><summary>where these figures come from</summary>{lines}</details>"
    )
