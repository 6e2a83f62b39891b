"""The lines of a figure of several runs."""

from __future__ import annotations

import math

import numpy as np

from ftlab.comparison.smoothing import smoothed
from ftlab.comparison.track import Track
from ftlab.events import Decision
from ftlab.html import SERIES
from ftlab.overlays import FADED, FAINT, Line, lines_of, look_of, marks_of, on_log_axis

TRAIN = {1: 4.0, 2: 4.0, 3: 2.0}


def track(name="a", **more):
    return Track(name, "local", {"train_loss": TRAIN, "eval_loss": {0: 5.0, 3: 3.0}}, **more)


def test_a_run_has_one_colour_and_stands_in_the_legend_once():
    lines = lines_of([track("a"), track("b")])
    assert [(line.name, line.color, line.in_legend) for line in lines] == [
        ("a", SERIES[0], True),
        ("a", SERIES[0], False),
        ("b", SERIES[1], True),
        ("b", SERIES[1], False),
    ]


def test_beyond_the_colours_dashes_tell_runs_apart():
    assert len({look_of(place) for place in range(24)}) == 24


def test_beneath_a_smooth_curve_the_raw_one_stays_visible():
    raw, smooth, measured = lines_of([track()], smoothing=0.5)
    assert (raw.ys, raw.opacity, raw.in_legend, raw.is_silent) == ([4, 4, 2], FAINT, False, True)
    assert smooth.ys == smoothed([1, 2, 3], [4, 4, 2], 0.5)
    assert smooth.in_legend
    assert measured.ys == [5.0, 3.0]  # never smoothed: each stands for a whole evaluation


def test_a_spike_and_a_gap_are_found_before_anything_is_smoothed():
    broken = Track("a", "local", {"train_loss": {1: 2.0, 2: math.inf, 3: 90.0}})
    raw, smooth = lines_of([broken], smoothing=0.9)
    assert raw.ys[2] == 90.0
    assert [math.isnan(y) for y in smooth.ys] == [False, True, False]


def test_the_same_curve_along_other_axes():
    told = track(tokens={1: 10.0, 2: 20.0, 3: 30.0})
    assert lines_of([told], axis="tokens", smoothing=0.5)[1].ys == smoothed(
        [1, 2, 3], [4, 4, 2], 0.5
    )
    assert lines_of([told], axis="tokens")[0].xs == [10, 20, 30]
    assert lines_of([told], axis="time") == []


def test_a_name_is_no_markup():
    assert "<b>" not in lines_of([track("<b>x</b>")])[0].template


def test_a_line_that_has_grown_is_drawn_anew():
    line = lines_of([track()])[0]
    grown = line._replace(xs=[*line.xs, 4], ys=[*line.ys, 1.5])
    assert line.is_drawn_as(lines_of([track()])[0])
    assert not grown.is_drawn_as(line)
    assert not line._replace(ys=[4, 4, 1]).is_drawn_as(line)


def test_faded_runs_stand_back():
    front, *_ = lines_of([track("a"), track("b")], faded={"b"})
    opacity = {line.name: line.opacity for line in lines_of([track("a"), track("b")], faded={"b"})}
    assert opacity == {"a": front.opacity, "b": FADED}


def test_marks_say_where_an_arm_ended_and_why_and_where_it_went_on():
    decisions = [
        Decision(rung=-1, step=10, kept=(0, 1)),  # a range test decides nothing of arms
        Decision(rung=0, step=20, kept=(0, 1), added=({"name": "c", "changes": {}},)),
        Decision(rung=0, step=20, kept=(0,), stopped={1: "behind"}),
        Decision(rung=1, step=40, kept=(0,)),
    ]
    curves = {0: {0: 5.0, 20: 3.0, 40: 2.0}, 1: {0: 5.0, 15: 4.0}}
    on, ended = sorted(marks_of(decisions, curves, ["a", "b"], last=40))
    assert (on.name, on.symbol, list(on.xs), list(on.ys)) == ("a", "triangle-up", [20], [3.0])
    assert (ended.name, ended.symbol, list(ended.xs), list(ended.ys)) == ("b", "x", [15], [4.0])
    assert list(ended.texts) == ["ended: behind"]
    assert [on.color, ended.color] == list(SERIES[:2])


def test_a_logarithm_has_no_place_for_step_0():
    line = Line("r", (0, 1, 5), (3.0, 2.0, 1.0), texts=("a", "b", "c"))
    drawn = on_log_axis(line)
    assert (list(drawn.xs), list(drawn.ys), list(drawn.texts)) == ([1, 5], [2.0, 1.0], ["b", "c"])
    assert on_log_axis(drawn) is drawn
    assert list(on_log_axis(line._replace(xs=np.array([0, 0, 2]), texts=())).ys) == [1.0]
