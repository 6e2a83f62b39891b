"""What a sweep is going to do, by hand."""

from __future__ import annotations

import pytest

from ftlab.course import course
from ftlab.sweeps.plan import Bounds, Plan, arm_of, grid, planned, spacing
from tests.sweeps.worlds import job, plan


def test_rates_lie_a_factor_of_the_root_of_ten_apart_around_the_recommended_one():
    assert grid(4.7e-4, 5) == (4.7e-5, 1.5e-4, 4.7e-4, 1.5e-3, 4.7e-3)
    assert grid(1e-3, 4) == (3.2e-4, 1e-3, 3.2e-3, 1e-2)
    assert grid(1e-3, 1) == (1e-3,)


def test_rates_stay_within_what_the_engine_takes():
    assert grid(0.3, 5) == (0.03, 0.095, 0.3, 0.95)
    assert grid(1e-3, 5, Bounds(2e-4, 5e-3)) == (3.2e-4, 1e-3, 3.2e-3)


def test_arms_are_all_combinations_each_with_what_follows_from_it():
    found = plan(varied={"lora_r": [8, 64], "learning_rate": [1e-3, 1e-4, 1e-3]}).arms
    assert [arm.name for arm in found] == [
        *("1e-4, lora_r 8", "1e-4, lora_r 64", "1e-3, lora_r 8", "1e-3, lora_r 64")
    ]
    assert found[1].changes == {"learning_rate": 1e-4, "lora_r": 64, "lora_alpha": 128}


def test_an_alpha_that_was_given_stays():
    own = job().model_copy(update={"reasons": {}})
    assert arm_of(own, {"lora_r": 64}).changes == {"lora_r": 64}


def test_the_job_of_an_arm_differs_in_its_changes_alone():
    of = plan(3)
    arm = of.arms[0]
    assert of.job_of(arm).spec == of.job.spec.changed(learning_rate=arm.rate)


@pytest.mark.parametrize(
    ("n_steps", "warmup_ratio", "rungs", "n_evals"),
    [
        (240, 0.0, (20, 60, 120, 240), 12),
        (200, 0.05, (20, 60, 100, 200), 10),
        (1000, 0.05, (100, 300, 500, 1000), 10),
        (1000, 0.1, (200, 500, 1000), 10),
        (60, 0.0, (20, 27, 60), 9),
        (30, 0.0, (20, 30), 9),
        (10, 0.0, (10,), 8),
        (12_000, 0.0, (1000, 3000, 6000, 12_000), 12),
    ],
)
def test_rungs_are_evaluations_of_the_arms(n_steps, warmup_ratio, rungs, n_evals):
    found = plan(n_steps=n_steps, changes={"warmup_ratio": warmup_ratio})
    assert found.rungs == rungs
    assert found.job.spec.n_evals == n_evals
    assert set(rungs) <= set(course(found.job.spec, n_steps).evaluations)


def test_rungs_stay_where_they_are_when_the_steps_are_a_few_less():
    assert plan(n_steps=240).over(229).rungs == (20, 58, 115, 229)


def test_more_evaluations_than_needed_stay():
    assert plan(changes={"n_evals": 24}).job.spec.n_evals == 24
    assert plan(changes={"n_evals": 24}).rungs == (20, 60, 120, 240)
    assert plan(changes={"n_evals": 2}).job.spec.n_evals == 12


def test_the_best_checkpoint_is_the_result_of_an_arm_and_none_ends_early():
    spec = plan().job.spec
    assert spec.early_stopping_enabled
    assert spec.early_stopping_patience + spec.early_stopping_warmup_evals < spec.n_evals
    own = plan(changes={"early_stopping_enabled": True, "early_stopping_patience": 3}).job.spec
    assert own.early_stopping_patience == 3


def test_without_halving_arms_are_compared_at_the_end_alone():
    assert plan(halving=False).rungs == (240,)
    assert plan(halving=False).over(100).rungs == (100,)


def test_with_other_steps_than_expected_the_rungs_move():
    assert plan().over(480).rungs == (40, 120, 240, 480)


def test_a_plan_survives_the_disk():
    of = planned(
        job(),
        {"lora_trainable_modules": [("q_proj", "v_proj"), "all-linear"], "learning_rate": [1e-3]},
        100,
        given={"model": "demo"},
        bounds=Bounds(1e-6, 1e-2),
    )
    back = Plan.model_validate_json(of.model_dump_json())
    assert back.model_dump(mode="json") == of.model_dump(mode="json")
    assert [arm.others for arm in back.arms] == [arm.others for arm in of.arms]
    assert back.job_of(back.arms[0]) == of.job_of(of.arms[0])


def test_the_spacing_at_an_edge_is_that_of_its_neighbour():
    assert spacing([1e-4, 1e-3, 2e-3]) == pytest.approx(2)
    assert spacing([2e-3, 1e-3, 1e-4]) == pytest.approx(0.1)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 20, 21, 240])
@pytest.mark.parametrize("n_evals", [None, 0, 1, 500])
def test_however_short_it_is_each_arm_is_evaluated_at_its_end(n_steps, n_evals):
    found = plan(3, n_steps=n_steps, changes={"n_evals": n_evals})
    assert found.rungs[-1] == n_steps
    assert 1 <= (found.job.spec.n_evals or 0) <= n_steps
