"""Whether a trainer is kept ready beside the Train button, and what that costs."""

from __future__ import annotations

import os

import ipywidgets as widgets

from ftlab.errors import FtlabError
from ftlab.models import locate
from ftlab.spare import SPARE, SWITCH
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

TITLE = "keep a trainer ready"
LEAST_FREE = 2 * 2**30
"""Bytes of memory that must be free: it holds about 400 MB before it has any work."""


class SpareBox(widgets.HBox):
    """A switch, on where memory is not scarce. One waits as soon as there are data and a model that
    is here, and nothing runs."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.switch = widgets.Checkbox(
            value=os.environ.get(SWITCH) != "0",
            description=TITLE,
            indent=False,
            tooltip="A process that has loaded torch and waits: a run then begins at once",
        )
        self.said = widgets.HTML().add_class("ft-dim")
        super().__init__([self.switch, self.said])
        self.add_class("ft-spare")
        self.switch.observe(guarded(state.tell, lambda _: self.refresh()), "value")
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["beat", "checked"])
        self.refresh()

    def refresh(self) -> None:
        """Start or end it as the state asks, and say what it holds."""
        is_of_use = self._is_of_use()
        if not self.switch.value:
            SPARE.end()
        elif is_of_use and not SPARE.is_here:
            SPARE.warm(locate(str(self.state.values["model"])))
        show(self, visible=is_of_use or SPARE.is_here)
        size = SPARE.memory_bytes
        set_html(self.said, f"{size / 1e6:,.0f} MB" if size else "")

    def _is_of_use(self) -> bool:
        """Whether a run may begin soon, here, with room for it."""
        import psutil

        state, model = self.state, self.state.values.get("model")
        if state.where.engine != "local" or state.why_not_train or not model:
            return False
        if state.run is not None and state.run.is_alive:
            return False
        try:
            here = locate(str(model)) is not None
        except FtlabError:  # the form says what is wrong with it
            return False
        return here and psutil.virtual_memory().available > LEAST_FREE
