"""Where else the selected run is shown: how far each tracker is, and a button that begins one."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.trackers import TITLES
from ftlab.trackers.shown import Report, reports_of
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

TOOLTIP = "Mirror this run there from its first step, by a process of its own"


class TrackersBox(widgets.VBox):
    """One line for each mirror, with a button where its process has ended before all was there."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.lines: dict[str, widgets.HBox] = {}
        self.mirrors = widgets.VBox()
        self.choice = widgets.Dropdown(description="show it in", options=[])
        self.begin = widgets.Button(description="Track", tooltip=TOOLTIP)
        self.offer = widgets.HBox([self.choice, self.begin]).add_class("ft-buttons")
        self.task = Task(state, self.refresh)
        super().__init__([self.mirrors, self.offer, self.task.said])
        self.begin.on_click(guarded(state.tell, lambda _: self.track(str(self.choice.value))))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["beat", "looked"])
        self.refresh()

    def refresh(self) -> None:
        """Show what the mirrors of the selected run have said."""
        run = self.state.run
        show(self, visible=run is not None)
        if run is None:
            return
        found = {report.tracker: report for report in reports_of(run)}
        self.lines = {name: self.lines.get(name) or self._line(name) for name in found}
        for name, report in found.items():
            text, button = self.lines[name].children
            set_html(text, report_html(report))
            show(button, visible=not (report.is_alive or report.is_whole))
            button.disabled = self.task.is_busy
        if self.mirrors.children != (*self.lines.values(),):
            self.mirrors.children = (*self.lines.values(),)
        others = tuple((title, name) for name, title in TITLES.items() if name not in found)
        if self.choice.options != others:
            self.choice.options = others
        show(self.offer, visible=bool(others))
        self.begin.disabled = self.task.is_busy

    def track(self, tracker: str) -> None:
        """Begin a mirror, or go on with one, off the kernel's thread: a process starts."""
        run = self.state.run
        if run is not None:
            what = f"Opening {TITLES[tracker]}"
            self.task.start(what, partial(run.track, tracker), lambda _: None)

    def _line(self, tracker: str) -> widgets.HBox:
        button = widgets.Button(description="Go on", tooltip=TOOLTIP)
        button.on_click(guarded(self.state.tell, lambda _: self.track(tracker)))
        return widgets.HBox([widgets.HTML(), button]).add_class("ft-queue-line")


def report_html(report: Report) -> str:
    """In one line; what is wrong beneath it."""
    said, _, _ = report.text.partition(" · ")
    link = escaped(report.link)
    if report.link.startswith(("https://", "http://")):
        link = f'<a href="{link}" target="_blank" rel="noopener">{link}</a>'
    elif link:
        link = f"<code>{link}</code>"
    line = " · ".join(filter(None, (escaped(said), link)))
    if not report.problem:
        return line
    return f'{line}<div class="ft-warning">{SHAPES["warning"]} {escaped(report.problem)}</div>'
