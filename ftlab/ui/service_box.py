"""The button that lets the hosted service say its price itself."""

from __future__ import annotations

import os
from pathlib import Path

import ipywidgets as widgets

from ftlab.errors import FtlabError
from ftlab.estimated import bytes_in_words
from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.prices import Price, dollars
from ftlab.providers.together.account import (
    KEY_VARIABLE,
    SERVICE,
    address,
    find_key,
    has_keyring,
)
from ftlab.providers.together.asked import no_price, question, to_upload
from ftlab.providers.together.price import PriceQuestion
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

WHAT = "Asking Together"
NOTHING_STARTS = "nothing is started and nothing is billed"
NO_KEY = (
    f"For Together's own price, set {KEY_VARIABLE} before you start Jupyter, or keep the key in "
    "the system's keyring."
)
NOT_SCANNED = "The data was not scanned; it is, before it is uploaded. Scan it again."
CANCELLED = "Cancelled; the price stays that of the table of rates."
CHANGED = "Together has answered, but the form holds another job by now; ask again for that one."


class ServiceBox(widgets.VBox):
    """Says what asking does, asks, and shows the answer beside the price of the table."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.ask = widgets.Button(description="Ask the service")
        self.cancel = widgets.Button(description="Cancel", tooltip="Give up asking")
        self.about = widgets.HTML().add_class("ft-said")
        self.task = Task(state, self.refresh)
        self._question: PriceQuestion | None = None
        self._told: ServiceEstimate | None = None
        """What the line under the button is about."""
        self._keyring_has_key = False
        buttons = widgets.HBox([self.ask, self.cancel]).add_class("ft-buttons")
        super().__init__([buttons, self.about, self.task.said])
        self.ask.on_click(guarded(state.tell, lambda _: self._start()))
        self.cancel.on_click(guarded(state.tell, lambda _: self.end()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["checked", "scanning"])
        self._look_into_keyring()
        self.refresh()

    def _look_into_keyring(self) -> None:
        """Not on the way of what is typed: a keyring may ask the person to open it."""
        if has_keyring() and not os.environ.get(KEY_VARIABLE):
            PUMP.work(find_key, self._keyring_opened, self.state.tell)

    def _keyring_opened(self, key: object) -> None:
        self._keyring_has_key = key is not None
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be asked: no price of a job that could not run there."""
        has_key = bool(os.environ.get(KEY_VARIABLE)) or self._keyring_has_key
        given, wrong = parse(self.state.values)
        missing = [*wrong, *self._no_price(given)]
        busy = self.task.is_busy
        reason = self._why_not(given, missing)
        show(self, visible=busy or not any(issue.where == "model" for issue in missing))
        show(self.ask, visible=has_key and not busy)
        show(self.cancel, visible=busy)
        self.cancel.disabled = self.cancel.disabled and busy
        self.ask.disabled = bool(reason)
        self.ask.description = "Ask again" if self.state.answer else "Ask the service"
        text = NO_KEY if not has_key else reason or _what_it_does(given)
        is_news = not busy and (reason or self.state.answer is None)
        set_html(self.about, f'<span class="ft-dim">{escaped(text)}</span>' if is_news else "")
        if not busy and self.state.answer != self._told:
            self._told = self.state.answer
            set_html(self.task.said, "" if self._told is None else self._answer_html(self._told))

    def _no_price(self, given: JobSpec) -> list[Issue]:
        return no_price(given, self.state.info.hosted, self.state.reports)

    def _why_not(self, given: JobSpec, missing: list[Issue]) -> str:
        """Why nothing can be asked; empty when it can."""
        if missing:
            return missing[0].message
        if self.state.scanning:
            return "The data is being scanned."
        unread = [name for name in to_upload(given) if name not in self.state.reports]
        return NOT_SCANNED if unread else ""

    def _start(self) -> None:
        state = self.state
        if self.task.is_busy:
            return
        given, _ = parse(state.values)
        asked = question(given, state.info, state.reports)
        self._question = PriceQuestion(
            given,
            state.reports,
            told=lambda share, what: self.task.progress(round(100 * share), 100, what),
        )
        name = state.info.name
        self.task.start(WHAT, self._question.ask, lambda found: self._asked(asked, name, found))

    def end(self) -> None:
        """Cancel what goes on."""
        if self._question is not None:
            self._question.cancel()
            self.cancel.disabled = self.task.is_busy  # until the request that goes on is over

    def _asked(self, asked: str, model: str, found: ServiceEstimate | None) -> str:
        """The line under the button."""
        if found is None:
            return CANCELLED
        self.state.learn(asked, model, found)
        self._told = self.state.answer
        return escaped(CHANGED) if self._told is None else self._answer_html(self._told)

    def _answer_html(self, found: ServiceEstimate) -> str:
        credit = found.issue()
        issues = [*found.issues, *([] if credit is None else [credit])]
        lines = "".join(f"<div>{issue_html(issue)}</div>" for issue in issues)
        return f"{escaped(in_words(found, self.state.table_price))}{lines}"


def in_words(found: ServiceEstimate, table: Price) -> str:
    """The answer in one line, beside the price by the rates."""
    if found.price.low is None:
        return found.price.basis[0]
    tokens = f" for {found.train_tokens:,} training tokens" if found.train_tokens else ""
    rates = f"; by the table of rates {table.in_words()}" if table.low is not None else ""
    credit = "" if found.credit is None else f" The account may spend {dollars(found.credit)}."
    return f"Together: {found.price.in_words()}{tokens}{rates}.{credit}"


def _what_it_does(given: JobSpec) -> str:
    """ "Uploads train.jsonl, 2.1 MiB, to Together; nothing is started and nothing is billed." """
    files = [_with_size(path) for path in to_upload(given).values()]
    if not files:
        return f"Asks Together for its own price; {NOTHING_STARTS}."
    return f"Uploads {' and '.join(files)} to {_where()} and asks for its price; {NOTHING_STARTS}."


def _with_size(path: Path) -> str:
    return f"{path.name} ({bytes_in_words(path.stat().st_size)})"


def _where() -> str:
    """Together, and its address where that is not the service's own."""
    try:
        own = address()
    except FtlabError:
        return "Together"  # what is wrong with the address is told when one asks
    return "Together" if own == SERVICE else f"Together at {own}"
