"""The Try panel: base and tuned model on the same prompt, next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.answers import Comparison, ask
from ftlab.data.rows import Rows, split
from ftlab.html import escaped
from ftlab.spec import JobSpec, filled
from ftlab.ui.guard import guarded
from ftlab.ui.pump import PUMP
from ftlab.ui.scores_box import ScoresBox
from ftlab.ui.state import State


class TryPanel(widgets.VBox):
    """A prompt, and two answers from the process that holds the models."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.prompt = widgets.Textarea(
            description="prompt", placeholder="Ask something", rows=3, continuous_update=True
        )
        self.prompt.add_class("ft-prompt")
        self.ask = widgets.Button(description="Ask", button_style="primary")
        self.next_row = widgets.Button(description="Next validation row")
        self.reason = widgets.HTML()
        self.answers = widgets.HTML()
        buttons = widgets.HBox([self.ask, self.next_row]).add_class("ft-row")
        self.scores = ScoresBox(state)
        super().__init__([self.prompt, buttons, self.reason, self.answers, self.scores])
        self.add_class("ft-panel")
        self._waiting = ""
        self._place = 0
        self._reference = ""
        self.ask.on_click(guarded(state.tell, self._ask))
        self.next_row.on_click(guarded(state.tell, self._next))
        self.prompt.observe(guarded(state.tell, lambda _: self.refresh()), "value")
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["beat", "selected"])
        self.refresh()

    def refresh(self) -> None:
        """Say why there is nothing to ask yet, if so."""
        reason = self._waiting or self._why_not()
        self.ask.disabled = bool(reason)
        self.next_row.disabled = not self._has_validation()
        shown = f'<span class="ft-dim">{escaped(reason)}</span>' if reason else ""
        if self.reason.value != shown:
            self.reason.value = shown

    def _why_not(self) -> str:
        run = self.state.run
        if run is None:
            return "There is no run yet; a tuned model comes from one. Start one in the Job tab."
        if not run.adapter.exists():
            return "The run has no adapter yet; it is saved at the end. Wait, or stop the run."
        return "" if self.prompt.value.strip() else "Type a prompt."

    def _has_validation(self) -> bool:
        spec = None if self.state.run is None else self.state.run.job.spec
        return spec is not None and bool(spec.validation_file or spec.validation_split)

    def _validation_rows(self, spec: JobSpec) -> tuple[Rows, Sequence[int]]:
        """The rows of a file, and the places of those that the run is measured on."""
        if spec.validation_file:
            rows = Rows(Path(spec.validation_file))
            return rows, range(len(rows))
        rows = Rows(Path(filled(spec.training_file, "training_file")))
        return rows, split(rows, filled(spec.validation_split, "validation_split"))[1]

    def _next(self, _: Any) -> None:
        if self.state.run is None:
            return
        rows, places = self._validation_rows(self.state.run.job.spec)
        if not places:
            self.state.tell("tip", "No row was held back, so there is none to ask. Type a prompt.")
            return
        row = rows[places[self._place % len(places)]]
        self._place += 1
        found = question_and_answer(row)
        if found is None:
            self.state.tell("tip", "The row has no question and answer. Type a prompt.")
            return
        self.prompt.value, self._reference = found

    def _ask(self, _: Any) -> None:
        run, prompt = self.state.run, self.prompt.value
        if run is None:
            return
        self._wait("Asking.")
        PUMP.work(
            lambda: ask(run, prompt, told=self._told),
            self._answered,
            self._failed,
        )

    def _told(self, text: str) -> None:
        if text != self._waiting:
            PUMP.post(lambda: self._wait(text), self.state.tell)

    def _wait(self, text: str) -> None:
        if text != self._waiting:
            self._waiting = text
            self.refresh()

    def _answered(self, found: Comparison) -> None:
        self._wait("")
        parts = [("base", "base", found.base), ("tuned", "tuned", found.tuned)]
        if self._reference and found.prompt == self.prompt.value:
            parts.append(("reference", "reference", self._reference))
        cells = "".join(
            f'<div class="ft-answer {kind}"><h4>{title}</h4>{escaped(text)}</div>'
            for kind, title, text in parts
        )
        self.answers.value = f'<div class="ft-answers">{cells}</div>'
        self._reference = ""

    def _failed(self, level: str, text: str) -> None:
        self._wait("")
        self.state.tell(level, text)


def question_and_answer(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The last question of a row and the answer to it, the preferred one of two; None where the row
    has none."""
    if preferred := row.get("preferred_output"):
        messages = [*row["input"]["messages"], *preferred]
    else:
        messages = row.get("messages", [])
    if len(messages) >= 2:
        return str(messages[-2]["content"]), str(messages[-1]["content"])
    if "completion" in row:
        return str(row.get("prompt", "")), str(row["completion"])
    return None
