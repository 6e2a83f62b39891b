"""The doctor of a sweep's arm knows what its neighbours have reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftlab.diagnosis import diagnose, shapes
from ftlab.diagnosis.following import next_experiment
from ftlab.diagnosis.statistics import Statistics
from ftlab.diagnosis.tried import Tried, tried_beside
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.sweeps.folder import Sweep
from tests.sweeps.worlds import carry_out, plan, valley

OWN = (2.1, 1.9, 1.8, 1.75)
BETTER, WORSE = (1.9, 1.7, 1.6, 1.5), (2.3, 2.2, 2.1, 2.0)


def arm(curve, **tried):
    """A run at 1e-3 beside the rates that were tried."""
    steps = [100, 200, 300, 400]
    others = [
        Tried(float(rate), dict(zip(steps, losses, strict=True))) for rate, losses in tried.items()
    ]
    spec = JobSpec(learning_rate=1e-3, training_file="rows.jsonl", batch_size=8)
    own = shapes.evaluated(curve, *OWN)
    return replace(own, spec=spec, batch_size=8, tried=others)


def said(found):
    return [*found.advice, *(advice for one in found.secondary for advice in one.advice)]


SLOW = shapes.falling(pace=1.2)
CURVES = {
    "slow": SLOW,
    "flat": shapes.constant(2.1, noise=0.02, n=400),
    "smooth": shapes.falling(pace=1.2, noise=0.002),
    "flat early": shapes.falling(start=1.5, floor=1.4, pace=60.0),
    "swinging": shapes.swinging(),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_best_rate_of_a_sweep_is_good_however_its_curve_looks(name):
    found = diagnose(arm(CURVES[name], **{"3e-4": WORSE, "3e-3": WORSE}))
    assert found.label == "good"
    assert "best of 3" in found.meaning
    assert not any("learning_rate" in advice.changes for advice in said(found))


def test_a_noisy_winner_is_told_of_its_batch_and_of_no_other_rate():
    found = diagnose(arm(shapes.falling(noise=0.22), **{"3e-4": WORSE, "3e-3": WORSE}))
    (noisy,) = [one for one in found.secondary if one.label == "noisy_batch"]
    assert found.label == "good"
    assert noisy.advice[0].changes == {"batch_size": 16}


@pytest.mark.parametrize(
    ("better", "label"),
    [("3e-3", "lr_slightly_low"), ("3e-2", "lr_too_low"), ("1e-4", "lr_too_high")],
)
def test_an_arm_is_told_of_the_rate_that_was_better(better, label):
    curve = arm(SLOW, **{better: BETTER})
    found = diagnose(curve)
    assert found.label == label
    assert found.advice[0].changes == {"learning_rate": float(better)}
    assert "1.5 against 1.75 until step 400" in found.advice[0].text
    assert next_experiment(label, Statistics(curve)) == found.advice[0]


def test_the_highest_rate_that_was_tried_may_still_be_too_low():
    found = diagnose(arm(shapes.falling(pace=0.3), **{"3e-4": WORSE}))
    assert found.label in ("lr_slightly_low", "lr_too_low")
    assert found.advice[0].changes["learning_rate"] > 1e-3


def test_what_was_measured_after_a_few_steps_says_nothing_yet():
    early = replace(arm(SLOW), tried=[Tried(3e-3, {40: 1.2}), Tried(3e-4, {40: 2.5})])
    assert diagnose(early) == diagnose(replace(early, tried=()))


def test_a_higher_rate_that_the_sweep_gave_up_is_no_better_one():
    gone = Tried(3e-3, {20: 2.4}, is_given_up=True)
    curve = arm(SLOW, **{"3e-4": WORSE})
    assert diagnose(replace(curve, tried=[*curve.tried, gone])).label == "good"


def test_an_arm_that_was_too_short_for_a_verdict_is_told_of_the_better_rate():
    short = arm(shapes.falling(40), **{"3e-3": BETTER})
    short = replace(short, eval_loss={40: 2.0}, tried=[Tried(3e-3, {40: 1.5})], n_steps=100)
    found = diagnose(short)
    assert not found.is_decided
    assert found.next_experiment.changes == {"learning_rate": 3e-3}


def test_the_arms_of_a_folder_know_each_other(tmp_path):
    sweep = Sweep.of(plan(5), tmp_path)
    carry_out(sweep, lambda one, step: valley(one.rate, step))
    rates = {one.rate for one in sweep.all_arms}
    for one, run in sweep.arms:
        assert {other.rate for other in tried_beside(Run(run.path))} == rates - {one.rate}


def test_a_run_by_itself_knows_of_no_other(tmp_path):
    (tmp_path / "one").mkdir()
    one = Run.at(tmp_path / "one", plan(5).job)
    assert tried_beside(one) == ()
