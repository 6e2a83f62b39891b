"""Undo and redo of what stands in the form."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftlab.ui.tips import Tips

PAUSE = 1.5  # seconds without a key after which typing on in a field is a step of its own
STEPS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """All that undo brings back."""

    entries: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What was given for each field, valid or not."""
    typed: frozenset[str] = frozenset()
    """The fields whose value a person typed, or gave in code."""
    tips: Tips = field(default_factory=Tips)

    def changed(self, other: Moment) -> set[str]:
        """The fields in which two moments differ."""
        names = {*self.entries, *other.entries}
        return {n for n in names if not _same(self.entries, other.entries, n)}


class History:
    """Moments of the past and, after an undo, of the future. Typing a word is one step."""

    def __init__(self) -> None:
        self._past: list[Moment] = []
        self._future: list[Moment] = []
        self._typing: tuple[set[str], float] = set(), 0.0

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def record(self, before: Moment, after: Moment, *, by_key: bool = False) -> None:
        """Keep what was before; keys pressed one after the other in one field count as one."""
        fields, now = before.changed(after), time.monotonic()
        last_fields, last = self._typing
        goes_on = by_key and len(fields) == 1 and fields == last_fields and now - last < PAUSE
        if not (goes_on and self._past):
            self._past = [*self._past[1 - STEPS_KEPT :], before]
        self._typing = (fields if by_key else set[str](), now)
        self._future.clear()

    def undo(self, now: Moment) -> Moment:
        """What was before the last step; `now` can be brought back by `redo`."""
        self._typing = set(), 0.0
        self._future.append(now)
        return self._past.pop()

    def redo(self, now: Moment) -> Moment:
        """What was undone last."""
        self._past.append(now)
        return self._future.pop()


def _same(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    """1 and True are different entries, and a field left out is not one set to None."""
    if (name in one) != (name in other):
        return False
    a, b = one.get(name), other.get(name)
    return type(a) is type(b) and (a is b or a == b)  # NaN is not even equal to itself
