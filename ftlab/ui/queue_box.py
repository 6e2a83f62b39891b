"""Who uses each device and who waits for it, in the order of their turns."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.errors import RunError
from ftlab.html import escaped
from ftlab.queues import Queue, move, queues
from ftlab.tickets import Ticket
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.units import age


class QueueBox(widgets.VBox):
    """Shown while somebody waits; a waiting run can be moved up and down, and cancelled."""

    def __init__(self, state: State) -> None:
        self.state = state
        super().__init__()
        self.add_class("ft-box")
        self.lines: dict[str, widgets.HBox] = {}
        self._asked: set[str] = set()
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["looked", "beat"])
        self.refresh()

    def refresh(self) -> None:
        """Show the queues as they are."""
        found = [queue for queue in queues() if queue.waiting]
        show(self, visible=bool(found))
        lines = [line for queue in found for line in self._lines_of(queue)]
        self.lines = dict(lines)
        if self.children != (*self.lines.values(),):
            self.children = (*self.lines.values(),)

    def _lines_of(self, queue: Queue) -> list[tuple[str, widgets.HBox]]:
        head = self.lines.get(queue.device) or _line()
        set_html(head.children[0], self._holder_html(queue))
        lines = [(queue.device, head)]
        for place, ticket in enumerate(queue.waiting, start=1):
            line = self.lines.get(ticket.id) or self._waiting_line(ticket)
            self._show_waiting(line, ticket, place, len(queue.waiting))
            lines.append((ticket.id, line))
        return lines

    def _waiting_line(self, ticket: Ticket) -> widgets.HBox:
        buttons = [
            widgets.Button(description=word, tooltip=tooltip)
            for word, tooltip in (
                ("↑", "Let it have its turn sooner"),
                ("↓", "Let it have its turn later"),
                ("Cancel", "End the run before it begins"),
            )
        ]
        up, down, cancel = buttons
        tell, name = self.state.tell, ticket.holder
        up.on_click(guarded(tell, lambda _: self._move(name, -1)))
        down.on_click(guarded(tell, lambda _: self._move(name, +1)))
        cancel.on_click(guarded(tell, lambda _: self._cancel(name)))
        return _line(*buttons)

    def _show_waiting(self, line: widgets.HBox, ticket: Ticket, place: int, of: int) -> None:
        text, up, down, cancel = line.children
        who = escaped(self._title(ticket.holder))
        set_html(text, f'{place}. {who} <span class="ft-dim">waits for {age(ticket.since)}</span>')
        up.disabled, down.disabled = place == 1, place == of
        show(cancel, visible=ticket.holder in self.state.runs)
        cancel.disabled = ticket.holder in self._asked

    def _holder_html(self, queue: Queue) -> str:
        device = f"<b>{escaped(queue.device)}</b>"
        if not queue.holder:
            return f"{device} is about to be taken by the first of:"
        since = f'<span class="ft-dim">for {age(queue.since)}</span>'
        return f"{device} is used by {escaped(self._title(queue.holder))} {since}; these wait:"

    def _title(self, holder: str) -> str:
        """The name that a person gave the run, or what it called itself."""
        if holder not in self.state.runs:
            return holder
        try:
            return self.state.folder[holder].name or holder
        except RunError:  # deleted meanwhile
            return holder

    def _move(self, name: str, by: int) -> None:
        move(name, by)
        self.refresh()

    def _cancel(self, name: str) -> None:
        self.state.folder[name].cancel()
        self._asked.add(name)
        self.state.tell("tip", f"{self._title(name)} leaves the queue and keeps nothing new.")
        self.refresh()


def _line(*buttons: widgets.Button) -> widgets.HBox:
    return widgets.HBox([widgets.HTML(), *buttons]).add_class("ft-queue-line")
