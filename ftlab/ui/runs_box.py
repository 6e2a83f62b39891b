"""The list of all runs of the folder; a click shows one, and what is kept of it can be changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
from traitlets import List, Unicode

from ftlab.html import visible
from ftlab.overview import Overview, overview
from ftlab.run import Run
from ftlab.ui.fold import Fold
from ftlab.ui.guard import guarded
from ftlab.ui.run_details import RunDetails
from ftlab.ui.shown import MARKS, show
from ftlab.ui.state import State

ALL = "all"
NOTHING = "There is no run in this folder yet. The Job tab has the button that starts one."
LEVELS = {"failed": "error", "cancelled": "warning", "paused": "warning"}


class RunsTable(anywidget.AnyWidget):
    """Rows of texts; tells `chosen` the id of the run that is clicked."""

    _esm = Path(__file__).with_name("runs_table.js")
    _css = Path(__file__).with_name("runs_table.css")
    runs = List().tag(sync=True)
    selected = Unicode("").tag(sync=True)


class RunsBox(Fold):
    """What there is, read from the folder alone: it is the same after a restart of the kernel."""

    def __init__(self, state: State) -> None:
        self.runs_state = state
        self._known: dict[str, Run] = {}
        self.empty = widgets.HTML(NOTHING)
        self.tag = widgets.Dropdown(description="tag", options=[ALL])
        self.tag.add_class("ft-runs-filter")
        self.table = RunsTable().add_class("ft-runs-list")
        self.details = RunDetails(state)
        parts = [self.empty, self.tag, self.table, self.details]
        super().__init__(state, "Runs", "All runs of this folder, the newest first", parts)
        self.table.on_msg(guarded(state.tell, self._clicked))
        self.tag.observe(guarded(state.tell, lambda _: self.refresh()), "value")
        watched = ["runs", "selected", "looked"]
        state.observe(guarded(state.tell, lambda _: self._news()), watched)
        self._news()

    def _news(self) -> None:
        n = len(self.runs_state.runs)
        self.entitle(f"Runs · {n}" if n else "Runs")
        if self.is_open:
            self.refresh()

    def refresh(self) -> None:
        """Show what the folder holds."""
        state = self.runs_state
        # Those that were read already have read all but the newest of their logs.
        self._known = {run.id: self._known.get(run.id, run) for run in state.folder}
        found = [overview(run) for run in self._known.values()]
        self._offer_tags(found)
        rows = [_row(one) for one in found if self.tag.value in (ALL, *one.tags)]
        if rows != self.table.runs:
            self.table.runs = rows
        self.table.selected = state.selected or ""
        show(self.empty, visible=not found)
        show(self.table, visible=bool(found))
        self.details.refresh()

    def _offer_tags(self, found: list[Overview]) -> None:
        tags = sorted({tag for one in found for tag in one.tags})
        show(self.tag, visible=bool(tags))
        options = [(ALL, ALL), *((visible(tag), tag) for tag in tags)]
        if list(self.tag.options) != options:
            kept = self.tag.value if self.tag.value in tags else ALL
            with self.tag.hold_trait_notifications():
                self.tag.options = options
                self.tag.value = kept

    def _clicked(self, _: Any, said: Any, _buffers: Any) -> None:
        chosen = said.get("select")
        if chosen in self.runs_state.runs:
            self.runs_state.select(chosen)


def _row(one: Overview) -> dict[str, Any]:
    """Texts for the table; a loss that is not known is an empty one."""
    _, status, model, step, loss, validation, age, size = one.cells()
    return {
        "id": one.id,
        "title": visible(one.title),
        "tags": [visible(tag) for tag in one.tags],
        "status": f"{MARKS.get(status, '●')} {status}",
        "level": LEVELS.get(status, "plain"),
        "model": visible(model),
        "step": step,
        "loss": loss,
        "validation": validation,
        "age": age,
        "size": size,
    }
