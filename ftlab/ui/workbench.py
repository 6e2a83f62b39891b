"""The Workbench: one widget with all panels over one State."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from traitlets import Any as AnyTrait
from traitlets import TraitError, validate

from ftlab.html import escaped, issue_list
from ftlab.issues import SHAPES, Issue
from ftlab.runs import Run
from ftlab.spare import SPARE
from ftlab.spec import JobSpec, path_as_text
from ftlab.sweeps.folder import Sweeps
from ftlab.ui.anchor import Anchor
from ftlab.ui.compare_panel import ComparePanel
from ftlab.ui.data_panel import DataPanel
from ftlab.ui.form import JobPanel
from ftlab.ui.guard import guarded
from ftlab.ui.head import Head
from ftlab.ui.keys import Keys
from ftlab.ui.pump import PUMP
from ftlab.ui.run_panel import RunPanel
from ftlab.ui.state import State
from ftlab.ui.sweep_panel import SweepPanel
from ftlab.ui.try_panel import TryPanel

PANELS = {
    "data": DataPanel,
    "job": JobPanel,
    "run": RunPanel,
    "sweep": SweepPanel,
    "compare": ComparePanel,
    "try": TryPanel,
}


class SpecTrait(AnyTrait):
    """A trait that asks before it becomes None too; traitlets' own take it unseen."""

    allow_none = False


class Workbench(widgets.VBox):
    """Check data, fill a form that answers, train, watch, and try the result.

    `spec` can be read, observed and assigned: a JobSpec or keywords of one fill the form. It is
    None while something in the form keeps the job from starting (`issues` says what); assigning
    None changes nothing.

    `data` is a JSONL file, `model` a folder, a Hugging Face id or "demo"; `values` are fields of
    JobSpec. Without them, what was typed the last time in this folder comes back. A run that is
    alive, or the newest one, is shown whichever kernel started it.
    """

    spec = SpecTrait(None, help="JobSpec, None while it has errors")

    def __init__(
        self,
        data: str | Path | None = None,
        model: str | None = None,
        *,
        folder: str | Path | None = None,
        **values: Any,
    ) -> None:
        self.state = State(folder)
        given = {"training_file": data, "model": model, **values}
        given = {name: path_as_text(v) for name, v in given.items() if v is not None}
        self._restore(given)
        self.state.settle()
        self.head = Head(self.state)
        self.anchor = Anchor()
        self.foot = widgets.HTML().add_class("ft-foot")
        self.panels = {name: panel(self.state) for name, panel in PANELS.items()}
        self.tabs = widgets.Tab(list(self.panels.values()), titles=[n.title() for n in self.panels])
        silent = [widgets.HTML(_style()), Keys(), self.anchor]
        super().__init__([*silent, self.head, self.tabs, self.foot])
        self.add_class("ftlab")
        tell = self.state.tell
        self.tabs.observe(guarded(tell, self._tab_chosen), "selected_index")
        self.state.observe(guarded(tell, self._show_tab), "tab")
        self.state.observe(guarded(tell, lambda _: self._show_message()), "message")
        self.spec = self.state.spec
        self.state.observe(guarded(tell, lambda _: setattr(self, "spec", self.state.spec)), "spec")
        self.state.find_run()
        self._greet()
        self.state.observe(guarded(tell, lambda _: self._trace()), "beat")
        self._static: Any = None
        self._show_message()
        PUMP.add(self.state)

    def _greet(self) -> None:
        """Open the run or sweep that goes on, or say where the last one is."""
        run = self.state.run
        sweep = next((one for one in Sweeps(self.state.folder.folder) if one.is_alive), None)
        if sweep is not None:
            self.state.tab = "sweep"
            self.state.tell("tip", f"Sweep {sweep.id} is going on.")
            return
        if run is not None and run.is_alive:
            self.state.tab = "run"
            self.state.tell("tip", f"Run {run.id} is going on.")
        elif run is not None:
            before = self.state.message[1]
            last = f"The last run here is {run.state.status}; see the Run tab."
            self.state.tell("tip", f"{before} {last}".strip())

    def _restore(self, given: dict[str, Any]) -> None:
        """What was typed before, unless it belongs to other data or another model; what is given
        wins."""
        draft, provider = self.state.draft(), self.state.drafted_provider()
        same = all(given.get(n, draft.get(n)) == draft.get(n) for n in ("training_file", "model"))
        self.state.update({**draft, **given} if same else given)
        if same:
            self.state.choose(provider)
        back = [name for name in draft if same and name not in given]
        if back:
            self.state.tell("tip", f"What was typed here before is back: {', '.join(back)}.")

    def close(self) -> None:
        """Take the widget away; runs go on, and what else goes on for it ends. A key that was typed
        is forgotten."""
        PUMP.remove(self.state)
        self.state.cancel_scan()
        for panel in self.panels.values():
            if isinstance(panel, JobPanel):
                panel.probe.end()
        SPARE.end()
        self.state.key.forget()
        super().close()

    @validate("spec")
    def _take_spec(self, proposal: Any) -> JobSpec | None:
        """What is assigned goes into the form; what comes out of it is the spec."""
        value = proposal["value"]
        if value is None:  # from a form with errors that this one is linked with
            return self.state.spec
        if value is self.state.spec:
            return value
        if not isinstance(value, (JobSpec, Mapping)):
            raise TraitError(
                f"spec is {value!r}; it takes a JobSpec or a mapping of its fields. "
                'Assign for example {"model": "demo", "n_epochs": 3}.'
            )
        self.state.replace(value)
        return self.state.spec

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything wrong with the spec."""
        return self.state.issues

    @property
    def run(self) -> Run | None:
        """The run that is shown."""
        return self.state.run

    def _tab_chosen(self, change: Any) -> None:
        if change.new is not None:
            self.state.tab = list(self.panels)[change.new]

    def _show_tab(self, change: Any) -> None:
        place = list(self.panels).index(change.new)
        if self.tabs.selected_index != place:  # not by a click, so the tabs may be out of sight:
            self.tabs.selected_index = place
            self.anchor.show()

    def _show_message(self) -> None:
        level, text = self.state.message
        shape = f'<b class="ft-{level}">{SHAPES[level]}</b> ' if level else ""
        self.foot.value = f'<span role="status">{shape}{escaped(text)}</span>'

    # --- where no widget runs ----------------------------------------------------------------

    def snapshot(self) -> Any:
        """The present result as HTML without scripts, for a notebook that is read elsewhere."""
        from IPython.display import HTML

        return HTML(static_html(self.state))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": static_html(self.state)}

    def _ipython_display_(self, **_: Any) -> None:
        """The widget, and beside it a static copy that is brought up to date when a run ends."""
        from IPython.display import HTML, display

        display(super()._repr_mimebundle_(), raw=True)
        self._static = display(HTML(static_html(self.state)), display_id=True)

    def _trace(self) -> None:
        run = self.state.run
        if self._static is not None and run is not None and run.state.ended:
            from IPython.display import HTML

            self._static.update(HTML(static_html(self.state)))


def run_view(run: Run) -> widgets.Widget:
    """One run, live, as what a notebook shows of it."""
    state = State(run.path.parent)
    state.refresh_runs()
    state.select(run.id)
    PUMP.add(state)
    return widgets.VBox([widgets.HTML(_style()), RunPanel(state)]).add_class("ftlab")


def static_html(state: State) -> str:
    """Data, spec and run without scripts; hidden wherever the workbench itself is shown."""
    parts = [state.report, state.run]
    shown = "".join(part._repr_html_() for part in parts if part is not None)
    issues = issue_list(state.issues)
    return f'<div class="ftlab-static"><b>ftlab</b>{shown}{issues}</div>'


@cache
def _style() -> str:
    sheets = (Path(__file__).with_name(name) for name in ("style.css", "form.css"))
    return f"<style>{''.join(sheet.read_text(encoding='utf-8') for sheet in sheets)}</style>"
