"""Runs as plotly figures. Figures are made for updating in place: no point is ever sent twice
more than needed, and a long run is drawn with as few points as a short one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ftlab.html import SERIES

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 1000  # per trace; redraw time grows with points, the eye does not see more
Place = TypeVar("Place", int, float)
GREY = "rgba(128,128,128,{})"

# metric → (row of the figure, name in the legend, colour, mode)
TRACES: dict[str, tuple[int, str, str, str]] = {
    "train_loss": (1, "training", SERIES[0], "lines"),
    "eval_loss": (1, "validation", SERIES[1], "lines+markers"),
    "learning_rate": (2, "learning rate", SERIES[2], "lines"),
    "grad_norm": (3, "gradient norm", SERIES[3], "lines"),
}
TITLES = ("loss", "rate", "norm")
# Transparent, so that it stands well on a light and on a dark page.
PAGE: dict[str, Any] = {
    "margin": {"l": 62, "r": 12, "t": 12, "b": 36},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": GREY.format(1), "size": 12},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    "hovermode": "x unified",
    "hoverlabel": {"bgcolor": "rgba(40,40,40,0.92)", "font": {"color": "#eee"}},
    "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY.format(0.7)},
}


def run_figure(figure: go.Figure) -> None:
    """Lay out an empty figure for one run: loss, learning rate and gradient norm over steps."""
    figure.set_subplots(
        rows=3, cols=1, shared_xaxes=True, row_heights=[0.56, 0.22, 0.22], vertical_spacing=0.05
    )
    for row, title, color, mode in TRACES.values():
        figure.add_scatter(
            x=[], y=[], name=title, mode=mode, row=row, col=1, line={"color": color, "width": 1.8}
        )
    figure.update_layout(height=520, uirevision="run", **PAGE)  # a person's zoom survives
    figure.update_xaxes(gridcolor=GREY.format(0.15), zeroline=False)
    figure.update_xaxes(title_text="step", row=3, col=1)
    figure.update_yaxes(tickformat=".1e", nticks=4, row=2, col=1)
    figure.update_yaxes(nticks=4, row=3, col=1)
    for row, title in enumerate(TITLES, start=1):
        figure.update_yaxes(
            gridcolor=GREY.format(0.2), zeroline=False, title_text=title, row=row, col=1
        )


def overlay_figure(figure: go.Figure) -> None:
    """Lay out an empty figure for the curves of several runs."""
    figure.update_layout(height=420, uirevision="runs", **PAGE)
    figure.update_xaxes(gridcolor=GREY.format(0.15), zeroline=False)
    figure.update_yaxes(gridcolor=GREY.format(0.2), zeroline=False)


def trace_points(points: dict[int, float]) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, at most `POINTS` of them; what is no number is a gap."""
    steps, values = thinned(list(points), list(points.values()))
    return steps, [value if math.isfinite(value) else math.nan for value in values]


def thinned(steps: Sequence[Place], values: Sequence[float]) -> tuple[list[Place], list[float]]:
    """Every bucket's lowest and highest point, so that a spike of one step stays visible."""
    if len(steps) <= POINTS:
        return list(steps), list(values)
    size = math.ceil(len(steps) / (POINTS // 2))
    kept: list[int] = []
    for start in range(0, len(steps), size):
        bucket = range(start, min(start + size, len(steps)))
        finite = [i for i in bucket if math.isfinite(values[i])] or [start]
        ends = {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
        kept += sorted(ends)
    if kept[-1] != len(steps) - 1:
        kept.append(len(steps) - 1)
    return [steps[i] for i in kept], [values[i] for i in kept]


def as_arrays(points: dict[int, float]) -> tuple[Any, Any]:
    """`trace_points` as numpy arrays."""
    return _arrays(*trace_points(points))


def thinned_arrays(xs: Sequence[float], ys: Sequence[float]) -> tuple[Any, Any]:
    """At most `POINTS` points of a curve, as numpy arrays."""
    return _arrays(*thinned(xs, ys))


def _arrays(*lists: Sequence[float]) -> tuple[Any, ...]:
    """As numpy arrays: plotly sends those as bytes, lists as JSON text."""
    import numpy as np

    return tuple(np.asarray(values, dtype=np.float64) for values in lists)
