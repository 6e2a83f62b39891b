"""plotly's FigureWidget, made fit for a workbench: it survives a reload, and shares nothing."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import plotly.graph_objects as go

from ftlab.eventlog import History
from ftlab.overlays import Line
from ftlab.plots import TRACES, as_arrays, overlay_figure, run_figure, thinned_arrays

NO_LINE = Line("", [], [])
OPENING = 20.0  # seconds in which a slow page has loaded 5 MB and drawn them
MODE_BAR = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d"],
    "plotlyServerURL": "",  # the default bar offers to upload the figure
    "responsive": True,
}


class Figure(go.FigureWidget):
    """A figure whose traces are updated in place."""

    def __init__(self, lay_out: Callable[[Any], None]) -> None:
        self._is_made, self._asked_at, self._may_lack = False, -math.inf, False
        super().__init__()
        figure: Any = self
        lay_out(figure)
        self._config = {**figure._config, **MODE_BAR}
        self._is_made = True

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Its state as a new page needs it.

        plotly writes these two traits only when a figure is made and sends later changes as
        messages, so that without this a reloaded page shows an empty figure.
        """
        if key is None and self._is_made:
            self._asked_at = time.monotonic()
            self._widget_data = copy.deepcopy(self._data)
            self._widget_layout = copy.deepcopy(self._layout)
        return super().get_state(key, drop_defaults)

    @property
    def _is_opening(self) -> bool:
        """Whether a page may be loading that was given its state a moment ago."""
        return time.monotonic() - self._asked_at < OPENING

    def _note_sent(self) -> None:
        """A page that loads listens only once it has drawn its state: what is sent meanwhile may
        be lost on it."""
        self._may_lack = self._may_lack or self._is_opening

    @property
    def is_stale(self) -> bool:
        """Whether a page may lack what was sent while it was loading; another figure, made anew,
        mends that. plotly sends nothing that it takes for known."""
        return self._may_lack and not self._is_opening


class LiveFigure(Figure):
    """The curves of one run."""

    def __init__(self, clicked: Callable[[str, int], Any] | None = None) -> None:
        """`clicked` is told the metric and the step of a point of the loss that is clicked."""
        super().__init__(run_figure)
        self._sent: dict[str, tuple[int, ...]] = {}
        self._clicked = clicked
        for name in ("train_loss", "eval_loss") if clicked else ():
            self._trace(name).on_click(partial(self._point_clicked, name))

    def _point_clicked(self, name: str, _: Any, points: Any, keys: Any) -> None:
        """Where both losses are known the page tells of both; Shift then means the evaluation."""
        if not points.xs or self._clicked is None:
            return
        known = [other for other in ("train_loss", "eval_loss") if points.xs[0] in self._xs(other)]
        wanted = "eval_loss" if keys.shift else "train_loss"
        if wanted == name or wanted not in known:
            self._clicked(name, round(points.xs[0]))

    def _xs(self, name: str) -> list[float]:
        xs = self._trace(name).x
        return [] if xs is None else list(xs)

    def _trace(self, name: str) -> Any:
        return self.data[list(TRACES).index(name)]

    def show_history(self, history: History, run_id: str) -> None:
        """Draw what a run has reported; sends only the traces that have changed."""
        changed = {}
        for name in TRACES:
            points = history.series.get(name, {})
            mark = (hash(run_id), len(history.statuses), len(points))
            if self._sent.get(name) != mark:
                self._sent[name] = mark
                changed[name] = as_arrays(points)
        if not changed:
            return
        self._note_sent()
        with self.batch_update():
            for name, (steps, values) in changed.items():
                trace = self._trace(name)
                trace.x, trace.y = steps, values

    def set_log_scale(self, *, on: bool) -> None:
        """Draw the loss on a logarithmic axis, or on a linear one."""
        self.update_yaxes(type="log" if on else "linear", row=1, col=1)


class OverlayFigure(Figure):
    """The curves of several runs over each other, along one axis."""

    def __init__(self) -> None:
        super().__init__(overlay_figure)
        self._shown: list[Line] = []

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Draw these and no others; sends only those that have changed."""
        missing = len(lines) - len(self._shown)
        if missing > 0:
            self.add_traces([go.Scatter(x=[], y=[]) for _ in range(missing)])
        before = self._shown + [NO_LINE] * missing
        self._shown = [*lines, *[NO_LINE] * -missing]
        traces: Any = self.data
        with self.batch_update():
            for trace, line, old in zip(traces, self._shown, before, strict=True):
                if not line.is_drawn_as(old):
                    self._note_sent()
                    self._draw(trace, line)

    def _draw(self, trace: Any, line: Line) -> None:
        trace.x, trace.y = thinned_arrays(line.xs, line.ys)
        trace.update(
            name=line.name,
            legendgroup=line.name,
            showlegend=line.in_legend,
            visible=bool(line.xs),
            mode=line.mode,
            opacity=line.opacity,
            line={"color": line.color, "width": line.width, "dash": line.dash},
            marker={"symbol": line.symbol, "size": line.size, "color": line.color},
            text=list(line.texts) or None,
            hoverinfo="skip" if line.is_silent else None,
            hovertemplate=None if line.is_silent else line.template,
        )

    def set_axes(self, titles: tuple[str, str], *, log_x: bool, log_y: bool) -> None:
        """Name what lies along the bottom and the side, and stretch the axes."""
        with self.batch_update():
            self.update_xaxes(title_text=titles[0], type="log" if log_x else "linear")
            self.update_yaxes(title_text=titles[1], type="log" if log_y else "linear")
