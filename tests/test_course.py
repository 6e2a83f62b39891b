"""The course of a run before it starts, by hand and against a run."""

from __future__ import annotations

import pytest

from ftlab.course import POINTS, course, rate_at
from ftlab.errors import FtlabError
from ftlab.providers import submit
from ftlab.spec import JobSpec
from tests.small import chat_rows, save_model, write_rows

SPEC = JobSpec(learning_rate=1e-3, lr_scheduler_type="linear", warmup_ratio=0.1, n_evals=2)
HELD_OUT = SPEC.changed(validation_file="v.jsonl")


def test_warm_up_climbs_to_the_peak_and_then_it_falls():
    found = course(SPEC, 20)
    assert found.steps == tuple(range(1, 21))
    assert found.rates[:3] == pytest.approx((0.0, 0.5e-3, 1e-3))
    assert found.rates[-1] == pytest.approx(1e-3 * (1 - 17 / 18))
    assert found.warmup_steps == 2


def test_evaluations_and_checkpoints_are_those_of_the_engine():
    assert course(HELD_OUT, 20).evaluations == (0, 10, 20)
    assert course(HELD_OUT, 20).checkpoints == (20,)
    hosted = course(HELD_OUT.changed(n_checkpoints=4), 20, "together")
    assert hosted.evaluations == (10, 20)
    assert hosted.checkpoints == (5, 10, 15, 20)
    assert course(HELD_OUT.changed(n_checkpoints=4), 20).checkpoints == hosted.checkpoints


def test_without_validation_data_nothing_is_evaluated():
    assert course(SPEC, 20).evaluations == ()


def test_a_long_run_is_drawn_with_few_points_and_keeps_what_happens():
    found = course(HELD_OUT.changed(n_evals=7), 123_457)
    assert len(found.steps) <= POINTS + 10
    assert {*found.evaluations} - {0} <= {*found.steps}
    assert (found.steps[0], found.steps[-1]) == (1, 123_457)
    assert max(found.rates) == pytest.approx(1e-3, rel=1e-4)
    assert found.rates == tuple(rate_at(HELD_OUT, step - 1, 123_457) for step in found.steps)


def test_a_run_of_one_step_has_a_course():
    found = course(HELD_OUT, 1)
    assert (found.steps, found.evaluations) == ((1,), (0, 1))


def test_a_rate_that_was_left_out_is_said():
    with pytest.raises(FtlabError, match="resolve"):
        course(JobSpec(), 10)


@pytest.mark.slow
def test_a_run_takes_the_course_that_was_shown(tmp_path):
    values = {
        "model": str(save_model(tmp_path / "model")),
        "training_file": str(write_rows(tmp_path / "t.jsonl", chat_rows(24))),
        "validation_file": str(write_rows(tmp_path / "v.jsonl", chat_rows(4, 100))),
        **{"batch_size": 4, "n_epochs": 2, "learning_rate": 3e-4, "warmup_ratio": 0.25},
        **{"lr_scheduler_type": "cosine", "min_lr_ratio": 0.1, "n_evals": 3},
    }
    run = submit(values, folder=tmp_path / "runs")
    run.wait(120)
    shown = course(run.job.spec, 12)
    assert list(run.history.series["learning_rate"]) == list(shown.steps)
    assert list(run.history.series["learning_rate"].values()) == pytest.approx(shown.rates)
    assert tuple(run.history.series["eval_loss"]) == shown.evaluations


def test_a_course_of_any_length_costs_the_same():
    spec = JobSpec(
        model="m", training_file="t", validation_file="v", learning_rate=1e-4, n_evals=5000
    )
    found = course(spec, 10**12)
    assert len(found.steps) <= 2 * POINTS + 1
    assert found.steps[-1] == 10**12
    assert len(found.evaluations) == 5001
