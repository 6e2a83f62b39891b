"""Where the job is to run: here, or at the hosted service."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded

ENGINES = {"local": "This machine", "together": "Together"}
"""Provider → how a person calls it."""
TOOLTIPS = ["Train here", "A paid job at the hosted service"]


class EngineChoice(widgets.ToggleButtons):
    """What stands in the form stays; issues and limits become those of the chosen place."""

    def __init__(self, state: FormState) -> None:
        names = {**ENGINES, state.provider: ENGINES.get(state.provider, state.provider)}
        super().__init__(
            description="runs on",
            options=[(title, name) for name, title in names.items()],
            value=state.provider,
            tooltips=TOOLTIPS,
        )
        self.add_class("ft-engine")
        tell = state.tell
        self.observe(guarded(tell, lambda change: state.choose(change.new)), "value")
        shown = guarded(tell, lambda change: self.set_trait("value", change.new))
        state.observe(shown, "provider")
