"""How the Try panel asks: sampling that both sides share, a system prompt, tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.errors import FtlabError
from ftlab.ui.fold import Fold
from ftlab.ui.state import State

SAMPLING = ("max_tokens", "temperature", "top_p", "seed")
LARGEST = 2**63
TITLE, TOOLTIP = "System prompt and tools", "What stands before the chat"


class Context(Fold):
    """A system prompt, and tools as a row of data has them."""

    def __init__(self, state: State) -> None:
        self.system = widgets.Textarea(description="system", rows=2).add_class("ft-prompt")
        self.tools = widgets.Textarea(
            description="tools", rows=3, placeholder='[{"type": "function", "function": {…}}]'
        ).add_class("ft-prompt")
        super().__init__(state, TITLE, TOOLTIP, [self.system, self.tools])

    def refresh(self) -> None:
        """Nothing follows from the form."""

    @property
    def known_tools(self) -> list[Any] | None:
        """Raises FtlabError for what is no list of objects in JSON."""
        text = self.tools.value.strip()
        if not text:
            return None
        try:
            found = json.loads(text)
        except ValueError as exc:
            raise FtlabError(
                f"The tools are no JSON ({exc}); they are a list of objects, as in a row of data. "
                "Correct them, or take them out."
            ) from exc
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise FtlabError(
                "The tools are no list of objects; a row of data has a list. Put them in [ ]."
            )
        return found

    def fill(self, system: str, tools: list[Any] | None) -> None:
        """Take those of a row."""
        self.system.value = system
        self.tools.value = json.dumps(tools, indent=1, ensure_ascii=False) if tools else ""
        if system or tools:
            self.head.value = True


class Settings(widgets.HBox):
    """The same for both sides."""

    def __init__(self) -> None:
        self.max_tokens = widgets.BoundedIntText(256, min=1, max=100_000, description="max_tokens")
        self.temperature = widgets.BoundedFloatText(
            0.0, min=0, max=5, step=0.1, description="temperature"
        )
        self.top_p = widgets.BoundedFloatText(1.0, min=0.01, max=1, step=0.05, description="top_p")
        self.seed = widgets.BoundedIntText(0, min=0, max=2**31 - 1, description="seed")
        self.temperature.tooltip = "0 takes the likeliest token each time"
        super().__init__([getattr(self, name) for name in SAMPLING])
        self.add_class("ft-try-bar")

    @property
    def sampling(self) -> dict[str, Any]:
        return {name: getattr(self, name).value for name in SAMPLING}

    def watch(self, changed: Callable[[Any], Any]) -> None:
        """Call a function whenever one of them changes."""
        for name in SAMPLING:
            getattr(self, name).observe(changed, "value")

    def take(self, values: dict[str, Any]) -> None:
        """Take what was typed before; what is no number is left."""
        for name in SAMPLING:
            value = values.get(name, "")
            if type(value) in (int, float) and abs(value) < LARGEST:  # which NaN is not, either
                field = getattr(self, name)
                field.value = type(field.value)(value)
