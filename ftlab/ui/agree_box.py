"""A person's word about what all arms of a hosted sweep may cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ftlab.prices import Price
from ftlab.providers.together.agreement import Offer
from ftlab.sweeps.ready import ReadySweep
from ftlab.ui.confirm_box import ANY_PRICE, amount
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.shown import show

AGREE = "The arms are paid for. Agree to the price of all of them above."
UP_TO = "I agree to pay up to {} for all arms together"
ANY = "Nobody knows what the arms cost; I agree to pay whatever they come to"
NO_AMOUNT = (
    "{!r} is no amount; a price in US dollars above 0 is taken, or nothing for any price. Type for "
    "example 25."
)


class AgreeBox(widgets.HBox):
    """A tick for one sweep at one price: it is taken back as soon as either is another. Where
    nobody knows the price, the person sets one, or leaves it open."""

    def __init__(self, state: FormState, changed: Callable[[], Any]) -> None:
        self._about = ""
        self._price: float | None = None
        self._changed = changed
        self.tick = widgets.Checkbox(indent=False, layout={"width": "auto"})
        self.limit = widgets.Text(
            description="at most $", placeholder="any price", continuous_update=False
        )
        super().__init__([self.tick, self.limit])
        self.add_class("ft-row").add_class("ft-sweep-bar")
        self.tick.observe(guarded(state.tell, lambda _: changed()), "value")
        self.limit.observe(guarded(state.tell, lambda _: self._set()), "value")

    def offer(self, ready: ReadySweep) -> None:
        """Ask about this sweep, unless it was asked about already."""
        price = Offer(Price(*(ready.cost.price or (None, None))), "").most
        about = ready.plan.model_dump_json(exclude={"created_at": True, "job": {"created_at"}})
        if (about, price) != (self._about, self._price):
            self._about, self._price = about, price
            self.take_back()
        self._say()

    def take_back(self) -> None:
        """A start takes a word of its own, and so does another price."""
        self.tick.value = False

    @property
    def why_not(self) -> str:
        """What is missing before anything may start; empty when nothing is."""
        if self._price is None and self._limit is None:
            return NO_AMOUNT.format(self.limit.value.strip())
        return "" if self.tick.value else AGREE

    @property
    def most(self) -> float:
        """What stands beside the tick, in US dollars."""
        found = self._limit if self._price is None else self._price
        return found or 0.0

    @property
    def _limit(self) -> float | None:
        """The person's own amount; None for what is none."""
        text = self.limit.value.replace(",", "").strip().lstrip("$")
        if not text:
            return ANY_PRICE
        try:
            found = float(text)
        except ValueError:
            return None
        return found if 0 < found < math.inf else None

    def _set(self) -> None:
        self.take_back()
        self._say()
        self._changed()

    def _say(self) -> None:
        show(self.limit, visible=self._price is None)
        self.tick.disabled = self._price is None and self._limit is None
        is_open = self.most == ANY_PRICE
        self.tick.description = ANY if is_open else UP_TO.format(amount(self.most))
