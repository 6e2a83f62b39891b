"""A part of a panel that is filled only while it is open."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.shown import show

SHUT, OPEN = "▸", "▾"


class Fold(widgets.VBox):
    """A heading that opens and shuts what is under it. What a subclass shows costs nothing while it
    is shut: `refresh` is called when it opens, and then whenever the form changes."""

    def __init__(self, state: FormState, title: str, tooltip: str, parts: list[Any]) -> None:
        self.state, self._title = state, title
        self.head = widgets.ToggleButton(tooltip=tooltip).add_class("ft-fold")
        self.body = widgets.VBox(parts).add_class("ft-box")
        super().__init__([self.head, self.body])
        self.head.observe(guarded(state.tell, lambda _: self._turned()), "value")
        state.observe(guarded(state.tell, lambda _: self.is_open and self.refresh()), "checked")
        self._turned()

    @property
    def is_open(self) -> bool:
        return self.head.value

    def entitle(self, title: str) -> None:
        """Give it another heading."""
        self._title = title
        self._entitle()

    def refresh(self) -> None:
        """Show what follows from the form as it is now."""
        raise NotImplementedError

    def _turned(self) -> None:
        self._entitle()
        show(self.body, visible=self.is_open)
        if self.is_open:
            self.refresh()

    def _entitle(self) -> None:
        self.head.description = f"{OPEN if self.is_open else SHUT} {self._title}"
