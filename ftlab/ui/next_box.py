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
AGAIN = "The form holds the job of {} again; change what its message names, and submit it."
PREFERENCES = (
    "The form holds a job that goes on from {} with preferences. Choose a file whose rows have an "
    "input, a preferred and another output; Undo goes back."
)


class NextBox(widgets.HBox):
    """Shown for a run that has completed, or whose job a service has refused or failed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.further = widgets.Button(
            description="Train further", tooltip="A new job that starts from what this run tuned"
        )
        self.preferences = widgets.Button(
            description="Go on with preferences",
            tooltip="A new DPO job that starts from what this run tuned",
        )
        self.again = widgets.Button(
            description="Start again", tooltip="Puts the job into the form, for another run"
        )
        super().__init__([self.further, self.preferences, self.again])
        self.add_class("ft-row")
        tell = state.tell
        self.further.on_click(guarded(tell, lambda _: self._train_further()))
        self.preferences.on_click(guarded(tell, lambda _: self._prefer()))
        self.again.on_click(guarded(tell, lambda _: self._again()))
        state.observe(guarded(tell, lambda _: self.refresh()), ["beat", "selected"])
        self.refresh()

    def refresh(self) -> None:
        """Offer what the selected run is good for."""
        run = self.state.run
        done = run is not None and run.status == "completed" and run.adapter.exists()
        gone = run is not None and run.has_ended_there
        show(self, visible=done or gone)
        show(self.further, visible=done)
        show(self.again, visible=gone)
        is_sft = done and run is not None and run.job.spec.training_method == "sft"
        show(self.preferences, visible=is_sft)

    def _train_further(self) -> None:
        run = self._run
        spec = run.job.spec
        same = {name: value for name in ROWS if (value := getattr(spec, name)) is not None}
        self._take(going_on(run, spec.training_method) | same, FURTHER, "job")

    def _prefer(self) -> None:
        self._take(going_on(self._run, "dpo"), PREFERENCES, "data")

    def _again(self) -> None:
        job = self._run.job
        given = {n: v for n, v in job.spec.model_dump().items() if n not in job.reasons}
        self.state.choose(job.provider)
        self._take({n: v for n, v in given.items() if v is not None}, AGAIN, "job")

    def _take(self, values: dict[str, object], text: str, tab: str) -> None:
        name = self._run.name or self._run.id
        self.state.replace(values)
        self.state.tab = tab
        self.state.tell("tip", text.format(name))

    @property
    def _run(self) -> Run:
        assert self.state.run is not None, "the buttons are shown with a run"
        return self.state.run
