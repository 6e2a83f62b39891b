"""Changes to look at before they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.html import escaped
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
from ftlab.ui.knobs import written
from ftlab.ui.offers import Change, Offer
from ftlab.ui.shown import set_html, show

NOTHING = "Everything that it would set is set already."


class ReviewBox(widgets.VBox):
    """One line per change: what is, what would be, and why. What a person typed is not ticked,
    unless what is offered is their own too."""

    def __init__(self, state: FormState, closed: Callable[[], None]) -> None:
        self.state, self._closed = state, closed
        self.choices: dict[str, widgets.Checkbox] = {}
        self.head = widgets.HTML().add_class("ft-group")
        self.lines = widgets.VBox().add_class("ft-review")
        self.warning = widgets.HTML().add_class("ft-said")
        self.apply = widgets.Button()
        self.cancel = widgets.Button(description="Cancel")
        self._make: Callable[[], Offer] | None = None
        self._offer: Offer | None = None
        buttons = widgets.HBox([self.apply, self.cancel]).add_class("ft-buttons")
        super().__init__([self.head, self.lines, self.warning, buttons])
        self.add_class("ft-box")
        show(self, visible=False)
        self.apply.on_click(guarded(state.tell, lambda _: self._apply()))
        self.cancel.on_click(guarded(state.tell, lambda _: self.close_offer()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), "checked")

    def open_offer(self, make: Callable[[], Offer]) -> None:
        """Show an offer; it is made anew when the form changes, so that it is never an old one."""
        self._make, self._offer = make, None
        self.refresh()
        show(self, visible=True)

    def close_offer(self) -> None:
        self._make = None
        show(self, visible=False)
        self._closed()

    def refresh(self) -> None:
        if self._make is None:
            return
        offer = self._make()
        if offer != self._offer:
            self._show(offer)

    def _show(self, offer: Offer) -> None:
        known = {(c.name, c.is_typed) for c in self._offer.changes} if self._offer else set()
        ticks = {n: box.value for n, box in self.choices.items()}
        self._offer = offer
        why = f'<div class="ft-dim">{escaped(offer.why)}</div>'
        set_html(self.head, f"{escaped(offer.title)}{why}")
        self.choices = {
            c.name: _choice(c, ticked=ticks[c.name])
            if (c.name, c.is_typed) in known
            else _choice(c, ticked=offer.is_own or not c.is_typed)
            for c in offer.changes
        }
        for box in self.choices.values():
            box.observe(guarded(self.state.tell, lambda _: self._count()), "value")
        rows = [
            widgets.HBox([self.choices[c.name], widgets.HTML(change_html(c))]).add_class("ft-row")
            for c in offer.changes
        ]
        self.lines.children = rows or [widgets.HTML(NOTHING)]
        self._count()

    @property
    def ticked(self) -> list[str]:
        """The fields that would change."""
        return [name for name, box in self.choices.items() if box.value]

    def _count(self) -> None:
        """Say how many fields it would set, and what would be wrong then that is not now."""
        n = len(self.ticked)
        self.apply.description = f"Set {n} field{'' if n == 1 else 's'}"
        self.apply.disabled = not n
        entries = self._offer.entries(self.ticked) if self._offer else {}
        wrong = "".join(f"<div>{issue_html(i)}</div>" for i in self.state.new_errors(entries))
        set_html(self.warning, f"With these:{wrong}" if wrong else "")

    def _apply(self) -> None:
        if self._offer is not None:
            entries, is_own = self._offer.entries(self.ticked), self._offer.is_own
            self.close_offer()
            self.state.update(entries, typed=is_own)
            self.state.settle()


def _choice(change: Change, *, ticked: bool) -> widgets.Checkbox:
    style = {"description_width": ""}
    return widgets.Checkbox(value=ticked, description=change.name, indent=False, style=style)


def change_html(change: Change) -> str:
    """What is, what would be, and why."""
    typed = ' <span class="ft-tip">typed by you</span>' if change.is_typed else ""
    now, then = escaped(_said(change.now)), escaped(_said(change.then))
    reason = f'<span class="ft-dim">{escaped(change.reason)}</span>'
    return f"<span>{now}{typed} → <b>{then}</b></span> {reason}"


def _said(value: Any) -> str:
    return "left out" if value in (None, ()) else written(value)
