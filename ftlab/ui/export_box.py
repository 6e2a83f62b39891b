"""What a run has tuned, taken away: in which form, where to, how far that is, and each proof."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ftlab.exports import Export, Exported, exports_of
from ftlab.exports.kept import exported_html
from ftlab.html import escaped
from ftlab.run import Run
from ftlab.ui.fold import Fold
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

TITLE = "Export"
TOOLTIP = "The adapter, the merged model or a GGUF file, compared with the model as it was trained"
FORMS = {"adapter (peft)": "adapter", "merged model": "merged", "GGUF file": "gguf"}
DTYPES = {"as it is stored": "auto", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
END = ("the end", 0)
CANCELLED = "Cancelled; nothing was written."
NONE_YET = (
    "Nothing was exported yet. An export is loaded in a fresh process by transformers and peft "
    "alone, and kept only if it says what the model said as it was trained."
)


class ExportBox(Fold):
    """Shown for a run that has kept something. What is exported goes on while one looks at another
    run."""

    state: State

    def __init__(self, state: State) -> None:
        self.form = widgets.Dropdown(description="form", options=list(FORMS.items()))
        self.dtype = widgets.Dropdown(description="numbers", options=list(DTYPES.items()))
        self.step = widgets.Dropdown(description="after step", options=[END])
        self.place = widgets.Text(description="folder", placeholder="a new one, in the run")
        self.repo = widgets.Text(description="hub", placeholder="owner/name, to send it there too")
        self.public = widgets.Checkbox(description="for everybody to see", indent=False)
        self.start = widgets.Button(description="Export", button_style="primary")
        self.cancel = widgets.Button(description="Cancel", tooltip="End it, and leave nothing")
        self.task, self.past = Task(state, self.refresh), widgets.HTML()
        self._export: Export | None = None
        self._seen: object = None
        what = widgets.HBox([self.form, self.dtype, self.step]).add_class("ft-toolbar")
        where = widgets.HBox([self.place, self.repo, self.public]).add_class("ft-toolbar")
        buttons = widgets.HBox([self.start, self.cancel]).add_class("ft-buttons")
        parts = [what, where, buttons, self.task.said, self.past]
        super().__init__(state, TITLE, TOOLTIP, parts)
        tell = state.tell
        self.start.on_click(guarded(tell, lambda _: self._start()))
        self.cancel.on_click(guarded(tell, lambda _: self.end()))
        changed = guarded(tell, lambda _: self._news())
        self.repo.observe(changed, "value")
        state.observe(changed, ["beat", "selected"])
        self._news()

    def _news(self) -> None:
        run = self.state.run
        show(self, visible=run is not None and (run.adapter.exists() or run.has_checkpoint))
        if self.is_open:
            self.refresh()

    def refresh(self) -> None:
        """Offer what the selected run has, and show what was made of it."""
        run, busy = self.state.run, self.task.is_busy
        show(self.start, visible=not busy)
        show(self.cancel, visible=busy)
        show(self.public, visible=bool(self.repo.value.strip()))
        if run is None:
            return
        offered = {n: form for n, form in FORMS.items() if form != "adapter" or not _is_whole(run)}
        _offer(self.form, list(offered.items()))
        steps = [(f"{step:,}", step) for step in reversed(run.steps_on_disk)]
        _offer(self.step, [*([END] if run.adapter.exists() else []), *steps])
        self._show_past(run)

    def _show_past(self, run: Run) -> None:
        """Drawn anew only when there is more, or another run: what was opened stays open."""
        found = exports_of(run)
        seen = run.id, [(one.proof.at, one.is_here, one.repo) for one in found]
        if seen != self._seen:
            self._seen = seen
            text = "".join(map(exported_html, found))
            set_html(self.past, text or f'<span class="ft-dim">{escaped(NONE_YET)}</span>')

    def _start(self) -> None:
        run = self.state.run
        if run is None or self.task.is_busy:
            return
        place, repo = self.place.value.strip(), self.repo.value.strip()
        form: Any = self.form.value
        export = self._export = Export(
            run,
            form,
            path=place or None,
            dtype=str(self.dtype.value),
            step=self.step.value or None,
            repo=repo or None,
            private=not self.public.value,
            replace=not place,  # of ftlab's own places the last export is the one that counts
            told=lambda share, what: self.task.progress(round(100 * share), 100, what),
        )
        self.task.start(f"Exporting {run.name or run.id}", export.make, _outcome)

    def end(self) -> None:
        """Cancel what goes on."""
        if self._export is not None:
            self._export.cancel()


def _outcome(exported: Exported | None) -> str:
    """The line under the button; the figures stand in the list."""
    if exported is None:
        return escaped(CANCELLED)
    look = "ft-good" if exported.proof.passed else "ft-warning"
    notes = "".join(f"<div>{escaped(note)}</div>" for note in exported.notes)
    return f'<span class="{look}">{escaped(exported.proof.headline)}</span>{notes}'


def _is_whole(run: Run) -> bool:
    return run.job.spec.lora is False or (run.adapter.exists() and run.is_whole_model)


def _offer(choice: widgets.Dropdown, options: list[Any]) -> None:
    """Other options; what was chosen stays where it is among them."""
    if list(choice.options) == options:
        return
    kept = choice.value
    choice.options = options
    if kept in [value for _, value in options]:
        choice.value = kept
