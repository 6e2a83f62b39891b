"""The buttons that pause, resume and end what goes on: a run, or a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.events import FINAL
from ftlab.html import escaped
from ftlab.run import Run, RunState
from ftlab.ui.confirm_box import ANY_PRICE, amount
from ftlab.ui.guard import guarded
from ftlab.ui.hosted_box import HostedBox
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

LIVE = ("running", "queued")
TOLD = {
    "pause": "The {} pauses after the step it is in. Its device is free then.",
    "resume": "The {} goes on from its newest whole checkpoint.",
    "stop": "The {} ends after the step it is in and keeps what it has learned.",
    "cancel": "The {} ends after the step it is in and keeps nothing.",
}
UNDER_WAY = {"pause": "It pauses after this step.", "stop": "It ends after this step."}
NOTHING_YET = (
    "Together has kept no checkpoint of it yet: to stop it now would keep nothing. Wait for one, "
    "or cancel it."
)


class RunButtons(widgets.HBox):
    """Shows those that do something now; one that can't says why beside it."""

    def __init__(
        self, state: State, hosted: HostedBox, changed: Callable[[], Any], what: str = "run"
    ) -> None:
        self.state, self.hosted, self._changed, self._what = state, hosted, changed, what
        self._run: Run | None = None
        self.pause, self.resume, self.stop, self.cancel = (
            self._button(description, request, tooltip)
            for description, request, tooltip in (
                ("Pause", "pause", "Save its state, end its process and free the device"),
                ("Resume", "resume", "Go on in a new process"),
                ("Stop and keep", "stop", f"End the {what} and keep what it has learned"),
                ("Cancel", "cancel", f"End the {what} and keep nothing"),
            )
        )
        self.reason = widgets.HTML(layout={"align_self": "center"})
        super().__init__([self.pause, self.resume, self.stop, self.cancel, self.reason])
        self.add_class("ft-row")

    def _button(self, description: str, request: str, tooltip: str) -> widgets.Button:
        button = widgets.Button(description=description, tooltip=tooltip)
        button.on_click(guarded(self.state.tell, lambda _: self._ask(request)))
        return button

    def _ask(self, request: str) -> None:
        run = self._run
        if run is not None and run.is_hosted:
            self.hosted.ask(run, request, self._changed)
        elif run is not None:
            getattr(run, request)()
            self.state.tell("tip", TOLD[request].format(self._what))
            self._changed()

    def offer(self, run: Run, state: RunState) -> None:
        """The buttons for a run that stands so."""
        self._run = run
        live, over = state.status in LIVE, state.status in FINAL
        live = live and not run.is_left
        asked = run.asked() if live else None
        why_not = self.hosted.why_not if run.is_hosted else ""
        show(self, visible=not over)
        show(self.pause, visible=live and not run.is_hosted)
        self.pause.disabled = asked is not None
        show(self.resume, visible=not (live or run.has_ended_there))
        self.resume.description = _resumed_by(run)
        self.resume.disabled = bool(run.why_not_resume or why_not)
        show(self.stop, visible=live or run.is_left or run.has_checkpoint)
        self.stop.disabled = asked in ("stop", "cancel") or bool(why_not) or run.leaves_nothing
        show(self.cancel, visible=state.status != "failed")
        self.cancel.disabled = asked == "cancel" or bool(why_not)
        said = UNDER_WAY.get(asked or "", "It is being cancelled." if asked else "")
        if run.is_hosted:
            said = self.hosted.said(asked) or (NOTHING_YET if run.leaves_nothing else "")
        elif not live and not over:
            said = run.why_not_resume or f"It goes on {run.resumes_from}."
        set_html(self.reason, f"<span>{escaped(said)}</span>" if said else "")


def _resumed_by(run: Run) -> str:
    """What a click does: agree to a price, where the run was refused for it."""
    if not run.is_hosted:
        return "Resume"
    return _up_to(float(run.hosted.price)) if run.hosted.price else "Follow again"


def _up_to(dollars: float) -> str:
    return "Pay any price" if dollars == ANY_PRICE else f"Pay up to {amount(dollars)}"
