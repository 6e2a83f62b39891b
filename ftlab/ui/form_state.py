"""FormState: what was given for a job, and all that follows from it.

Every change goes one way: `set()` → `check` → traits change → panels repaint. Invalid input
stays in `values`; nothing typed is lost, not even with the kernel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Dict, HasTraits, Int, Tuple, Unicode

from ftlab.advice import recommend
from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.issues import Issue, errors_for
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.model_hub import look_up
from ftlab.models import MODEL_NOT_HERE
from ftlab.origin import started
from ftlab.prices import Price
from ftlab.providers import PROVIDERS, get_provider, model_of, option_issues
from ftlab.providers.together.asked import tuned
from ftlab.providers.together.quoted import limits_now
from ftlab.rules import resolve
from ftlab.runs import Runs
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse, with_fix
from ftlab.ui.draft import PROVIDER, read_draft, write_draft
from ftlab.ui.held_key import HeldKey
from ftlab.ui.history import History, Moment
from ftlab.ui.knobs import NOT_GIVEN, OPTIONS, takes_none
from ftlab.ui.pump import PUMP
from ftlab.ui.service_answers import ServiceAnswers
from ftlab.ui.tips import Tips

TIP_DELAY = 0.6  # seconds without typing before tips are looked for: half a number is no change


class FormState(HasTraits):
    """What stands in the form. Change it by its methods; read and observe its traits."""

    values = Dict(help="what was given for the spec's fields, valid or not")
    options = Dict(help="what was given for the provider's own options, valid or not")
    typed = AnyTrait(frozenset(), help="fields that a person typed, or gave in code")
    spec = AnyTrait(help="JobSpec, None while there are errors")
    issues = Tuple(help="every issue of the spec for the chosen engine")
    tips = Tuple(help="issues with a fix: what the last changes entail in other fields")
    resolved = AnyTrait(help="Resolved: what the values become when the rest is filled in")
    recommended = Dict(help="field → Recommendation")
    estimate = AnyTrait(help="Estimate, with the hosted service's own price where it gave one")
    answer = AnyTrait(help="ServiceEstimate of this very job; None where there is none")
    reports = Dict(help="field of a data file → its DataReport")
    checked = Int(help="counts up when any of the above was looked at anew")
    provider = Unicode("local", help="where the job is to run")
    message = Tuple(("", ""), help="(level, text) of the last message")

    def __init__(self, folder: Path | str | None = None, provider: str = "local") -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.folder = Runs(folder)
        self.provider = provider
        self.where = get_provider(provider)
        self.info = ModelInfo(name="")
        """What is known of the chosen model."""
        self.answers = ServiceAnswers()
        self.key = HeldKey(self.tell)
        self.history = History()
        self._moment = Moment()
        self._tips_due: float | None = None
        self._asked_for: set[str] = set()
        self._asked_limits: set[str] = set()
        self.key.observe(self._look_soon, "news")
        self._refresh()

    def choose(self, provider: str) -> None:
        """Take another place for the job to run; what stands in the form stays."""
        where = get_provider(provider)
        with self.lock, self.hold_trait_notifications():
            if provider != self.provider:
                self.provider, self.where = provider, where
                self._save_draft()
                self._refresh()
                self._look_soon(provider)

    @property
    def own_options(self) -> dict[str, Any]:
        """Of the options that were given, those of the provider."""
        return {n: v for n, v in self.options.items() if n in self.where.options.model_fields}

    # --- what was given ----------------------------------------------------------------------

    def given(self, name: str) -> Any:
        """What was given for a field, valid or not; NOT_GIVEN where it was left out."""
        return self._moment.entries.get(name, NOT_GIVEN)

    def set(self, name: str, value: Any) -> None:
        """Take what was typed into a field; NOT_GIVEN leaves it out, and so does None, except where
        None is a value of its own."""
        with self.lock:
            entries = {n: v for n, v in self._moment.entries.items() if n != name}
            if value is not NOT_GIVEN and (value is not None or takes_none(name)):
                entries[name] = value
            self._take(entries, typed={name}, by_key=True)

    def update(self, changes: Mapping[str, Any], *, typed: bool = True) -> None:
        """Take several values at once; None leaves a field out. `typed` are a person's own."""
        with self.lock:
            self._take(with_fix(self._moment.entries, changes), typed=changes if typed else ())

    def replace(self, values: JobSpec | Mapping[str, Any]) -> None:
        """Take these values for the whole spec; what they don't name is left out."""
        with self.lock:
            options = {n: v for n, v in self._moment.entries.items() if n in OPTIONS}
            given = _as_values(values)
            self._take({**options, **given}, typed=given)

    def _take(
        self, entries: Mapping[str, Any], typed: Iterable[str], *, by_key: bool = False
    ) -> None:
        """The one way in which something new comes to stand in the form."""
        with self.lock:
            before = self._moment
            changed = replace(before, entries=dict(entries)).changed(before)
            if not changed:
                return
            mine = (before.typed - changed | changed & {*typed}) & entries.keys()
            after = replace(before, entries=entries, typed=mine)
            self.history.record(before, after, by_key=by_key)
            self._show(after)
            self._tips_due = time.monotonic() + TIP_DELAY

    def _show(self, moment: Moment) -> None:
        before, self._moment = self._moment, moment
        self._save_draft()  # first of all: what follows may go wrong
        with self.hold_trait_notifications():
            self.values = {n: v for n, v in moment.entries.items() if n not in OPTIONS}
            self.options = {n: v for n, v in moment.entries.items() if n in OPTIONS}
            self.typed = moment.typed
            self._refresh()
        self._entries_changed(moment.changed(before))

    def _entries_changed(self, names: set[str]) -> None:
        """For what follows from them later."""

    def new_errors(self, changes: Mapping[str, Any]) -> list[Issue]:
        """What would keep a job from starting after these changes, and does not now."""
        values = with_fix(self.values, changes)
        found = self.answers.examine(values, self.where, self.info, self.reports)
        return [i for i in errors_for(found, self.where.engine) if i not in self.issues]

    def undo(self) -> None:
        """Go back by one step; nothing happens where there is none."""
        with self.lock:
            if self.history.can_undo:
                self._go_to(self.history.undo(self._moment))

    def redo(self) -> None:
        """Take an undo back."""
        with self.lock:
            if self.history.can_redo:
                self._go_to(self.history.redo(self._moment))

    def _go_to(self, moment: Moment) -> None:
        self._show(moment)
        self._find_tips()

    # --- tips --------------------------------------------------------------------------------

    def apply(self, issue: Issue) -> None:
        """Apply an issue's fix to the values."""
        if isinstance(issue.fix, dict):
            with self.lock:
                self.update(issue.fix)
                if issue in self.tips:
                    self.wave_off(issue)

    def settle(self) -> None:
        """Let changes count from here: tips are about what a person changes after this."""
        with self.lock:
            self._moment = replace(self._moment, tips=Tips(self.values))
            self._find_tips()

    def wave_off(self, tip: Issue) -> None:
        """Show a tip no more."""
        with self.lock:
            others = self._moment.tips.without(tip, self.tips, self.values)
            self._moment = replace(self._moment, tips=others)
            self._find_tips()

    def _find_tips(self) -> None:
        self._tips_due = None
        report = self.report_of("training_file")
        found = self._moment.tips.found(self.values, report, self.info)
        if found != self.tips:
            with self.hold_trait_notifications():
                self.tips = found
                self.checked += 1

    def _ask_hub(self) -> None:
        """Ask for the size of a model that is not here, and for all else that is not known of it;
        the figures appear when the hub has answered."""
        name, is_known = self.info.name, self.info.n_params is not None
        is_there = any(issue.code == MODEL_NOT_HERE for issue in self.issues)
        if is_there and self.info.n_bytes is None and name not in self._asked_for:
            self._asked_for.add(name)
            PUMP.work(
                lambda: look_up(name),
                lambda _: self._learned(name),
                lambda level, text: None if is_known else self.tell("tip", text),
            )

    def _look_soon(self, _: object) -> None:
        self._tips_due = time.monotonic()

    def _ask_service(self) -> None:
        """Ask the hosted service what it takes for its model, once for each; what it says comes
        before the catalogue from then on."""
        if self.where.engine != "together" or not self.key.is_here:
            return
        given, _ = parse(self.values)
        name, key = tuned(given), self.key.typed
        if name in self._asked_limits:
            return
        self._asked_limits.add(name)
        PUMP.work(
            lambda: limits_now(given, key),
            lambda found: self._limits_said(name, found),
            lambda level, text: self.tell("warning", text),
        )

    def _limits_said(self, name: str, found: Limits | None) -> None:
        with self.lock:
            self.answers.learn_limits(name, found)
            if found is not None:
                self._refresh()

    def _learned(self, name: str) -> None:
        if self.info.name == name:
            self.look_again()

    def tick(self) -> None:
        """Look after what was changed a moment ago."""
        with self.lock:
            is_due = self._tips_due is not None and time.monotonic() > self._tips_due
            if is_due and not self.estimate.incomplete:  # half a value is no change either
                self._find_tips()
                self._ask_hub()
            if is_due:
                self._ask_service()

    # --- what follows ------------------------------------------------------------------------

    def draft(self) -> dict[str, Any]:
        """What was typed before the kernel went; empty when there is nothing to read."""
        return {n: v for n, v in read_draft(self.folder.folder).items() if n != PROVIDER}

    def drafted_provider(self) -> str:
        """Where the job was to run before the kernel went."""
        found = read_draft(self.folder.folder).get(PROVIDER)
        return found if found in PROVIDERS else "local"

    def _save_draft(self) -> None:
        """What is typed outlives the kernel. A folder that can't be written costs only that."""
        try:
            write_draft(self.folder.folder, self._moment.entries, self.provider)
        except OSError as exc:
            self.tell("warning", f"What is typed can't be kept on disk ({exc}). Runs are not hurt.")

    @property
    def report(self) -> DataReport | None:
        """The scan of the training file."""
        return self.reports.get("training_file")

    def report_of(self, name: str) -> DataReport | None:
        """The scan of the file that is named there now, not of one that was named before."""
        report, file = self.reports.get(name), self.values.get(name)
        if report is None or not file:
            return None
        return report if Path(report.path) == Path(str(file)).expanduser() else None

    def _refresh(self) -> None:
        """All that follows from the values and the reports."""
        with self.hold_trait_notifications():
            engine, given = self.where.engine, parse(self.values)[0]
            self.info = info = self.answers.known(given, model_of(given)[0])
            validation = self.reports.get("validation_file")
            found = self.answers.examine(self.values, self.where, info, self.reports)
            found += option_issues(self.where, self.own_options, given)
            from_here = started(given).spec if engine == "local" else given
            self.resolved = resolve(from_here, self.report, info, engine)
            self.recommended = recommend(given, self.report, info, engine)
            self.issues = tuple(i for i in found if not i.blocks or engine in i.blocks)
            self.table = estimate(
                self.values, self.report, info, validation=validation, options=self.options
            )
            self.answer = self.answers.price_of(given, self.reports)
            self.estimate = self.answers.priced(self.table, given, self.answer)
            self.spec = None if errors_for(found, engine) else given
            self.checked += 1

    def look_again(self) -> None:
        """Find anew what follows, after something else than the values has changed."""
        with self.lock:
            self._refresh()

    def learn(self, asked: str, model: str, answer: ServiceEstimate) -> None:
        """Keep what the hosted service said of a job, and find anew what follows."""
        with self.lock:
            self.answers.learn(asked, model, answer)
            self._refresh()

    @property
    def table_price(self) -> Price:
        """The hosted price by the table of rates, whatever the service said."""
        return Price(*(self.table.price or (None, None)))

    def tell(self, level: str, text: str) -> None:
        """Show a message at the foot of the workbench."""
        self.message = (level, text)


def _as_values(spec: JobSpec | Mapping[str, Any]) -> dict[str, Any]:
    """What was given for a spec; a None that only says "left out" is left out."""
    given = spec.model_dump(exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec)
    return {name: v for name, v in given.items() if v is not None or takes_none(name)}
