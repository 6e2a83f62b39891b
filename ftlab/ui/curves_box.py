"""Curves of several runs in one figure, and how they are drawn: along what, how smooth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import ipywidgets as widgets

from ftlab.comparison.track import AXES, Axis, Track
from ftlab.html import escaped
from ftlab.overlays import LOSS, WITH_LOSS, Line, lines_of, on_log_axis
from ftlab.ui.guard import guarded
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State

SMOOTH, SMOOTHEST = 0.6, 0.99
CURVES = (
    ("both losses", LOSS),
    ("training loss", "train_loss"),
    ("validation loss", "eval_loss"),
)
TITLES = {**{name: title for title, name in CURVES}, LOSS: "loss"}
MARKED = (LOSS, "eval_loss")
"""Curves on which marks lie."""
HOW = "Lines are the training loss, dotted ones with points the validation loss."
AXIS_NAMES = {"step": "step", "trained tokens": "tokens", "time": "time"}


class CurvesBox(widgets.VBox):
    """Makes its figure when there is something to draw: the first one costs a second and 5 MB."""

    def __init__(self, state: State, metric: str = LOSS) -> None:
        """`metric` is drawn at first."""
        self._faded: Collection[str] = ()
        self._tracks: Sequence[Track] = ()
        self._marks: Sequence[Line] = ()
        self._figure: Any = None
        self.metric = widgets.Dropdown(description="curve", options=CURVES, value=metric)
        self.axis = widgets.Dropdown(description="along", options=list(AXIS_NAMES.items()))
        self.smoothing = widgets.FloatSlider(
            description="smoothing",
            max=SMOOTHEST,
            step=0.01,
            value=SMOOTH,
            readout_format=".2f",
        )
        self.log_x = widgets.Checkbox(description="log x", indent=False)
        self.log_y = widgets.Checkbox(description="log y", indent=False)
        controls = [self.metric, self.axis, self.smoothing, self.log_x, self.log_y]
        self.bar = widgets.HBox(controls).add_class("ft-row").add_class("ft-curve-bar")
        self.missing = widgets.HTML().add_class("ft-dim")
        self.plot = widgets.VBox().add_class("ft-overlay")
        super().__init__([self.bar, self.missing, self.plot])
        for control in controls:
            control.observe(guarded(state.tell, lambda _: self._draw()), "value")
        self.show_tracks(())

    def show_tracks(
        self,
        tracks: Sequence[Track],
        marks: Sequence[Line] = (),
        faded: Collection[str] = (),
    ) -> None:
        """Draw the curves of these, some marks among them, and those with the faded names
        faintly."""
        self._tracks, self._marks, self._faded = tracks, marks, faded
        curves = _curves(tracks)
        if self.metric.options != curves:
            kept = self.metric.value
            self.metric.options = curves
            self.metric.value = kept if kept in dict(curves).values() else LOSS
        for part in (self.bar, self.plot):
            show(part, visible=bool(tracks))
        self._draw()

    @property
    def _axis(self) -> Axis:
        return self.axis.value or "step"

    def mend(self) -> None:
        """Make the figure anew where a page may lack something of it."""
        if self._figure is not None and self._figure.is_stale:
            self._figure = None
            self._draw()

    def _draw(self) -> None:
        axis = self._axis
        unknown = [track.name for track in self._tracks if not track.has(axis)]
        both = self.metric.value == LOSS and any("eval_loss" in t.series for t in self._tracks)
        set_html(self.missing, " ".join(filter(None, (HOW * both, _missing(unknown, axis)))))
        if not self._tracks:
            return
        if self._figure is None:
            from ftlab.ui.figure import OverlayFigure

            self._figure = OverlayFigure()
            self.plot.children = (self._figure,)
        metric = str(self.metric.value)
        show(self.smoothing, visible=not metric.startswith("eval_"))
        lines = lines_of(self._tracks, metric, axis, self.smoothing.value, self._faded)
        marks = self._marks if metric in MARKED and axis == "step" else ()
        drawn = [*lines, *marks]
        self._figure.show_lines(list(map(on_log_axis, drawn)) if self.log_x.value else drawn)
        self._figure.set_axes(
            (AXES[axis], TITLES.get(metric, metric.replace("_", " "))),
            log_x=self.log_x.value,
            log_y=self.log_y.value,
        )


def _curves(tracks: Sequence[Track]) -> tuple[tuple[str, str], ...]:
    """What can be drawn: the losses, then each metric that a run has told."""
    told = dict.fromkeys(name for track in tracks for name in track.series)
    others = (name for name in told if name not in (*WITH_LOSS, "epoch"))
    return (*CURVES, *((name.replace("_", " "), name) for name in others))


def _missing(names: Sequence[str], axis: Axis) -> str:
    """Which runs can't be drawn along the axis, as HTML."""
    if not names:
        return ""
    counted = "counted tokens" if axis == "tokens" else "took the time"
    return escaped(f"Nobody {counted} for {', '.join(names)}; along steps all can be drawn.")
