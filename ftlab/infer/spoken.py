"""The text of an answer as its tokens come."""

from __future__ import annotations

from collections.abc import Callable, Collection

UNFINISHED = "\ufffd"
"""Stands for the first bytes of a character whose others are still to come."""


class Pieces:
    """What each token adds to a text. A character of several tokens comes when it is whole."""

    def __init__(self, text_of: Callable[[list[int]], str], ends: Collection[int]) -> None:
        """`ends` are the tokens that end an answer."""
        self._text_of, self._ends = text_of, ends
        self._ids: list[int] = []
        self._has_ended = False
        self.said = ""
        """What all pieces add up to."""

    def after(self, token: int) -> str:
        """The text that can be said once this token has come; often none."""
        self._has_ended = self._has_ended or token in self._ends
        if self._has_ended:
            return ""
        self._ids.append(token)
        text = self._text_of(self._ids)
        return "" if text.endswith(UNFINISHED) else self._say(text)

    def rest(self) -> str:
        """What was held back, when no token comes any more."""
        return self._say(self._text_of(self._ids))

    def _say(self, text: str) -> str:
        piece = text[len(self.said) :]
        self.said += piece
        return piece
