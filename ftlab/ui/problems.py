"""What is wrong, in one list; a click leads to the field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anywidget
from traitlets import List

from ftlab.issues import SHAPES, Issue
from ftlab.ui.guard import Teller, guarded


class Problems(anywidget.AnyWidget):
    """`reveal` makes sure that a field can be seen; the page then goes to it."""

    _esm = Path(__file__).with_name("problems.js")
    problems = List().tag(sync=True)

    def __init__(self, reveal: Callable[[str], Any], tell: Teller) -> None:
        super().__init__()
        self._reveal = reveal
        self.on_msg(guarded(tell, self._asked))

    def show_issues(self, issues: Iterable[Issue]) -> None:
        self.problems = [
            {"level": i.level, "shape": SHAPES[i.level], "where": i.where, "text": i.message}
            for i in issues
        ]

    def _asked(self, _: Any, said: Any, _buffers: Any) -> None:
        where = said.get("where")
        if isinstance(where, str):
            self._reveal(where)
            self.send({"focus": where})
