"""Each detector sees its own example, advises something, and is silent on a healthy curve."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from ftlab.diagnosis import diagnose, shapes
from ftlab.diagnosis.doctor import found_by
from ftlab.diagnosis.registry import OBSERVATIONS, VERDICTS
from ftlab.diagnosis.statistics import Statistics
from ftlab.spec import JobSpec
from tests.diagnosis.truth import LABELS


def test_the_verdicts_are_those_of_the_truth_in_its_order():
    assert tuple(one.label for one in VERDICTS) == LABELS


@pytest.mark.parametrize("one", VERDICTS, ids=lambda one: one.label)
def test_a_verdict_is_given_on_its_example(one):
    found = diagnose(one.example())
    assert found.label == one.label
    assert found.confidence >= 0.5
    assert found.evidence
    assert found.advice


@pytest.mark.parametrize("one", OBSERVATIONS, ids=lambda one: one.label)
def test_an_observation_is_made_on_its_example(one):
    (found,) = (x for x in diagnose(one.example()).secondary if x.label == one.label)
    assert 0 < found.confidence <= 1
    assert found.evidence
    assert found.advice


@pytest.mark.parametrize("one", [*VERDICTS, *OBSERVATIONS], ids=lambda one: one.label)
def test_advice_has_a_source_and_changes_that_are_values_of_a_spec(one):
    finding = one.finding(Statistics(one.example()))
    assert finding is not None
    for advice in finding.advice:
        assert advice.text
        assert advice.source
        JobSpec(**advice.changes)


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_is_left_alone(seed):
    curve = shapes.evaluated(shapes.falling(seed=seed), 1.7, 1.5, 1.45, 1.43)
    found = diagnose(curve)
    assert found.label == "good"
    assert found.is_healthy
    assert not found_by(OBSERVATIONS, Statistics(curve))


def test_steps_are_seen_also_where_nobody_knows_how_long_an_epoch_is():
    found = diagnose(replace(shapes.stepping(2, 80, 0.7), steps_per_epoch=None))
    assert found.label == "epoch_steps"
    assert found.confidence < 0.9


def test_epochs_are_found_where_every_tenth_step_was_logged():
    curve = shapes.stepping(4, 80)
    sparse = replace(curve, steps=[10 * step for step in curve.steps], steps_per_epoch=800)
    assert diagnose(sparse).evidence == diagnose(curve).evidence


def test_steps_at_the_ends_of_epochs_leave_no_word_on_the_rate():
    found = diagnose(shapes.stepping(2, 80, 0.7))
    assert found.label == "epoch_steps"
    assert not {one.label for one in found.secondary} & {"lr_too_low", "lr_slightly_low"}
    assert found.next_experiment is not None
    assert found.next_experiment.changes == {"n_epochs": 1}


def test_a_single_step_without_a_number_is_told_besides():
    found = diagnose(shapes.scaled(shapes.falling(), (200, 201, math.nan)))
    assert found.label == "good"
    (besides,) = found.secondary
    assert besides.label == "steps_without_a_number"
    assert besides.evidence == {"steps": 1, "first_step": 201}


@pytest.mark.parametrize(
    "pieces",
    [
        ((396, 397, math.nan),),
        ((200, 400, math.inf),),
        ((200, 201, math.nan), (201, 400, 1.5)),
        ((100, 200, math.nan),),
    ],
)
def test_losses_that_stay_no_numbers_or_come_back_higher_have_diverged(pieces):
    found = diagnose(shapes.scaled(shapes.falling(), *pieces))
    assert found.label == "diverged"
    assert found.confidence > 0.9


def test_validation_losses_that_are_no_numbers_are_told():
    found = diagnose(shapes.evaluated(shapes.falling(), *[math.nan] * 8))
    (besides,) = found.secondary
    assert besides.evidence == {"evaluations": 8, "of": 8, "step": 50}


def test_steps_that_are_missing_are_counted_as_steps():
    sparse = replace(shapes.falling(40), steps=[100 * step for step in range(1, 41)])
    assert diagnose(sparse).needs == "50 losses, and has 40: log one every 80 steps or fewer"
    on_its_way = replace(sparse, is_over=False, n_steps=8000)
    assert diagnose(on_its_way).needs == "1,000 more steps"
    assert diagnose(replace(on_its_way, n_steps=20_000)).needs == "2,000 more steps"
    assert diagnose(shapes.falling(40)).needs == "10 more steps"


@pytest.mark.parametrize("seed", range(10))
def test_a_quarter_of_the_loss_is_a_good_run_and_nothing_besides(seed):
    curve = shapes.falling(start=2.0, floor=1.5, noise=0.04, seed=seed)
    found = diagnose(shapes.evaluated(curve, 1.75, 1.6, 1.55, 1.53, 1.52, 1.52))
    assert "both_high" not in {one.label for one in found.secondary}


def test_a_fall_that_scatter_hides_is_no_verdict_on_the_rate():
    curves = [
        shapes.falling(120, start=1.3, floor=1.15, noise=0.08, seed=seed) for seed in range(60)
    ]
    found = [diagnose(curve) for curve in curves]
    assert sum(one.label == "lr_too_low" for one in found) <= 3
    undecided = [one for one in found if not one.is_decided]
    assert len(undecided) > 20
    for one in undecided:
        assert re.fullmatch(
            r"about \d+ more steps, as a fall of \d+% can't be told from its scatter", one.needs
        )


def test_a_flat_curve_is_a_verdict_once_it_is_long_enough():
    flat = {"start": 1.3, "floor": 1.29, "noise": 0.08, "seed": 6}
    assert not diagnose(shapes.falling(120, **flat)).is_decided
    assert diagnose(shapes.falling(1200, **flat)).label == "lr_too_low"


def test_a_flat_curve_far_below_the_recommended_rate_is_too_low_all_the_same():
    flat = {"start": 1.3, "floor": 1.29, "noise": 0.08, "seed": 6}
    curve = shapes.falling(120, **flat, learning_rate=[1e-6] * 120)
    assert not diagnose(curve).is_decided
    assert diagnose(replace(curve, recommended_lr=1e-4)).label == "lr_too_low"


def test_a_pack_holds_several_rows_so_that_two_of_them_are_no_small_batch():
    learned = replace(shapes.falling(start=5.8, floor=0.12, noise=0.2), batch_size=2)
    assert diagnose(learned).label == "noisy_batch"
    assert diagnose(replace(learned, spec=JobSpec(packing=True))).label == "good"
