"""One slow piece of work behind a button: progress, then what came of it, in place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped, progress_bar
from ftlab.issues import SHAPES
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html
from ftlab.ui.state import State

SHOW_EVERY = 0.25  # seconds


class Task:
    """Does one thing at a time; `changed` is called when it begins and when it is over."""

    def __init__(self, state: State, changed: Callable[[], Any]) -> None:
        self.state, self._changed = state, changed
        self.said = widgets.HTML().add_class("ft-said")
        self.is_busy = False
        self._what = self._doing = ""
        self._last = 0.0

    def start(
        self, what: str, function: Callable[[], Any], done: Callable[[Any], str | None]
    ) -> None:
        """Call a slow function on a thread of its own, then show the HTML that `done` makes; while
        something else is being done, nothing happens."""
        if self.is_busy:
            return
        self._what = what
        self._set_busy(busy=True)
        set_html(self.said, escaped(what))
        PUMP.work(function, lambda result: self._finish(done, result), self._fail)

    def progress(self, n_done: int, n_all: int, what: str = "") -> None:
        """What a slow function calls while it works; `what` it does now, if that changes."""
        if n_all and (time.monotonic() - self._last > SHOW_EVERY or what != self._doing):
            self._last, self._doing = time.monotonic(), what
            share = n_done / n_all
            parts = filter(None, (self._what, what, f"{share:.0%}"))
            text = f"{escaped(' · '.join(parts))}{progress_bar(share)}"
            PUMP.post(lambda: self.is_busy and set_html(self.said, text), self.state.tell)

    def _finish(self, done: Callable[[Any], str | None], result: Any) -> None:
        try:
            set_html(self.said, done(result) or "")
        finally:
            self._set_busy(busy=False)

    def _fail(self, level: str, text: str) -> None:
        shape = f'<b class="ft-{level}">{SHAPES[level]}</b>'
        set_html(self.said, f'<span role="alert">{shape} {escaped(text)}</span>')
        self._set_busy(busy=False)
        self.state.tell(level, text)

    def _set_busy(self, *, busy: bool) -> None:
        self.is_busy = busy
        self._changed()
