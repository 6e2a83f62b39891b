"""The button that lets the hosted service say its price itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
from traitlets import Bool

from ftlab.errors import FtlabError
from ftlab.estimated import bytes_in_words
from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.providers.together.account import KEY_VARIABLE, SERVICE, address
from ftlab.providers.together.asked import (
    PRICED,
    Reports,
    beside_the_price,
    checksums,
    no_price,
    question,
    to_upload,
    tuned,
)
from ftlab.providers.together.price import PriceQuestion
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
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
CANCELLING = "Cancelling; what goes on is given up."
CANCELLED = "Cancelled; the price stays as it was."
CHANGED = "Together has answered, but the form holds another job by now; ask again for that one."


class ServiceBox(widgets.VBox):
    """Says what asking does, asks, and shows the answer beside the price of the table."""

    asking = Bool(help="whether it asks now")

    def __init__(self, state: State) -> None:
        self.state = state
        self.ask = widgets.Button(description="Ask the service")
        self.cancel = widgets.Button(description="Cancel", tooltip="Give up asking")
        self.about = widgets.HTML().add_class("ft-said")
        self.task = Task(state, self.refresh)
        self._question: PriceQuestion | None = None
        self._about = ""
        """The question that the line under the button is about, unless it shows an answer."""
        buttons = widgets.HBox([self.ask, self.cancel]).add_class("ft-buttons")
        super().__init__([buttons, self.about, self.task.said])
        self.ask.on_click(guarded(state.tell, lambda _: self.start()))
        self.cancel.on_click(guarded(state.tell, lambda _: self.end()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["checked", "scanning"])
        state.key.observe(guarded(state.tell, lambda _: self.refresh()), "news")
        state.key.look()
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be asked: no price of a job that could not run there."""
        has_key, given = self.state.key.is_here, parse(self.state.values)[0]
        missing, busy = self._missing(given), self.task.is_busy
        reason = self._why_not(given, missing)
        show(self, visible=busy or not any(issue.where == "model" for issue in missing))
        show(self.ask, visible=has_key and not busy)
        show(self.cancel, visible=busy)
        self.cancel.disabled = self.cancel.disabled and busy
        self.ask.disabled = bool(reason)
        self.ask.description = "Ask again" if self.state.answer else "Ask the service"
        hosted = self.state.where.engine == "together"  # the box for the key says it then
        text = reason or (_what_it_does(given) if has_key else "" if hosted else NO_KEY)
        is_news = not busy and (reason or self.state.answer is None)
        set_html(self.about, f'<span class="ft-dim">{escaped(text)}</span>' if is_news else "")
        self._show_answer(given)
        self.asking = busy

    def why_not(self) -> str:
        """Why the service can't be asked about the job; empty when it can."""
        given, _ = parse(self.state.values)
        return self._why_not(given, self._missing(given))

    def _show_answer(self, given: JobSpec) -> None:
        """The answer of this job, if there is one; what was said instead stands until another job
        does."""
        busy = self.task.is_busy
        asked = question(given, self.state.reports) if busy or self._about else ""
        if busy or (asked and asked == self._about):
            self._about = asked
            return
        self._about, answer = "", self.state.answer
        set_html(self.task.said, "" if answer is None else self._answer_html(given, answer))

    def _missing(self, given: JobSpec) -> list[Issue]:
        """Why there can be no price; within which limits, the service says then."""
        _, wrong = parse(self.state.values)
        return [i for i in wrong if _hinders(i)] + no_price(given, None, self.state.reports)

    def _why_not(self, given: JobSpec, missing: list[Issue]) -> str:
        """Why nothing can be asked; empty when it can."""
        if missing:
            return missing[0].message
        if self.state.scanning:
            return "The data is being scanned."
        unread = [name for name in to_upload(given) if name not in self.state.reports]
        return NOT_SCANNED if unread else ""

    def start(self) -> None:
        """Ask; what is asked already goes on."""
        state = self.state
        if self.task.is_busy:
            return
        given, _ = parse(state.values)
        reports = dict(state.reports)
        self._question = PriceQuestion(
            given,
            reports,
            key=state.key.typed,
            told=lambda share, what: self.task.progress(round(100 * share), 100, what),
        )
        self.task.start(
            WHAT, self._question.ask, lambda found: self._answered(given, reports, found)
        )

    def end(self) -> None:
        """Cancel what goes on."""
        if self._question is not None:
            self._question.cancel()
            self.cancel.disabled = self.task.is_busy
            if self.task.is_busy:
                set_html(self.task.said, escaped(CANCELLING))

    def _answered(self, given: JobSpec, reports: Reports, found: ServiceEstimate | None) -> str:
        """The line under the button."""
        if found is None:
            return CANCELLED
        scanned = checksums(given, reports)
        if changed := [n for n, known in found.checksums.items() if known != scanned.get(n)]:
            return escaped(_has_changed([getattr(given, name) for name in changed]))
        self.state.learn(question(given, reports), tuned(given), found)
        if self.state.answer is None:
            return escaped(CHANGED)
        self._about = ""
        return self._answer_html(parse(self.state.values)[0], self.state.answer)

    def _answer_html(self, given: JobSpec, found: ServiceEstimate) -> str:
        """The answer, and what is to be said of the job as it stands by now."""
        beside = beside_the_price(given, self.state.info.hosted, self.state.reports)
        issues = replace(found, issues=tuple(beside)).told()
        lines = "".join(f"<div>{issue_html(issue)}</div>" for issue in issues)
        return f"{escaped(found.in_words(self.state.table_price))}{lines}"


def _hinders(wrong: Issue) -> bool:
    """Whether what is wrong with a value leaves open what the price would be of."""
    return wrong.where in PRICED or wrong.code == "unknown_field"


def _has_changed(files: list[str]) -> str:
    names = " and ".join(Path(file).name for file in files)
    return (
        f"{names}: changed since the scan; a price is for what was scanned. Scan again, then ask "
        "again."
    )


def _what_it_does(given: JobSpec) -> str:
    """ "Uploads train.jsonl, 2.1 MiB, to Together; nothing is started and nothing is billed." """
    files = [_with_size(path) for path in to_upload(given).values()]
    if not files:
        return f"Asks Together for its own price; {NOTHING_STARTS}."
    stay = "it stays" if len(files) == 1 else "they stay"
    return (
        f"Uploads {' and '.join(files)} to {_where()}, where {stay}, and asks for its price; "
        f"{NOTHING_STARTS}."
    )


def _with_size(path: Path) -> str:
    return f"{path.name} ({bytes_in_words(path.stat().st_size)})"


def _where() -> str:
    """Together, and its address where that is not the service's own."""
    try:
        own = address()
    except FtlabError:
        return "Together"  # what is wrong with the address is told when one asks
    return "Together" if own == SERVICE else f"Together at {own}"
