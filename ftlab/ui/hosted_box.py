"""What is different about a run at the hosted service: the key, who follows it, what was said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.run import Run
from ftlab.ui.guard import guarded
from ftlab.ui.key_box import KeyBox
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

TOLD = {
    "resume": "The job is followed again; nothing is started or billed a second time.",
    "agreed": "The price is agreed to, and Together is asked for the job.",
    "stop": "Together is asked to end the job; its last checkpoint is kept, if there is one.",
    "cancel": "Together is asked to end the job; what it has done so far is billed.",
}
NO_KEY = (
    "Nobody follows the job, which may go on at Together. Type the key above to follow it again "
    "or to end it."
)
SAID_BYTES = 20_000
"""How much of what was said is shown: the end of it."""


class HostedBox(widgets.VBox):
    """Shown for a hosted run: a box for the key where one is missing, and the service's words."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.key, self.words = KeyBox(state), widgets.HTML()
        super().__init__([self.key, self.words])
        self._asking = ""
        changed = guarded(state.tell, lambda _: self.refresh())
        state.observe(changed, ["beat", "selected"])
        state.key.observe(changed, "news")
        self.refresh()

    def refresh(self) -> None:
        """Show what concerns the selected run."""
        run = self.state.run
        hosted = run is not None and run.is_hosted
        show(self, visible=hosted)
        self.key.offer(wanted=hosted and run is not None and run.is_left)
        set_html(self.words, said_html(run.said_file) if hosted and run is not None else "")

    @property
    def why_not(self) -> str:
        """Why nothing can be asked of the selected run now; empty when something can."""
        run = self.state.run
        if run is None or not run.is_hosted:
            return ""
        if self._asking:
            return self._asking
        return NO_KEY if run.is_left and not self.state.key.is_here else ""

    def said(self, asked: str | None) -> str:
        """What stands beside the buttons."""
        run = self.state.run
        left = f"It goes on {run.resumes_from}." if run is not None and run.is_left else ""
        return self.why_not or TOLD.get(asked or "", left)

    def ask(self, run: Run, request: str, changed: Callable[[], Any]) -> None:
        """Ask for something off the kernel's thread: a process starts, a keyring may be opened."""
        key = {"key": self.state.key.typed} if run.is_left or request == "resume" else {}
        price = run.hosted.price if request == "resume" else ""  # which the button has named
        agreed = {"pay_up_to": float(price)} if price else {}
        self._asking = told = TOLD["agreed" if agreed else request]
        PUMP.work(
            lambda: getattr(run, request)(**key, **agreed),
            lambda _: self._asked(told, changed, forget=bool(key)),
            lambda level, text: self._over(changed, level, text),
        )
        changed()

    def _asked(self, told: str, changed: Callable[[], Any], *, forget: bool) -> None:
        if forget:
            self.state.key.forget()  # the run's process has it now
        self._over(changed, "tip", told)

    def _over(self, changed: Callable[[], Any], level: str, text: str) -> None:
        self._asking = ""
        self.state.tell(level, text)
        changed()


def said_html(file: Path) -> str:
    """The end of what the service has said, one click away; it holds no secrets."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - SAID_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()[size > SAID_BYTES :]
    except FileNotFoundError:
        return ""
    text = escaped("\n".join(lines))
    return (
        "<details><summary>what Together has said, word by word</summary>"
        f'<div class="ft-log">{text}</div></details>'
    )
