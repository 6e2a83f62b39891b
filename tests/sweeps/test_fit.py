"""The parabola by hand and against numpy, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftlab.sweeps.fit import TOLERANCE, interval, parabola


def test_by_hand():
    # y = 2 + 0.5 (x + 3.25)²
    points = [(x, 2 + 0.5 * (x + 3.25) ** 2) for x in (-4.0, -3.5, -3.0)]
    found = parabola(points)
    assert found is not None
    assert found.middle == pytest.approx(-3.25)
    assert found.lowest == pytest.approx(2)
    assert found.curvature == pytest.approx(0.5)
    assert found.rate == pytest.approx(10**-3.25)
    assert found.at(1e-3) == pytest.approx(2 + 0.5 * 0.0625)


def test_as_numpy_has_it():
    draw = np.random.default_rng(0)
    for _ in range(50):
        x = np.sort(draw.uniform(-6, 0, 3))
        y = draw.uniform(1, 3, 3)
        a, b, c = np.polyfit(x, y, 2)
        middle = -b / (2 * a)
        found = parabola([*zip(x.tolist(), y.tolist(), strict=True)])
        assert (found is not None) == (a > 0 and x[0] < middle < x[2])
        if found is not None:
            assert found.middle == pytest.approx(middle, rel=1e-6)
            assert found.lowest == pytest.approx(np.polyval((a, b, c), middle), rel=1e-6)
            assert found.curvature == pytest.approx(a, rel=1e-6)


@pytest.mark.parametrize(
    "losses", [(2.0, 2.1, 2.0), (2.0, 2.0, 2.0), (1.9, 2.0, 2.2), (3.0, 2.0, 1.5)]
)
def test_what_is_no_valley_between_the_outer_two_has_no_parabola(losses):
    assert parabola([*zip((-4.0, -3.5, -3.0), losses, strict=True)]) is None


def test_without_noise_the_interval_is_where_the_loss_is_within_the_tolerance():
    points = [(-4.0, 2.08), (-3.5, 2.0), (-3.0, 2.08)]
    found = parabola(points)
    assert found is not None
    low, high = interval(points, (0, 0, 0))
    assert low == pytest.approx(-3.5 - math.sqrt(TOLERANCE * 2 / 0.32))
    assert found.at(10**high) == pytest.approx(2 * (1 + TOLERANCE))


def test_noise_widens_it_up_to_the_outer_rates():
    points = [(-4.0, 2.2), (-3.5, 2.0), (-3.0, 2.2)]
    widths = [high - low for low, high in (interval(points, [n] * 3) for n in (0, 0.02, 0.1, 5))]
    assert widths == sorted(widths)
    assert widths[-1] == pytest.approx(1)
    assert widths[0] < 0.25
    assert interval(points, [0.02] * 3) == interval(points, [0.02] * 3)
