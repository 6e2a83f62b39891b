"""Scores of the selected run: base against tuned, how sure that is, and the rows that changed."""

from __future__ import annotations

import threading
import time
from typing import Any

import ipywidgets as widgets

from ftlab.html import counted, escaped
from ftlab.run import Run
from ftlab.scores import score
from ftlab.scores.pace import expected_seconds
from ftlab.scores.scoring import MAX_ROWS, kept_scores
from ftlab.scores.sheet import kept_sheets
from ftlab.ui.guard import guarded
from ftlab.ui.pump import PUMP
from ftlab.ui.scored_rows import Known, ScoredRows
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task
from ftlab.units import duration

TOOLTIP = "Base and tuned model on these rows; a judge and lm-eval by `ftlab score` in a terminal"
SHOTS = 4
NO_RUN = "There is no run yet; scores are of a run's models. Start one in the Job tab."
NO_ROWS = (
    "The run has no validation rows; scores are of rows that it did not train on. Give a file."
)
UNKNOWN = "how long it takes shows once it has begun"


class ScoresBox(widgets.VBox):
    """Scores on a thread of its own; what was found before is shown at once."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.file = widgets.Text(
            description="rows of", placeholder="its validation rows, or a file"
        )
        self.max_rows = widgets.BoundedIntText(
            MAX_ROWS, min=1, max=1_000_000, description="at most"
        )
        self.shots = widgets.Checkbox(
            value=False, description=f"base with {SHOTS} examples", indent=False
        )
        self.shots.tooltip = "Would a few examples in the prompt have done it?"
        self.checkpoints = _tick("checkpoints")
        self.score = widgets.Button(description="Score", tooltip=TOOLTIP)
        self.cancel = widgets.Button(description="Cancel")
        self.why = widgets.HTML().add_class("ft-dim")
        self.before = widgets.Dropdown(description="scored")
        self.summary = widgets.HTML().add_class("ft-scroll")
        self.rows = ScoredRows(state)
        self.task = Task(state, self._refresh)
        asked = [self.file, self.max_rows, self.shots, self.checkpoints, self.score, self.cancel]
        head = widgets.HTML("Scores").add_class("ft-group")
        bar = widgets.HBox(asked).add_class("ft-buttons").add_class("ft-score-bar")
        super().__init__(
            [head, bar, self.why, self.task.said, self.before, self.summary, self.rows]
        )
        self._given_up = threading.Event()
        self._known: list[Known] = []
        self._read: Any = None
        self._began = 0.0
        self._listen()
        self._refresh()

    def _listen(self) -> None:
        tell = self.state.tell
        self.score.on_click(guarded(tell, lambda _: self._start()))
        self.cancel.on_click(guarded(tell, lambda _: self._stop()))
        for field in (self.file, self.max_rows, self.shots, self.checkpoints):
            field.observe(guarded(tell, lambda _: self._refresh()), "value")
        self.before.observe(guarded(tell, lambda _: self._show_chosen()), "value")
        self.state.observe(guarded(tell, lambda _: self._refresh()), ["beat", "selected", "tab"])

    # --- what can be asked -------------------------------------------------------------------

    def _refresh(self) -> None:
        if self.state.tab != "try" and self._read is not None:
            return
        why = self._why_not()
        busy = self.task.is_busy
        self.score.disabled = bool(why) or busy
        show(self.cancel, visible=busy)
        set_html(self.why, "" if busy else escaped(why or self._how_long()))
        self._look()

    def _why_not(self) -> str:
        run = self.state.run
        if run is None:
            return NO_RUN
        if not run.adapter.exists() and not (self.checkpoints.value and run.has_checkpoint):
            return run.why_nothing_tuned
        spec = run.job.spec
        if not (self.file.value.strip() or spec.validation_file or spec.validation_split):
            return NO_ROWS
        return ""

    def _how_long(self) -> str:
        run = self.state.run
        assert run is not None
        n_columns = 2 + self.shots.value + self.checkpoints.value * len(run.steps_on_disk)
        columns = counted(n_columns, "model") if n_columns > 2 else "base and tuned"
        seconds = expected_seconds(run, self.max_rows.value, n_columns)
        takes = UNKNOWN if seconds is None else f"at most about {duration(seconds)}"
        return f"{columns}: {takes}"

    # --- scoring -----------------------------------------------------------------------------

    def _start(self) -> None:
        run = self.state.run
        if run is None or self._why_not():
            return
        self._given_up.clear()
        self._began = time.monotonic()
        options = {
            "file": self.file.value.strip() or None,
            "max_rows": self.max_rows.value,
            "shots": SHOTS if self.shots.value else 0,
            "checkpoints": self.checkpoints.value,
        }
        self.task.start("Scoring", lambda: self._scored(run, options), self._take)

    def _scored(self, run: Run, options: dict[str, Any]) -> tuple[Run, Known]:
        found = score(
            run,
            **options,
            told=lambda text: self.task.progress(0, 1, text),
            progress=self._progress,
            given_up=self._given_up.is_set,
        )
        return run, Known.of(found)

    def _progress(self, done: int, of: int, what: str) -> None:
        left = ""
        if done:
            seconds = (time.monotonic() - self._began) / done * (of - done)
            left = f", {duration(seconds)} left"
        self.task.progress(done, of, f"{what}{left}")

    def _stop(self) -> None:
        self._given_up.set()
        self.cancel.disabled = True

    def _take(self, found: tuple[Run, Known]) -> str:
        run, known = found
        self.cancel.disabled = False
        self._read = None
        self._look()
        stopped = "".join(f'<span class="ft-dim">{escaped(t)}</span>' for t in known.scores.notes)
        if self.state.run is None or run.id != self.state.run.id:
            self.state.tell("tip", f"{run.name or run.id} is scored: select it to see its scores.")
        return stopped

    # --- what was found ----------------------------------------------------------------------

    def _look(self) -> None:
        """Read what is kept of the run, off this thread, where that has changed."""
        run = self.state.run
        files = [] if run is None else kept_sheets(run.score_folder)
        stamp = (None if run is None else run.id, [f.stat().st_mtime_ns for f in files])
        if stamp == self._read or self.task.is_busy:
            return
        self._read = stamp
        if run is None or not files:
            self._show([])
            return
        read = lambda: [Known.of(one) for one in kept_scores(run)]  # noqa: E731
        PUMP.work(read, lambda known: self._taken(stamp, known), self.state.tell)

    def _taken(self, stamp: Any, known: list[Known]) -> None:
        if stamp == self._read:  # another run may be selected by now
            self._show(known)

    def _show(self, known: list[Known]) -> None:
        self._known = known
        self.before.options = [(one.title, place) for place, one in enumerate(known)]
        self.before.index = 0 if known else None
        show(self.before, visible=len(known) > 1)
        self._show_chosen()

    def _show_chosen(self) -> None:
        chosen = self._chosen
        set_html(self.summary, "" if chosen is None else chosen.html)
        self.rows.show(chosen)

    @property
    def _chosen(self) -> Known | None:
        place = self.before.value
        return self._known[place] if place is not None and place < len(self._known) else None


def _tick(text: str) -> widgets.Checkbox:
    return widgets.Checkbox(value=False, description=text, indent=False)
