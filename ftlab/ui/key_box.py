"""A box for the key of an account, which forgets what is typed into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
from pydantic import SecretStr
from traitlets import Bool

from ftlab.ui.guard import guarded
from ftlab.ui.shown import show
from ftlab.ui.state import State


class KeyBox(anywidget.AnyWidget):
    """The page sends what was typed once, as a message of its own, and
    empties its field; no trait holds it, so no page and no notebook gets it back."""

    _esm = Path(__file__).with_name("key_box.js")
    is_held = Bool(help="whether a key was typed").tag(sync=True)

    def __init__(self, state: State) -> None:
        super().__init__()
        self.key, self._wanted = state.key, False
        self.on_msg(guarded(state.tell, self._heard))
        self.key.observe(guarded(state.tell, lambda _: self.refresh()), "news")
        self.key.look()
        self.refresh()

    def offer(self, *, wanted: bool) -> None:
        """Let it be seen while there is use for a key, and no key but one that was typed."""
        self._wanted = wanted
        self.refresh()

    def refresh(self) -> None:
        """Show whether one is held."""
        self.is_held = self.key.is_typed
        show(self, visible=self._wanted and (self.key.is_typed or not self.key.is_here))

    def _heard(self, _: Any, said: dict[str, Any], _buffers: Any) -> None:
        if "key" in said:
            self.key.take(SecretStr(str(said.pop("key"))))
        elif "forget" in said:
            self.key.forget()
