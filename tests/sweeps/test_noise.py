"""How noisy losses are, by hand and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftlab.sweeps.noise import LEAST_SHARE, USUAL_SHARE, best_loss, noise_of, scatter_of


def test_the_scatter_is_that_around_a_line_through_the_last_evaluations():
    steps = np.array([60, 72, 84, 96, 120])
    losses = np.array([2.4, 2.31, 2.3, 2.18, 2.05])
    line = np.polyval(np.polyfit(steps, losses, 1), steps)
    expected = math.sqrt(((losses - line) ** 2).sum() / 3)
    early = {0: 4.0, 12: 3.9, 24: 3.0}
    assert scatter_of({**early, **dict(zip(steps.tolist(), losses.tolist(), strict=True))}) == (
        pytest.approx(expected)
    )


def test_too_few_evaluations_have_no_scatter():
    assert scatter_of({0: 4.0, 24: 3.0, 48: 2.5, 72: math.nan, 96: 2.0}) is None


def test_repeats_count_most():
    found = noise_of([{24: 2.0}], [[2.0, 2.02], [2.1, 2.14, 2.18], [1.0]])
    assert found.value == pytest.approx(math.sqrt((2 * 0.01**2 + 2 * 0.04**2) / 3))
    assert "5 arms" in found.basis


def test_without_any_measure_it_is_what_seeds_usually_make():
    found = noise_of([{0: 4.0, 24: 2.0}, {24: 3.0}])
    assert found.value == pytest.approx(USUAL_SHARE * 2)
    assert "0.3" in found.basis


def test_too_smooth_is_not_believed():
    straight = {step: 3 - step / 100 for step in range(10, 110, 10)}
    assert noise_of([straight]).value == pytest.approx(LEAST_SHARE * 2)


def test_the_best_loss_is_the_lowest_number_after_a_step():
    losses = {0: 1.0, 10: 3.0, 20: 2.0, 30: math.nan, 40: 2.5}
    assert best_loss(losses) == 2.0
    assert best_loss(losses, 10) == 3.0
    assert best_loss({0: 1.0, 5: math.inf}) is None
