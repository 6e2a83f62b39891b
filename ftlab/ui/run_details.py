"""What a person keeps of the run that is shown: its name, tags and notes, and its room on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from ftlab.errors import RunError
from ftlab.html import escaped
from ftlab.run import Run
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task
from ftlab.units import in_bytes
from ftlab.upkeep import Keep, Tidying, tidying, why_not_delete


class RunDetails(widgets.VBox):
    """Every change is written at once; what can't come back is asked for first."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.name = widgets.Text(description="name", continuous_update=False)
        self.tags = widgets.Text(
            description="tags", placeholder="parted by commas", continuous_update=False
        )
        self.notes = widgets.Textarea(description="notes", rows=2, continuous_update=False)
        self.notes.add_class("ft-whole")
        fields = widgets.VBox([self.name, self.tags, self.notes]).add_class("ft-run-details")
        self.resume = widgets.Button(description="Resume", tooltip="Go on in a new process")
        self.keep_best, self.keep_last, self.delete = (widgets.Button() for _ in range(3))
        self.delete.description = "Delete…"
        buttons = [self.resume, self.keep_best, self.keep_last, self.delete]
        self.asked = widgets.HTML()
        self.agree = widgets.Button(button_style="danger")
        self.refrain = widgets.Button(description="Keep it")
        self.question = widgets.HBox([self.asked, self.agree, self.refrain])
        self.question.add_class("ft-buttons").add_class("ft-question")
        self.task = Task(state, self.refresh)
        self.why = widgets.HTML().add_class("ft-dim")
        row = widgets.HBox(buttons).add_class("ft-buttons")
        super().__init__([fields, row, self.why, self.question, self.task.said])
        self._shown: Any = None
        self._agreed: Callable[[], Any] = lambda: None
        self._wire()
        self._ask_nothing()
        self.refresh()

    def _wire(self) -> None:
        tell = self.state.tell
        writes: dict[Any, Callable[[Run], None]] = {
            self.name: lambda run: run.rename(self.name.value),
            self.tags: lambda run: run.tag(*self.tags.value.split(",")),
            self.notes: lambda run: run.note(self.notes.value),
        }
        for field, say in writes.items():
            field.observe(guarded(tell, lambda _, say=say: self._write(say)), "value")
        self.resume.on_click(guarded(tell, lambda _: self._resume()))
        self.keep_best.on_click(guarded(tell, lambda _: self._ask_to_tidy("best")))
        self.keep_last.on_click(guarded(tell, lambda _: self._ask_to_tidy("last")))
        self.delete.on_click(guarded(tell, lambda _: self._ask_to_delete()))
        self.agree.on_click(guarded(tell, lambda _: self._go()))
        self.refrain.on_click(guarded(tell, lambda _: self._ask_nothing()))

    # --- what is shown -----------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is kept of the selected run."""
        run = self.state.run
        show(self, visible=run is not None)
        if run is None:
            return
        self._show_about(run)
        why_not = why_not_delete(run)
        busy = self.task.is_busy
        self.delete.disabled = bool(why_not) or busy
        show(self.resume, visible=run.status in ("paused", "failed") and not run.has_ended_there)
        self.resume.disabled = bool(run.why_not_resume) or busy
        self._offer_tidying(self.keep_best, run, "best")
        self._offer_tidying(self.keep_last, run, "last")
        set_html(self.why, escaped(why_not))

    def _offer_tidying(self, button: widgets.Button, run: Run, keep: Keep) -> None:
        """A run that can go on keeps both of them; then one button is enough."""
        plan = _plan(run, keep)
        twice = keep == "last" and plan is not None and plan == _plan(run, "best")
        show(button, visible=plan is not None and bool(plan.gone) and not twice)
        button.disabled = run.is_alive or self.task.is_busy
        if plan is not None:
            which = "best and the last" if len(plan.kept) > 1 else keep
            button.description = f"Keep only the {which} checkpoint: frees {in_bytes(plan.frees)}"

    def _show_about(self, run: Run) -> None:
        """What is on disk, where it has changed: what was typed and refused stays."""
        before, self._shown = self._shown, None  # what follows is not typed
        if before is None or before[0] != run.id:
            self._ask_nothing()
            set_html(self.task.said, "")
            before = run.id, (None, None, None)
        about = run.about
        texts = {self.name: about.name, self.notes: about.notes, self.tags: ", ".join(about.tags)}
        for (field, text), then, now in zip(texts.items(), before[1], about, strict=True):
            if then != now:
                field.value = text
        self._shown = run.id, about

    def _write(self, say: Callable[[Run], None]) -> None:
        """Keep what a person typed into one field; filling the fields in is no typing."""
        run = self.state.run
        if run is not None and self._shown is not None and run.id == self._shown[0]:
            say(run)
            self.state.looked += 1

    # --- what can't come back ----------------------------------------------------------------

    def _ask_to_delete(self) -> None:
        run = self.state.run
        if run is not None:
            frees = in_bytes(run.bytes_on_disk)
            text = f"Delete {run.name or run.id} for good? That frees {frees}."
            self._ask(text, "Delete", lambda: self._start(f"Deleting {run.id}", run.delete))

    def _ask_to_tidy(self, keep: Keep) -> None:
        run = self.state.run
        if run is not None:
            text = f"{tidying(run, keep).in_words().capitalize()}. Removed ones do not come back."
            tidy = partial(run.tidy, keep)
            self._ask(text, "Remove", partial(self._start, f"Tidying {run.id}", tidy))

    def _ask(self, text: str, verb: str, agreed: Callable[[], Any]) -> None:
        self._agreed = agreed
        set_html(self.asked, escaped(text))
        self.agree.description = verb
        show(self.question, visible=True)

    def _ask_nothing(self) -> None:
        self._agreed = lambda: None
        show(self.question, visible=False)

    def _go(self) -> None:
        agreed = self._agreed
        self._ask_nothing()
        agreed()

    def _start(self, what: str, remove: Callable[[], int]) -> None:
        self.task.start(what, remove, self._freed)

    def _freed(self, n_bytes: int) -> str:
        self.state.look()
        self.state.tell("tip", f"{in_bytes(n_bytes)} are free.")
        return ""

    def _resume(self) -> None:
        run = self.state.run
        if run is not None:
            run.resume()
            self.state.tell("tip", "The run goes on from its newest whole checkpoint.")
            self.state.look()


def _plan(run: Run, keep: Keep) -> Tidying | None:
    """What tidying would do; None where there is no such checkpoint."""
    try:
        return tidying(run, keep)
    except RunError:
        return None
