"""What a person may do next with what a run has tuned: train it further, or with preferences."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.origin import going_on
from ftlab.run import Run
from ftlab.ui.guard import guarded
from ftlab.ui.shown import show
from ftlab.ui.state import State

ROWS = (
    *("training_file", "validation_file", "validation_split", "max_train_rows", "random_seed"),
    *("max_seq_length", "over_length", "train_on_inputs", "packing"),
)
"""Fields that say which rows train and how they are read."""
FURTHER = "The form holds a job that trains {} further, on the same rows; Undo goes back."
PREFERENCES = (
    "The form holds a job that goes on from {} with preferences. Choose a file whose rows have an "
    "input, a preferred and another output; Undo goes back."
)


class NextBox(widgets.HBox):
    """Shown for a run that has completed here."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.further = widgets.Button(
            description="Train further", tooltip="A new job that starts from what this run tuned"
        )
        self.preferences = widgets.Button(
            description="Go on with preferences",
            tooltip="A new DPO job that starts from what this run tuned",
        )
        super().__init__([self.further, self.preferences])
        self.add_class("ft-row")
        tell = state.tell
        self.further.on_click(guarded(tell, lambda _: self._train_further()))
        self.preferences.on_click(guarded(tell, lambda _: self._prefer()))
        state.observe(guarded(tell, lambda _: self.refresh()), ["beat", "selected"])
        self.refresh()

    def refresh(self) -> None:
        """Offer what the selected run is good for."""
        run = self.state.run
        done = run is not None and run.status == "completed" and run.adapter.exists()
        show(self, visible=done)
        if done and run is not None:
            show(self.preferences, visible=run.job.spec.training_method == "sft")

    def _train_further(self) -> None:
        run = self._run
        spec = run.job.spec
        same = {name: value for name in ROWS if (value := getattr(spec, name)) is not None}
        self._take(going_on(run, spec.training_method) | same, FURTHER, "job")

    def _prefer(self) -> None:
        self._take(going_on(self._run, "dpo"), PREFERENCES, "data")

    def _take(self, values: dict[str, object], text: str, tab: str) -> None:
        name = self._run.name or self._run.id
        self.state.replace(values)
        self.state.tab = tab
        self.state.tell("tip", text.format(name))

    @property
    def _run(self) -> Run:
        assert self.state.run is not None, "the buttons are shown with a run"
        return self.state.run
