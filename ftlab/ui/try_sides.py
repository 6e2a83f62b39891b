"""Who is asked: two of the models that the runs of a folder have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.answers.sides import Side, sides_of
from ftlab.errors import RunError
from ftlab.run import Run
from ftlab.ui.guard import guarded
from ftlab.ui.state import State


class SidesChoice(widgets.HBox):
    """Two lists: the base and what the shown run tuned to begin with, then its checkpoints, then
    those of other runs."""

    def __init__(self, state: State, changed: Callable[[], Any]) -> None:
        self.state = state
        self.left = widgets.Dropdown(description="left", options=[])
        self.right = widgets.Dropdown(description="right", options=[])
        super().__init__([self.left, self.right])
        self.add_class("ft-try-bar")
        self._runs: dict[str, Run] = {}
        self._sides: dict[str, Side] = {}
        self._of = ""
        self._is_filling = False
        for choice in (self.left, self.right):
            choice.observe(
                guarded(state.tell, lambda _: None if self._is_filling else changed()), "value"
            )

    @property
    def chosen(self) -> tuple[Side, Side] | None:
        """None where there are not two."""
        found = [self._sides.get(str(choice.value)) for choice in (self.left, self.right)]
        return (found[0], found[1]) if found[0] and found[1] else None

    @property
    def chosen_keys(self) -> tuple[str, str]:
        """The keys of both."""
        return str(self.left.value), str(self.right.value)

    def title_of(self, side: Side) -> str:
        """What a person calls a side, among those of all runs."""
        shown = self.state.run
        if shown is not None and side.run.id == shown.id:
            return side.title
        return f"{side.run.name or side.run.id} · {side.title}"

    def refresh(self) -> None:
        """Offer what there is now; what was chosen stays while the same run is shown."""
        run = self.state.run
        own = [] if run is None else _sides(run)
        others = [side for other in self._others() for side in _sides(other)]
        titles = {side.key: side.title for side in own}
        titles |= {side.key: self.title_of(side) for side in others}
        self._sides = {side.key: side for side in (*own, *others)}
        options = tuple((title, key) for key, title in titles.items())
        before = (self.left.value, self.right.value)
        if run is None or run.id != self._of:
            before, self._of = (None, None), run.id if run else ""
        base = next((one.key for one in own if one.is_base), None)
        tuned = next((one.key for one in own if not one.is_base), None)
        self._is_filling = True
        try:
            for choice, kept, first in (
                (self.left, before[0], base),
                (self.right, before[1], tuned),
            ):
                if choice.options != options:
                    choice.options = options
                choice.value = kept if kept in titles else first
        finally:
            self._is_filling = False

    def _others(self) -> list[Run]:
        """The runs that are not shown, the newest first; their folders are read once."""
        ids = [name for name in self.state.runs if name != self.state.selected]
        self._runs = {name: self._runs.get(name) or self.state.folder[name] for name in ids}
        return list(self._runs.values())


def _sides(run: Run) -> list[Side]:
    try:
        return sides_of(run)
    except RunError:  # damaged, which the Run tab tells
        return []
