"""How noisy losses are, by hand and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftlab.sweeps.noise import LEAST_SHARE, MOST_SHARE, USUAL_SHARE, best_loss, noise_of, scatter_of


def test_the_scatter_is_that_of_what_a_parabola_does_not_explain():
    losses = dict(zip(range(20, 120, 20), (2.4, 2.31, 2.3, 2.18, 2.05), strict=True))
    third = [2.18 - 3 * 2.3 + 3 * 2.31 - 2.4, 2.05 - 3 * 2.18 + 3 * 2.3 - 2.31]
    expected = math.sqrt(sum(d**2 for d in third) / 2 / 20)
    assert scatter_of({0: 4.0, **losses}) == pytest.approx(expected)
    assert scatter_of({step: 3 - step / 50 + step**2 / 9000 for step in range(10, 80, 10)}) == (
        pytest.approx(0, abs=1e-9)
    )


def test_the_scatter_is_the_noise_that_was_put_in():
    draw = np.random.default_rng(0)
    found = [
        scatter_of({step: 2 + 1 / step + draw.normal(0, 0.01) for step in range(60, 130, 10)})
        for _ in range(300)
    ]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.01, rel=0.1)


def test_too_few_evaluations_have_no_scatter():
    assert scatter_of({0: 4.0, 24: 3.0, 48: 2.5, 72: math.nan, 96: 2.0, 120: 1.9}) is None


def test_a_loss_that_falls_fast_is_no_noise():
    falling = {step: 4 * math.exp(-step / 7) for step in range(5, 45, 5)}
    assert noise_of([falling]).value <= MOST_SHARE * min(falling.values())


def test_repeats_count_most():
    far = [[3.0, 3.4], [4.0, 5.0]]  # of settings that are far from the best
    found = noise_of([{24: 2.0}], [[2.0, 2.02], *far, [2.1, 2.14, 2.18], [1.0]])
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
