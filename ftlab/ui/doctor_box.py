"""What the curve of the selected run means, and the buttons that do what is advised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ipywidgets as widgets

from ftlab.diagnosis import Advice, Diagnosis, Finding, Watch, curve_of_run
from ftlab.diagnosis.shown import in_words
from ftlab.html import escaped, short
from ftlab.issues import SHAPES
from ftlab.run import Run
from ftlab.spec import with_fix
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import changes_label
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

OTHERS_SHOWN = 3
FALLING, FELL = "Falling as it should. Nothing to do.", "It fell as it should. Nothing to do."
TAKEN = "The form has {} now; Train starts a new run with it, and Undo takes it back."
OF_THE_RUN = (
    "The form holds the job of this run with {}; Train starts a new run with it, and Undo goes "
    "back to what was there."
)


class DoctorBox(widgets.VBox):
    """Looks at the selected run as it grows, off the kernel's thread: a long curve takes a while.
    What it says changes only when two looks agree."""

    def __init__(self, state: State) -> None:
        self.state = state
        head = widgets.HTML("The doctor").add_class("ft-group")
        self.verdict = widgets.HTML()
        self.findings = widgets.VBox()
        super().__init__([head, self.verdict, self.findings])
        self.add_class("ft-box").add_class("ft-doctor")
        self._watch, self._run_id = Watch(), ""
        self._read: Run | None = None
        self._seen: tuple[Any, ...] = ()
        self._shown: Diagnosis | None = None
        self._is_busy = False
        state.observe(guarded(state.tell, lambda _: self.refresh()), "beat")
        self.refresh()

    def refresh(self) -> None:
        """Look again where there is something new to see."""
        run = self.state.run
        show(self, visible=run is not None and bool(run.history.series))
        if run is None or self._is_busy:
            return
        if run.id != self._run_id:
            self._watch, self._run_id, self._shown = Watch(), run.id, None
            # An object of its own: the history of the other grows on the kernel's thread.
            self._read = Run(run.path)
        seen = (run.id, run.history.last_step, run.state)
        if seen != self._seen:
            self._seen, self._is_busy = seen, True
            watch, read = self._watch, self._read or run
            PUMP.work(lambda: watch.add(curve_of_run(read)), self._found, self._failed)

    def _found(self, found: Diagnosis) -> None:
        try:
            self._show(found)
        finally:
            self._is_busy = False
        self.refresh()  # something may have come meanwhile

    def _show(self, found: Diagnosis) -> None:
        run = self.state.run
        if run is None or run.id != self._run_id:
            return
        set_html(self.verdict, verdict_html(found, run))
        if found != self._shown:
            self._shown = found
            self.findings.children = [*self._views(found)]

    def _failed(self, level: str, text: str) -> None:
        self._is_busy = False
        self.state.tell(level, text)

    def _views(self, found: Diagnosis) -> Iterator[widgets.Widget]:
        """The advice of the verdict, what else it may be, and the experiment that comes next."""
        said = set[str]()
        if found.is_decided:
            yield from self._advice(found.advice, said)
        for other in found.secondary[:OTHERS_SHOWN]:
            yield widgets.HTML(finding_html(other))
            yield from self._advice(other.advice[:1], said)
        if (following := found.next_experiment) is not None and following.text not in said:
            yield widgets.HTML('<div class="ft-group">Worth trying next</div>')
            yield from self._advice([following], said)

    def _advice(self, some: Iterable[Advice], said: set[str]) -> Iterator[widgets.Widget]:
        """One line for each, with a button where it changes the form; nothing is said twice."""
        for advice in some:
            if advice.text in said:
                continue
            said.add(advice.text)
            parts: list[widgets.Widget] = [widgets.HTML(advice_html(advice))]
            if advice.changes:
                button = widgets.Button(description=changes_label(advice.changes))
                button.tooltip = "Put this into the form"
                take = guarded(self.state.tell, lambda _, c=advice.changes: self._take(c))
                button.on_click(take)
                parts.append(button.add_class("ft-fix"))
            yield widgets.VBox(parts).add_class("ft-advised")

    def _take(self, changes: Mapping[str, Any]) -> None:
        """Put advice into the form: into what stands there, if it is this run's job at all."""
        state, run = self.state, self.state.run
        if run is None:
            return
        given = given_of(run)
        is_same = all(state.values.get(n) == given.get(n) for n in ("model", "training_file"))
        if is_same:
            state.update(changes)
        else:
            state.replace(with_fix(given, changes))
        state.tab = "job"
        state.tell("tip", (TAKEN if is_same else OF_THE_RUN).format(changes_label(changes)))


def given_of(run: Run) -> dict[str, Any]:
    """The fields of its job that somebody gave, without those that were filled in."""
    given = run.job.spec.model_dump(exclude_unset=True)
    return {name: value for name, value in given.items() if name not in run.job.reasons}


def verdict_html(found: Diagnosis, run: Run) -> str:
    """What comes first, in words, and the newest validation loss."""
    loss = run.history.latest("eval_loss")
    validation = "" if loss is None else f'<div class="ft-dim">Validation {short(loss)}.</div>'
    if not found.is_decided:
        short_of = "Too short for a verdict: it" if run.state.ended else "No verdict yet: it"
        return f"<div>{short_of} needs {escaped(found.needs)}.</div>{validation}"
    if found.label == "good":
        text = FELL if run.state.ended else FALLING
        said = f'<div role="status"><span class="ft-good">✓</span> {text}</div>'
        return said + validation + _evidence(found.first)
    return finding_html(found.first, level="warning") + validation


def finding_html(finding: Finding, level: str = "tip") -> str:
    """What it is, how sure that is, what it means and what shows it."""
    title = f"{finding.title.capitalize()}"
    return (
        f'<div class="ft-finding" role="status"><span class="ft-{level}">{SHAPES[level]}</span> '
        f"<b>{escaped(title)}</b> "
        f'<span class="ft-dim">{finding.confidence:.0%} sure</span>'
        f"<div>{escaped(finding.meaning)}</div>{_evidence(finding)}</div>"
    )


def _evidence(finding: Finding) -> str:
    if not finding.evidence:
        return ""
    shown = escaped(in_words(finding.evidence))
    return f'<details class="ft-dim"><summary>what shows it</summary>{shown}</details>'


def advice_html(advice: Advice) -> str:
    basis = " · ".join(filter(None, (advice.source, advice.cost)))
    return f'<div>→ {escaped(advice.text)} <span class="ft-dim">{escaped(basis)}</span></div>'
