"""Who is asked: two of the models that the runs of a folder have."""

from __future__ import annotations

import contextlib
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
        self._others: dict[str, tuple[Side, str]] = {}
        self._seen: tuple[Any, ...] = ()
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
        is_shown = shown is not None and side.run.id == shown.id
        return side.title if is_shown else _named(side)

    def heading_of(self, side: Side) -> str:
        """What stands over its answers: the run too, but for the base of the one that is shown."""
        return self.title_of(side) if side.is_base else _named(side)

    def refresh(self) -> None:
        """Offer what there is now; what was chosen stays while the same run is shown."""
        run = self.state.run
        own = [] if run is None else _sides(run)
        self._look_at_others()
        found = {side.key: (side, side.title) for side in own} | self._others
        self._sides = {key: side for key, (side, _) in found.items()}
        options = tuple((title, key) for key, (_, title) in found.items())
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
                choice.value = kept if kept in found else first
        finally:
            self._is_filling = False

    def _look_at_others(self) -> None:
        """The sides of the runs that are not shown, the newest first. There may be hundreds, so
        they are looked at when the folder of runs is, and not with each letter that is typed."""
        seen = (self.state.looked, self.state.runs, self.state.selected)
        if seen == self._seen:
            return
        self._seen, found = seen, dict[str, Run]()
        for name in self.state.runs:
            if name != self.state.selected:
                with contextlib.suppress(RunError):  # deleted since then
                    found[name] = self._runs.get(name) or self.state.folder[name]
        self._runs = found
        others = [side for run in found.values() for side in _sides(run)]
        self._others = {side.key: (side, self.title_of(side)) for side in others}


def _named(side: Side) -> str:
    return f"{side.run.name or side.run.id} · {side.title}"


def _sides(run: Run) -> list[Side]:
    try:
        return sides_of(run)
    except RunError:  # damaged, which the Run tab tells
        return []
