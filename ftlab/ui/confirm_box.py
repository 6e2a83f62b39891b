"""What a hosted job costs, and the button that agrees to it: without it nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from traitlets import Bool

from ftlab.html import escaped
from ftlab.prices import Price
from ftlab.providers.together.agreement import Offer
from ftlab.providers.together.asked import question
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import parse
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
from ftlab.ui.service_box import ServiceBox
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

ANY_PRICE = float("inf")
NO_KEY = "Together starts a job only with the key of an account. Type it above."
UNKNOWN = "Nobody knows what this job costs; you would pay whatever it comes to."


class ConfirmBox(widgets.VBox):
    """Asks the service for its price, unless it has said it; then waits for a person's word."""

    wanted = Bool(help="whether somebody is about to submit the job")

    def __init__(self, state: State, service: ServiceBox, agreed: Callable[[float], Any]) -> None:
        self.state, self.service = state, service
        self._about, self._most = "", ANY_PRICE
        self.said = widgets.HTML().add_class("ft-confirm-said")
        self.pay = widgets.Button(button_style="primary")
        self.refuse = widgets.Button(description="Not now", tooltip="Send nothing")
        buttons = widgets.HBox([self.pay, self.refuse]).add_class("ft-buttons")
        super().__init__([self.said, buttons])
        self.add_class("ft-box")
        tell = state.tell
        self.pay.on_click(guarded(tell, lambda _: self._agree(agreed)))
        self.refuse.on_click(guarded(tell, lambda _: self.end()))
        state.observe(guarded(tell, lambda _: self.refresh()), ["checked", "scanning"])
        service.observe(guarded(tell, lambda _: self.refresh()), "asking")
        self.refresh()

    @property
    def why_not(self) -> str:
        """Why the job can't be submitted now; empty when it can."""
        if reason := self.state.why_not_train:
            return reason
        if not self.state.key.is_here:
            return NO_KEY
        return "" if self.state.answer else self.service.why_not()

    def begin(self) -> None:
        """Show the price, once it is known."""
        self.wanted, self._about = True, self._question()
        if self.state.answer is None:
            self.service.start()
        self.refresh()

    def end(self) -> None:
        """Send nothing."""
        self.wanted = False
        self.refresh()

    def refresh(self) -> None:
        """A price is for the job that it was asked of: another one is asked about anew."""
        answer = self.state.answer
        if self.wanted and (
            self.why_not
            or self._about != self._question()
            or (answer is None and not self.service.asking)
        ):
            self.wanted = False
        show(self, visible=self.wanted and answer is not None)
        if self.wanted and answer is not None:
            self._show_price(answer)

    def _show_price(self, answer: ServiceEstimate) -> None:
        low, high = self.state.estimate.price or (None, None)
        price = Price(low, high)
        self._most = Offer(price, "").most or (0.0 if high == 0 else ANY_PRICE)
        whose = "by Together's own estimate" if answer.price.low == low else "by the table of rates"
        is_known = high is not None
        costs = f"This job costs {price.in_words()}, {whose}." if is_known else UNKNOWN
        bound = f"It starts only if that is at most {amount(self._most)}. " if is_known else ""
        text = f"{costs} {bound}It is billed to the account of the key; nothing is started yet."
        credit = answer.issue()
        wrong = "" if credit is None else f"<div>{issue_html(credit)}</div>"
        set_html(self.said, f'<div role="alert">{escaped(text)}</div>{wrong}')
        self.pay.description = f"Pay up to {amount(self._most)}" if is_known else "Pay any price"
        self.pay.disabled = answer.allowed is False

    def _agree(self, agreed: Callable[[float], Any]) -> None:
        if self.wanted and not self.why_not:
            most = self._most
            self.end()
            agreed(most)

    def _question(self) -> str:
        return question(parse(self.state.values)[0], self.state.reports)


def amount(dollars: float) -> str:
    """To the cent: it is what a person agrees to."""
    return f"${dollars:,.2f}"
