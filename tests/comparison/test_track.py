"""What a run has told, along each axis."""

from __future__ import annotations

import math

from ftlab.comparison.track import Track, track_of
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec


def made_run(folder, *events, **spec):
    run = Run.create(Job(spec=JobSpec(model="m", **spec), provider="local"), folder)
    writer = run.writer()
    for event in events:
        writer.append(event)
    writer.close()
    return run


def steps(*losses, tokens=100.0, start=1000.0):
    """A run that takes two seconds a step."""
    yield Status(status="running", time=start, from_step=0, n_steps=len(losses))
    for step, loss in enumerate(losses, start=1):
        values = {"train_loss": loss, "loss_tokens": tokens}
        yield Metrics(step=step, time=start + 2 * step, values=values)


def test_a_run_by_step_tokens_and_time(tmp_path):
    first = Metrics(step=0, time=1000.5, values={"eval_loss": 3.0})
    last = Metrics(step=2, time=1005.0, values={"eval_loss": 2.5})
    begin, *rest = steps(3.0, 2.0)
    track = track_of(made_run(tmp_path, begin, first, *rest, last))
    assert track.along("train_loss") == ([1, 2], [3.0, 2.0])
    assert track.along("train_loss", "tokens") == ([100, 200], [3.0, 2.0])
    assert track.along("train_loss", "time") == ([2, 4], [3.0, 2.0])
    assert track.along("eval_loss", "tokens") == ([0, 200], [3.0, 2.5])
    assert track.along("eval_loss", "time") == ([0.5, 4], [3.0, 2.5])


def test_what_nobody_counted_is_no_axis():
    track = Track("a", "a table", {"train_loss": {1: 2.0}})
    assert track.along("train_loss", "tokens") == ([], [])
    assert [track.has(axis) for axis in ("step", "tokens", "time")] == [True, False, False]
    assert track.along("nothing") == ([], [])


def test_a_value_between_two_counts_stands_at_the_one_before():
    track = Track("a", "a table", {"eval_loss": {5: 2.0, 15: 1.0}}, tokens={10: 1000.0, 20: 2000.0})
    assert track.along("eval_loss", "tokens") == ([1000.0], [1.0])  # nobody knows of step 5


def test_what_is_no_number_is_a_gap_and_is_told(tmp_path):
    track = track_of(made_run(tmp_path, *steps(3.0, math.inf, math.nan)))
    assert track.broken() == [2, 3]
    assert [math.isnan(y) for y in track.along("train_loss")[1]] == [False, True, True]


def test_a_name_goes_before_an_id(tmp_path):
    run = made_run(tmp_path)
    assert track_of(run).name == run.id
    run.rename("Orders")
    assert track_of(run).name == "Orders"
    assert track_of(run, "4.6e-4").name == "4.6e-4"
