"""Blind votes: two answers whose authors are hidden until a person has said which is better."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.answers.sides import Side
from ftlab.errors import RunError
from ftlab.html import escaped
from ftlab.ui.guard import Teller, guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.try_duel import TitleOf
from ftlab.votes import Choice, Vote, add_vote, read_votes, shuffled, tally

WORDS: dict[Choice, str] = {
    "left": "A is better",
    "right": "B is better",
    "tie": "Tie",
    "bad": "Both bad",
}


class VoteBox(widgets.VBox):
    """Buttons for a vote, and the tally."""

    def __init__(self, tell: Teller, title_of: TitleOf, voted: Callable[[Choice], Any]) -> None:
        self._title_of = title_of
        self.buttons = {choice: widgets.Button(description=word) for choice, word in WORDS.items()}
        self.said = widgets.HTML()
        bar = widgets.HBox(list(self.buttons.values())).add_class("ft-buttons")
        super().__init__([bar, self.said])
        for choice, button in self.buttons.items():
            act = guarded(tell, lambda _, choice: voted(choice))
            button.on_click(partial(act, choice=choice))
        self.pair: tuple[Side, Side] | None = None
        """Left and right, while they are hidden."""
        self.seed = 0

    def hide(self, first: Side, second: Side) -> tuple[Side, Side]:
        """Left and right, as a new seed puts the sides."""
        self.seed = secrets.randbits(31)
        self.pair = shuffled(first, second, self.seed)
        return self.pair

    def offer(self, *, visible: bool, ready: bool) -> None:
        """Let a vote be given, once both answers are there."""
        show(self, visible=visible)
        for button in self.buttons.values():
            button.disabled = not ready

    def vote(self, file: Path, choice: Choice, **about: Any) -> str:
        """Write a vote down, and say whose answers they were."""
        assert self.pair is not None, "the buttons are off without a hidden pair"
        left, right = self.pair
        add_vote(file, Vote(left.key, right.key, choice, self.seed, **about))
        self.pair = None
        better = {"left": left, "right": right}.get(choice)
        return f"Better: {self._title_of(better)}." if better else f"{WORDS[choice]}."

    def count(self, file: Path, first: Side, second: Side) -> None:
        """Show the tally of two sides."""
        try:
            found = tally(read_votes(file), first.key, second.key)
            text = found.in_words(self._title_of(first), self._title_of(second))
        except RunError as exc:
            text = str(exc)
        set_html(self.said, escaped(text))
