"""The live figure: whole after a reload, small on the wire, and it shares nothing."""

from __future__ import annotations

import math

import pytest

from ftlab.eventlog import History
from ftlab.events import Metrics
from ftlab.overlays import Line
from ftlab.plots import POINTS, TRACES, thinned
from ftlab.ui.figure import LiveFigure, OverlayFigure

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def history(n, spike=None):
    found = History()
    for step in range(1, n + 1):
        loss = 99.0 if step == spike else 1 / step
        found.add(Metrics(step=step, values={"train_loss": loss, "grad_norm": 1.0}))
    return found


def test_a_new_page_gets_every_point():
    figure = LiveFigure()
    figure.show_history(history(20), "run")
    state = figure.get_state()
    assert [trace["y"]["shape"] for trace in state["_widget_data"][:1]] == [(20,)]


def test_points_can_not_be_sent_to_a_cloud():
    figure = LiveFigure()
    assert "sendChartToCloud" in figure._config["modeBarButtonsToRemove"]
    assert figure._config["plotlyServerURL"] == ""
    assert figure._config["displaylogo"] is False


def test_the_loss_can_be_drawn_logarithmically():
    figure = LiveFigure()
    figure.set_log_scale(on=True)
    assert figure.layout.yaxis.type == "log"
    figure.set_log_scale(on=False)
    assert figure.layout.yaxis.type == "linear"


def test_only_changed_traces_are_sent(monkeypatch):
    figure = LiveFigure()
    sent = []
    monkeypatch.setattr(figure, "_send_restyle_msg", lambda data, **_: sent.append(data), False)
    events = history(5)
    figure.show_history(events, "run")
    before = figure.data[0].x
    figure.show_history(events, "run")
    assert figure.data[0].x is before or list(figure.data[0].x) == list(before)


def test_another_run_replaces_the_curves():
    figure = LiveFigure()
    figure.show_history(history(5), "one")
    figure.show_history(history(3), "two")
    assert [len(trace.x) for trace in figure.data] == [3, 0, 0, 3]


def test_a_long_run_is_drawn_with_few_points_and_keeps_its_spike():
    figure = LiveFigure()
    figure.show_history(history(50_000, spike=31_234), "run")
    trace = figure.data[list(TRACES).index("train_loss")]
    assert len(trace.x) <= POINTS + 2
    assert max(trace.y) == 99.0
    assert (trace.x[0], trace.x[-1]) == (1, 50_000)


def test_thinning_keeps_order_and_what_is_no_number():
    steps = list(range(5_000))
    values = [math.nan if step % 100 == 3 else float(step % 7) for step in steps]
    kept, _ = thinned(steps, values)
    assert kept == sorted(set(kept))
    everything = [math.nan] * 5_000
    assert thinned(steps, everything)[0]


def opened(figure):
    """What a page does that is loaded anew."""
    figure.get_state()


def test_a_page_may_lack_what_was_sent_while_it_was_loading(monkeypatch):
    figure = LiveFigure()
    figure.show_history(history(5), "run")
    assert not figure.is_stale
    opened(figure)
    figure.show_history(history(5), "run")  # nothing new
    monkeypatch.setattr("ftlab.ui.figure.OPENING", 0.0)
    assert not figure.is_stale
    monkeypatch.setattr("ftlab.ui.figure.OPENING", 60.0)
    figure.show_history(history(6), "run")
    assert not figure.is_stale  # it may still be loading
    monkeypatch.setattr("ftlab.ui.figure.OPENING", 0.0)
    assert figure.is_stale


def test_only_lines_that_change_are_drawn_anew():
    figure = OverlayFigure()
    lines = [Line("a", [1, 2], [3.0, 2.0]), Line("b", [1, 2], [3.0, 1.0])]
    drawn = []
    figure._draw = lambda trace, line: drawn.append(line.name)
    figure.show_lines(lines)
    figure.show_lines(lines)
    assert drawn == ["a", "b"]
    figure.show_lines([lines[0], Line("b", [1, 2, 3], [3.0, 1.0, 0.5])])
    assert drawn[2:] == ["b"]


def test_fewer_lines_leave_no_trace_that_can_be_seen():
    figure = OverlayFigure()
    figure.show_lines([Line("a", [1], [3.0]), Line("b", [1], [2.0])])
    figure.show_lines([Line("b", [1], [2.0])])
    assert [(trace.name, bool(trace.visible)) for trace in figure.data] == [
        ("b", True),
        ("", False),
    ]
