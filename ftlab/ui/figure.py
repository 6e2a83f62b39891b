"""plotly's FigureWidget, made fit for a workbench: it survives a reload, and shares nothing."""

from __future__ import annotations

import copy
from typing import Any

import plotly.graph_objects as go

from ftlab.eventlog import History
from ftlab.plots import TRACES, as_arrays, run_figure

MODE_BAR = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d"],
    "plotlyServerURL": "",  # the default bar offers to upload the figure
    "responsive": True,
}


class LiveFigure(go.FigureWidget):
    """The curves of one run, updated in place."""

    def __init__(self) -> None:
        self._is_made = False
        super().__init__()
        figure: Any = self
        run_figure(figure)
        self._config = {**figure._config, **MODE_BAR}
        self._sent: dict[str, tuple[int, ...]] = {}
        self._is_made = True

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Its state as a new page needs it.

        plotly writes these two traits only when a figure is made and sends later changes as
        messages, so that without this a reloaded page shows an empty figure.
        """
        if key is None and self._is_made:
            self._widget_data = copy.deepcopy(self._data)
            self._widget_layout = copy.deepcopy(self._layout)
        return super().get_state(key, drop_defaults)

    def show_history(self, history: History, run_id: str) -> None:
        """Draw what a run has reported; sends only the traces that have changed."""
        changed = {}
        for place, name in enumerate(TRACES):
            points = history.series.get(name, {})
            mark = (hash(run_id), len(history.statuses), len(points))
            if self._sent.get(name) != mark:
                self._sent[name] = mark
                changed[place] = as_arrays(points)
        if not changed:
            return
        with self.batch_update():
            for place, (steps, values) in changed.items():
                self.data[place].x, self.data[place].y = steps, values

    def set_log_scale(self, *, on: bool) -> None:
        """Draw the loss on a logarithmic axis, or on a linear one."""
        self.update_yaxes(type="log" if on else "linear", row=1, col=1)
