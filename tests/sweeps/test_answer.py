"""What a sweep says, by hand."""

from __future__ import annotations

import math

import pytest

from ftlab.sweeps.answer import answer
from ftlab.sweeps.fit import TOLERANCE
from tests.sweeps.worlds import plan


def ended(*lowest: float, step: int = 240) -> dict[int, dict[int, float]]:
    """Arms that came down in a straight line to these losses, so that no noise is seen."""
    steps = [step * k // 6 for k in range(1, 7)]
    return {n: {s: 4 - (4 - loss) * s / step for s in steps} for n, loss in enumerate(lowest)}


def test_before_the_first_loss_there_is_none():
    assert answer(plan(3), plan(3).arms, {0: {}, 1: {0: 4.0}}) is None


def test_best_regrets_and_steps_by_hand():
    of = plan(3)
    found = answer(of, of.arms, ended(2.2, 2.0, 2.1))
    assert found is not None
    assert found.best == 1
    assert found.regrets == pytest.approx({0: 10, 1: 0, 2: 5})
    assert found.regret_of_recommended == pytest.approx(0)
    assert (found.steps, found.steps_of_grid, found.share) == (720, 720, 1)


def test_the_interval_comes_from_the_parabola_of_a_valley():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2]})
    found = answer(of, of.arms, ended(2.2, 2.0, 2.2))
    assert found is not None
    assert found.value == pytest.approx(1e-3)
    reach = 10 ** math.sqrt(TOLERANCE * 2 / 0.2)
    assert found.low is not None
    assert found.high is not None
    assert 1e-3 / reach / 1.15 < found.low < 1e-3 / reach
    assert 1e-3 * reach < found.high < 1e-3 * reach * 1.15
    assert "parabola through 1e-4, 1e-3 and 1e-2 at step 240" in found.basis
    assert found.fit is not None
    assert found.fit.at(1e-2) == pytest.approx(2.2)


def test_without_a_valley_the_interval_is_that_of_the_rates_beside_it_and_says_so():
    of = plan(3)
    curves = ended(2.2, 2.0, 2.1)
    # Where the middle one stands now it was the worst when the others ended.
    curves[1] = {40: 4.0, 240: 2.0}
    found = answer(
        of,
        of.arms,
        {n: {s: v for s, v in c.items() if n == 1 or s <= 40} for n, c in curves.items()},
    )
    assert found is not None
    assert found.best == 1
    assert (found.low, found.high, found.fit) == (3.2e-4, 3.2e-3, None)
    assert "no valley" in found.basis


def test_a_parabola_that_an_explosion_bends_below_all_losses_is_not_believed():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2]})
    found = answer(of, of.arms, ended(0.33, 0.25, 4.5))
    assert found is not None
    assert found.fit is None
    assert found.value == 1e-3
    assert (found.low, found.high) == (1e-4, 1e-2)
    assert "too far apart" in found.basis


def test_at_an_edge_nothing_is_said_of_what_lies_beyond():
    of = plan(3)
    found = answer(of, of.arms, ended(2.0, 2.2, 2.4))
    assert found is not None
    assert (found.low, found.high) == (None, 1e-3)
    assert found.headline.startswith("3.2e-4 (nothing below was tried) is best")


def test_the_regret_of_an_arm_that_ended_is_that_of_the_step_where_it_ended():
    of = plan(3)
    found = answer(of, of.arms, {0: {40: 3.0}, 1: {40: 2.5, 240: 2.0}, 2: {40: 2.75}})
    assert found is not None
    assert found.regrets == pytest.approx({0: 20, 1: 0, 2: 10})
    assert found.steps == 320


def test_a_tie_goes_to_the_lower_rate():
    of = plan(3)
    found = answer(of, of.arms, ended(2.001, 2.0, 2.1))
    assert found is not None
    assert found.best == 0


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        (ended(2.2, 2.0, 2.2), "is best; it is the recommended rate · 100 % of a full grid"),
        (ended(2.0, 2.1, 2.4), "is best; the recommended 1e-3 costs 5.0 % · 100 % of a full grid"),
        (
            {0: {20: 3.0, 240: 2.0}, 1: {20: 3.3}, 2: {20: 3.5}},
            "is best; the recommended 1e-3 was 10.0 % behind at step 20 · 39 % of a full grid",
        ),
        (ended(2.2, 2.0, 2.2, step=120), "leads at step 120 of 240; it is the recommended rate"),
    ],
)
def test_the_headline(curves, words):
    found = answer(plan(3), plan(3).arms, curves)
    assert found is not None
    assert words in found.headline


def test_in_a_product_the_interval_is_that_of_the_best_rank():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2], "lora_r": [8, 64]})
    found = answer(of, of.arms, ended(3.0, 2.2, 2.9, 2.0, 3.0, 2.2))
    assert found is not None
    assert found.best == 3
    assert found.headline.startswith("1e-3, lora_r 64 (")
    assert found.value == pytest.approx(1e-3)
    assert found.regret_of_recommended == pytest.approx(0)


def test_repeats_count_as_one_rate_and_give_the_noise():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2], "random_seed": [1, 2]})
    found = answer(of, of.arms, ended(2.2, 2.24, 2.0, 2.04, 2.2, 2.24))
    assert found is not None
    assert found.best == 2
    assert "repeats with other seeds (4 arms)" in found.basis
    assert found.fit is not None
    assert found.fit.lowest == pytest.approx(2.02)


def test_without_a_rate_the_arms_speak_for_themselves():
    of = plan(varied={"lora_r": [8, 64]})
    found = answer(of, of.arms, ended(2.1, 2.0))
    assert found is not None
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.headline == "lora_r 64 is best · 100 % of a full grid"


def test_repeats_are_named_as_one_and_the_best_of_them_is_the_result():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2], "random_seed": [1, 2]})
    found = answer(of, of.arms, ended(2.0, 2.4, 2.06, 2.04, 2.3, 2.3))
    assert found is not None
    assert found.best == 3
    assert found.headline.startswith("1e-3 (")
    assert "is best by the mean of 2 seeds; it is the recommended rate" in found.headline
    assert found.regrets[0] == found.regrets[1] == pytest.approx(100 * (2.2 / 2.05 - 1))
    assert found.regrets[2] == found.regrets[3] == 0
