"""What a run answered to its sample prompts as it learned: at first, and at a step of choice."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.events import Sample
from ftlab.html import escaped
from ftlab.run import Run
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

PROMPT_SHOWN = 70  # characters in the list of prompts
NOT_ASKED = (
    "This run answers no prompts on its way. To see answers change as a model learns, give the "
    "next run sample_prompts (Job tab, Evaluation and checkpoints)."
)
HOSTED = "The service answers no prompts on its way; the Try tab asks the result."
NOT_YET = "The first answers come before the first step."
Answers = dict[str, dict[int, str]]
"""Prompt → step → text."""


class SamplesBox(widgets.VBox):
    """One prompt at a time. The newest answers are followed until a person chooses a step."""

    def __init__(self, state: State) -> None:
        self.state = state
        head = widgets.HTML("Samples").add_class("ft-group")
        self.empty = widgets.HTML().add_class("ft-dim")
        self.prompt = widgets.Dropdown(description="prompt", options=[])
        self.step = widgets.SelectionSlider(
            description="step", options=[0], continuous_update=True, readout=True
        )
        self.bar = widgets.HBox([self.prompt, self.step]).add_class("ft-samples")
        self.view = widgets.HTML()
        super().__init__([head, self.empty, self.bar, self.view])
        self.add_class("ft-box")
        self._known: Answers = {}
        self._is_filling = False
        tell = state.tell
        self.prompt.observe(guarded(tell, lambda _: self._chosen()), "value")
        self.step.observe(guarded(tell, lambda _: self._chosen()), "value")
        state.observe(guarded(tell, lambda _: self.refresh()), "beat")
        self.refresh()

    def refresh(self) -> None:
        """Show what the selected run has answered until now."""
        run = self.state.run
        show(self, visible=run is not None)
        if run is None:
            return
        known = answers_of(run.history.samples)
        for part in (self.bar, self.view):
            show(part, visible=bool(known))
        show(self.empty, visible=not known)
        set_html(self.empty, "" if known else escaped(why_none(run)))
        if known and known != self._known:
            self._known = known
            self._fill()
            self._draw()

    def _fill(self) -> None:
        """Offer what is there now; what was chosen stays where it is there still."""
        options = [(_begins(prompt), prompt) for prompt in self._known]
        self._is_filling = True
        try:
            if list(self.prompt.options) != options:
                kept = self.prompt.value
                self.prompt.options = options
                self.prompt.value = kept if kept in self._known else options[0][1]
            self._fill_steps()
        finally:
            self._is_filling = False

    def _fill_steps(self) -> None:
        steps, before = list(self._known[str(self.prompt.value)]), list(self.step.options)
        follows = self.step.value in (None, before[-1]) or self.step.value not in steps
        kept = steps[-1] if follows else self.step.value
        if before != steps:
            self.step.options = steps
        self.step.value = kept
        show(self.step, visible=len(steps) > 1)

    def _chosen(self) -> None:
        if not self._is_filling and self._known:
            self._fill()
            self._draw()

    def _draw(self) -> None:
        set_html(self.view, answers_html(self._known[str(self.prompt.value)], self.step.value))


def answers_of(samples: list[Sample]) -> Answers:
    """By prompt and step, the steps rising; of two answers at one step the newer."""
    found: Answers = {}
    for sample in samples:
        found.setdefault(sample.prompt, {})[sample.step] = sample.text
    return {prompt: dict(sorted(texts.items())) for prompt, texts in found.items()}


def why_none(run: Run) -> str:
    """Why there is no answer."""
    if run.job.provider != "local":
        return HOSTED
    return NOT_YET if run.job.spec.sample_prompts and not run.state.ended else NOT_ASKED


def answers_html(texts: dict[int, str], step: int) -> str:
    """The first answer, beside it the one at a step, and all of them under it."""
    first = next(iter(texts))
    shown = dict.fromkeys((first, step))
    cells = "".join(_cell(at, texts[at], "base" if at == first else "tuned") for at in shown)
    return f'<div class="ft-answers">{cells}</div>{history_html(texts)}'


def history_html(texts: dict[int, str]) -> str:
    """All answers from the first on, one click away; those that stayed the same stand once."""
    if len(texts) < 3:
        return ""
    rows = "".join(
        f'<div class="ft-past"><b>{_steps(steps)}</b><span>{_said(text)}</span></div>'
        for steps, text in stretches(texts)
    )
    title = f"all {len(texts)} answers to this prompt"
    return f'<details class="ft-history"><summary>{title}</summary>{rows}</details>'


def stretches(texts: dict[int, str]) -> list[tuple[list[int], str]]:
    """Steps in a row with the same answer, and that answer."""
    found: list[tuple[list[int], str]] = []
    for step, text in texts.items():
        if found and found[-1][1] == text:
            found[-1][0].append(step)
        else:
            found.append(([step], text))
    return found


def _steps(steps: list[int]) -> str:
    if len(steps) == 1:
        return f"step {steps[0]:,}"
    return f"steps {steps[0]:,} to {steps[-1]:,}"


def _said(text: str) -> str:
    return escaped(text) if text.strip() else '<span class="ft-dim">(nothing)</span>'


def _cell(step: int, text: str, kind: str) -> str:
    title = f"step {step:,}" if step else "before the first step"
    return f'<div class="ft-answer {kind}"><h4>{title}</h4>{_said(text)}</div>'


def _begins(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= PROMPT_SHOWN else f"{line[: PROMPT_SHOWN - 1]}…"
