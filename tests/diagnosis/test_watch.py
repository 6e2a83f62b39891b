"""While a run goes on: nothing flickers, healthy ones are left alone, what is certain is said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ftlab.diagnosis import Curve, Watch, diagnose, shapes


def begun(curve: Curve, steps: int, *, planned: int | None = None) -> Curve:
    """The first steps of a run that goes on."""
    kept = {step: loss for step, loss in curve.eval_loss.items() if step <= steps}
    return replace(
        curve,
        steps=curve.steps[:steps],
        train_loss=curve.train_loss[:steps],
        eval_loss=kept,
        grad_norm=curve.grad_norm[:steps],
        learning_rate=curve.learning_rate[:steps],
        n_steps=planned or curve.n,
        is_over=False,
    )


def watched(curve: Curve, every: int = 1) -> list[str]:
    """What is shown first after each step."""
    watch = Watch()
    return [watch.add(begun(curve, n)).label for n in range(1, curve.n + 1, every)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pace", [8.0, 12.0, 30.0])
def test_a_healthy_run_hears_nothing_from_its_first_step_to_its_last(seed, pace):
    curve = shapes.falling(300, pace=pace, seed=seed, noise=0.04)
    curve = shapes.evaluated(curve, 2.0, 1.7, 1.52, 1.47, 1.44, 1.43)
    watch = Watch()
    for n in range(1, curve.n + 1, 5):
        found = watch.add(begun(curve, n))
        assert found.label in ("undecided", "good"), n
        assert found.is_healthy, (n, found.secondary)


def test_it_says_how_many_steps_it_waits_for():
    curve = shapes.falling(400)
    assert diagnose(begun(curve, 20)).needs == "100 more steps"  # 30 % of 400
    assert diagnose(begun(curve, 49, planned=100)).needs == "1 more step"
    assert diagnose(begun(curve, 120)).needs == ""
    assert diagnose(replace(begun(curve, 30), is_over=True)).needs == "20 more steps"


def test_what_is_no_number_is_said_at_once():
    curve = shapes.falling(100)
    losses = [*curve.train_loss[:7], math.nan, *curve.train_loss[8:]]
    said = watched(replace(curve, train_loss=losses))
    assert said[6] == "undecided"
    assert "diverged" in said[7:18]


def test_a_verdict_changes_only_when_two_looks_agree():
    slow = shapes.constant(2.6, 400, noise=0.01, learning_rate=[1e-6] * 400, recommended_lr=1e-3)
    watch, fine = Watch(), shapes.falling(400)
    for n in (150, 160, 170):
        assert watch.add(begun(fine, n)).label == ("undecided" if n == 150 else "good")
    assert watch.add(begun(slow, 180)).label == "good"
    assert watch.add(begun(fine, 190)).label == "good"
    assert watch.add(begun(slow, 200)).label == "good"
    assert watch.add(begun(slow, 205)).label == "good"  # too early to look again
    assert watch.add(begun(slow, 210)).label == "lr_too_low"


def test_the_end_is_said_at_once_and_a_resumed_run_is_looked_at_anew():
    slow = shapes.constant(2.6, 400, noise=0.01, learning_rate=[1e-6] * 400, recommended_lr=1e-3)
    watch = Watch()
    watch.add(begun(slow, 395))
    assert watch.add(slow).label == "lr_too_low"
    assert watch.add(begun(slow, 40)).label == "undecided"
