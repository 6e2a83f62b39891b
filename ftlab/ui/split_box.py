"""The button that takes validation rows out of the training file."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.data.splits import Split, split_file
from ftlab.html import escaped
from ftlab.ui.guard import guarded
from ftlab.ui.shown import problems_html, set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

SHARE = 0.05
FEWEST = 20  # rows; of fewer, a twentieth is nothing


class SplitBox(widgets.VBox):
    """Shown while the rows are right and nothing says what to validate with."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.split = widgets.Button(
            description=f"Split off {SHARE:.0%} for validation",
            tooltip="Write two files beside this one; copies of a row stay on one side",
        )
        self.task = Task(state, self.refresh)
        self._made: tuple[str, str] | None = None
        super().__init__([self.split, self.task.said])
        self.split.on_click(guarded(state.tell, lambda _: self._split()))
        state.observe(guarded(state.tell, lambda _: self.refresh()), ["reports", "values"])
        self.refresh()

    def refresh(self) -> None:
        """Offer the split where it makes sense."""
        report, values = self.state.report_of("training_file"), self.state.values
        offered = (
            report is not None
            and report.n_rows >= FEWEST
            and not report.n_bad_rows
            and report.accepted_by("local")
            and not values.get("validation_file")
            and not values.get("validation_split")
        )
        named = values.get("training_file"), values.get("validation_file")
        if self._made is not None and named != self._made:
            self._made = None
            set_html(self.task.said, "")
        self.split.disabled = self.task.is_busy
        show(self.split, visible=offered)
        show(self, visible=offered or self._made is not None or self.task.is_busy)

    def _split(self) -> None:
        report = self.state.report_of("training_file")
        if report is not None:
            path = report.path
            self.task.start("Splitting", lambda: split_file(path, SHARE), self._wrote)

    def _wrote(self, made: Split) -> str:
        self._made = str(made.train), str(made.validation)
        self.state.update({"training_file": self._made[0], "validation_file": self._made[1]})
        said = (
            f"<b>{made.n_train:,} rows to train, {made.n_validation:,} to validate.</b> "
            f"<code>{escaped(made.train)}</code> and <code>{escaped(made.validation)}</code>"
        )
        return said + problems_html(made.problems)
