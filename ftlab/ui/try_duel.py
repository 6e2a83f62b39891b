"""Two chats next to each other: with the names of who answers, or hidden until a vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ftlab.answers.sides import Side
from ftlab.data.template import Message
from ftlab.ui.shown import show
from ftlab.ui.state import State
from ftlab.ui.try_column import Column

HIDDEN = ("A", "B")
TitleOf = Callable[[Side], str]
"""What a person calls a side."""


class Duel(widgets.HBox):
    """Two sides that are asked the same."""

    def __init__(self, state: State, title_of: TitleOf, changed: Callable[[], Any]) -> None:
        self._title_of, self._changed = title_of, changed
        self.columns = [Column(state, self._over) for _ in HIDDEN]
        super().__init__(self.columns)
        self.add_class("ft-duel")

    @property
    def is_busy(self) -> bool:
        return any(column.is_busy for column in self.columns)

    @property
    def is_whole(self) -> bool:
        """Whether both have answered to the end."""
        return all(column.reply is not None and column.reply.is_whole for column in self.columns)

    @property
    def said(self) -> tuple[str, str]:
        """The last answers, as far as they have come."""
        left, right = (column.reply.text if column.reply else "" for column in self.columns)
        return left, right

    def entitle(self, pair: tuple[Side, Side] | None, *, hidden: bool) -> None:
        """Say who answers, or what they are called until that may be known."""
        for column, side, name in zip(self.columns, pair or (None, None), HIDDEN, strict=True):
            show(column, visible=side is not None)
            if side is not None:
                title, kind = (name, "") if hidden else (self._title_of(side), _kind(side))
                column.entitle(title, kind)

    def reveal(self) -> None:
        """Say whose answers they were."""
        for column, name in zip(self.columns, HIDDEN, strict=True):
            if column.side is not None:
                column.entitle(f"{name} was {self._title_of(column.side)}", _kind(column.side))

    def begin(self, pair: tuple[Side, Side], history: Sequence[Message], *, hidden: bool) -> None:
        """A new chat with each."""
        for column, side in zip(self.columns, pair, strict=True):
            column.begin(side, history)
        self.entitle(pair, hidden=hidden)

    def ask(self, *asked: Any, hidden: bool) -> None:
        """Go on with both; `asked` is what a column takes. What is hidden is shown when both are
        there: one that loads, waits or is slower would tell which it is."""
        left, right = self.columns
        for column in self.columns:
            column.is_held = hidden
        first = left.ask(*asked)
        apart = any(column.side is not None and column.side.is_hosted for column in self.columns)
        right.ask(*asked, after=None if apart else first)

    def stop(self) -> None:
        """End both at once; what has come stays."""
        for column in self.columns:
            column.end()

    def forget(self, history: Sequence[Message] = ()) -> None:
        """Show nothing but what a chat is to begin with."""
        for column in self.columns:
            column.reply, column.turns = None, list(history)
            column.draw()

    def draw(self) -> None:
        """Show what there is by now."""
        for column in self.columns:
            column.draw()

    def _over(self) -> None:
        """An answer has ended."""
        if not self.is_busy:
            for column in self.columns:
                column.is_held = False
            self.draw()
        self._changed()


def _kind(side: Side) -> str:
    """Its colour."""
    return "base" if side.is_base else "tuned"
