"""Who goes on at a rung, by hand."""

from __future__ import annotations

import math

import pytest

from ftlab.sweeps.plan import Arm, Bounds
from ftlab.sweeps.rungs import Standing, decide, ending, ranked
from tests.sweeps.worlds import plan


def standings(*losses: float, step: int = 24) -> list[Standing]:
    return [Standing(n, step, {0: 4.0, step: loss}) for n, loss in enumerate(losses)]


def test_a_third_goes_on_with_the_neighbours_of_the_best():
    of = plan(7)
    found = decide(of, of.arms, 0, standings(3.9, 3.5, 2.6, 2.59, 2.6, 3.2, 3.8))
    assert found.kept == (2, 3, 4)
    assert found.stopped[0] == "behind at step 20: 3.9, and the best has 2.59"
    assert (found.rung, found.step, found.added) == (0, 20, ())


def test_the_best_and_those_beside_it_stay_until_the_last_rung_but_one_and_then_the_best():
    of = plan(7)
    five = [Standing(n, 60, {20: 3.0, 60: 2.5 + abs(n - 3) / 100}) for n in range(1, 6)]
    assert decide(of, of.arms, 1, five).kept == (2, 3, 4)
    three = [Standing(n, 120, {120: 2.3 + abs(n - 3) / 10}) for n in (2, 3, 4)]
    assert decide(of, of.arms, 2, three).kept == (3,)


def test_with_many_epochs_the_best_and_those_beside_it_go_to_the_end():
    of = plan(7, changes={"n_epochs": 6})
    three = [Standing(n, 120, {120: 2.3 + abs(n - 3) / 10}) for n in (2, 3, 4)]
    assert decide(of, of.arms, 2, three).kept == (2, 3, 4)
    two = [standing for standing in three if standing.arm < 4]
    assert decide(of, of.arms, 2, two).kept == (2, 3)


def test_with_many_epochs_both_beside_the_best_go_on_from_the_first_rung():
    """A low rate that is far behind at first may have the best checkpoint in the end: losses of a
    sweep on the demo model (24 rows, 20 epochs) after 20 steps; its third arm won."""
    losses = standings(4.757, 2.711, 0.933, 0.409, 0.690, 5.089)
    many = plan(7, changes={"n_epochs": 20})
    assert decide(many, many.arms, 0, losses).kept == (2, 3, 4)
    few = plan(7)
    assert decide(few, few.arms, 0, losses).kept == (3, 4)


def test_of_few_arms_one_neighbour_stays_at_first():
    of = plan(3)
    assert decide(of, of.arms, 0, standings(2.2, 2.0, 2.1)).kept == (1, 2)


def test_the_best_keeps_a_neighbour_though_a_distant_arm_is_better():
    of = plan(5)
    found = decide(of, of.arms, 0, standings(3.0, 2.01, 3.1, 2.0, 3.3))
    assert found.kept == (2, 3)


def test_who_is_clearly_behind_ends_though_there_is_room_unless_it_is_beside_the_best():
    of = plan(12)
    losses = [3.5] * 12
    losses[5:8] = 2.8, 2.0, 2.8
    losses[1] = 2.5
    assert decide(of, of.arms, 0, standings(*losses)).kept == (5, 6, 7)
    losses[1] = 2.01
    assert decide(of, of.arms, 0, standings(*losses)).kept == (1, 5, 6, 7)


def test_the_lowest_loss_so_far_counts_and_not_the_last():
    of = plan(3)
    overfitted = Standing(0, 72, {0: 4.0, 24: 2.0, 48: 2.4, 72: 2.9})
    falling = Standing(1, 72, {0: 4.0, 24: 3.0, 48: 2.7, 72: 2.5})
    far = Standing(2, 72, {0: 4.0, 24: 3.6, 48: 3.6, 72: 3.6})
    assert ranked(of.arms, {s.arm: s.losses for s in (overfitted, falling, far)})[0] == 0


def test_the_loss_before_training_is_no_result():
    of = plan(3)
    curves = {0: {0: 1.0, 24: 1.2}, 1: {0: 1.0, 24: 1.1}}
    assert ranked(of.arms, curves) == [1, 0]


def test_a_tie_goes_to_the_lower_rate():
    of = plan(3)
    assert ranked(of.arms, {0: {24: 2.005}, 1: {24: 2.0}, 2: {24: 2.1}}) == [0, 1, 2]
    assert ranked(of.arms, {0: {24: 2.01}, 1: {24: 2.0}, 2: {24: 2.1}}) == [1, 0, 2]


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        ({0: 2.0, 24: math.nan}, "nan"),
        ({0: 2.0, 24: math.inf}, "inf"),
        ({0: 2.0, 24: 3.1}, "more than 1.5 times the 2 before training"),
        ({0: 2.0, 24: 2.9}, ""),
        ({0: 2.0, 12: 3.1, 24: 1.9}, ""),
        ({}, ""),
    ],
)
def test_an_arm_ends_at_once_on_what_is_no_number_and_on_an_explosion(losses, word):
    assert word in ending(losses)
    assert bool(ending(losses)) == bool(word)


def test_an_arm_that_failed_is_no_neighbour_and_no_edge():
    of = plan(3)
    found = [
        Standing(0, 24, {0: 4.0, 24: 3.5}),
        Standing(1, 24, {0: 4.0, 24: 2.5}),
        Standing(2, 7, {0: 4.0}, "The loss became nan at step 7"),
    ]
    decision = decide(of, of.arms, 0, found)
    assert decision.kept == (0, 1)
    assert decision.stopped == {2: "The loss became nan at step 7"}
    assert decision.added == ()


def test_when_all_failed_nothing_goes_on():
    of = plan(3)
    found = decide(of, of.arms, 0, [Standing(n, 3, {}, "no room") for n in range(3)])
    assert found.kept == ()
    assert len(found.stopped) == 3


def test_a_best_at_the_edge_gets_a_neighbour_before_anything_is_decided():
    of = plan(3)
    found = decide(of, of.arms, 0, standings(3.5, 3.0, 2.5))
    assert found.added == ({"name": "1e-2", "changes": {"learning_rate": 0.01}},)
    assert found.kept == (0, 1, 2)
    assert not found.stopped


def test_the_grid_grows_downwards_too_and_twice_at_most():
    of = plan(3)
    arms, losses = [*of.arms], [2.5, 3.0, 3.5]
    for rate, loss in ((1e-4, 2.3), (3.1e-5, 2.1)):
        (added,) = decide(of, arms, 0, standings(*losses)).added
        assert added["changes"] == {"learning_rate": rate}
        arms, losses = [*arms, Arm(**added)], [*losses, loss]
    assert decide(of, arms, 0, standings(*losses)).added == ()


def test_the_grid_stays_within_its_bounds():
    of = plan(3, bounds=Bounds(1e-6, 5e-3))
    assert decide(of, of.arms, 0, standings(3.5, 3.0, 2.5)).added == ()
    free = plan(3)
    tested = Bounds(0.0, 6e-3)
    assert decide(free, free.arms, 0, standings(3.5, 3.0, 2.5), tested).added == ()


def test_late_in_the_run_and_at_the_end_nothing_is_added():
    of = plan(3)
    late = [Standing(n, 120, {120: 3.0 - n / 10}) for n in range(3)]
    assert decide(of, of.arms, 2, late).added == ()
    end = [Standing(n, 240, {240: 3.0 - n / 10}) for n in range(3)]
    assert decide(of, of.arms, 3, end).kept == (0, 1, 2)


def test_without_halving_only_failures_end():
    of = plan(3, halving=False)
    found = [*standings(3.0, 2.0, step=240), Standing(2, 240, {0: 4.0, 240: 9.0})]
    decision = decide(of, of.arms, 0, found)
    assert decision.kept == (0, 1)
    assert list(decision.stopped) == [2]


def test_in_a_product_a_neighbour_has_the_same_rank():
    of = plan(varied={"learning_rate": [1e-4, 1e-3, 1e-2], "lora_r": [8, 64]})
    # In the order of the arms: rates one after the other, with rank 8 and 64 each.
    found = decide(of, of.arms, 2, standings(3.0, 3.0, 2.2, 2.0, 2.1, 2.5, step=120))
    assert found.kept == (3,)
    early = decide(of, of.arms, 1, standings(3.0, 3.0, 2.2, 2.0, 2.1, 2.5, step=72))
    assert early.kept == (1, 3, 5)


# --- repeats ---------------------------------------------------------------------------------

REPEATED = {"learning_rate": [1e-4, 1e-3, 1e-2], "random_seed": [1, 2]}


def test_a_setting_is_ranked_by_the_mean_of_its_repeats():
    of = plan(varied=REPEATED)
    losses = {0: 2.1, 1: 2.1, 2: 2.0, 3: 2.3, 4: 2.05, 5: 2.06}
    assert ranked(of.arms, {n: {24: loss} for n, loss in losses.items()}) == [4, 0, 2]


def test_repeats_go_on_together_or_end_together():
    of = plan(varied={**REPEATED, "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]})
    found = decide(of, of.arms, 0, standings(3, 3, 2.5, 2.5, 2.0, 2.02, 2.2, 2.22, 3.5, 2.0))
    assert found.kept == (4, 5, 6, 7)
    assert found.stopped[9] == "behind at step 20: 2.75, and the best has 2.01"


def test_where_a_repeat_fails_so_does_its_setting_but_for_the_end():
    of = plan(varied=REPEATED)
    exploded = [*standings(2.3, 2.3, 2.0, 2.0, 2.1, 2.1)[:5], Standing(5, 24, {0: 4.0, 24: 9.0})]
    found = decide(of, of.arms, 0, exploded)
    assert found.stopped[4].startswith("its repeat 1e-2, random_seed 2 has ended: the validation")
    last = decide(of, of.arms, len(of.rungs) - 1, exploded)
    assert (last.kept, [*last.stopped]) == ((0, 1, 2, 3, 4), [5])


def test_beyond_the_edge_there_are_as_many_repeats_and_twice_at_most():
    of = plan(varied=REPEATED)
    arms, losses = [*of.arms], [2.6, 2.6, 2.4, 2.4, 2.0, 2.01]
    for better in (1.8, 1.6):
        found = decide(of, arms, 0, standings(*losses))
        new = [Arm(**arm) for arm in found.added]
        assert [arm.changes["random_seed"] for arm in new] == [1, 2]
        assert len({arm.rate for arm in new}) == 1
        arms, losses = [*arms, *new], [*losses, better, better]
    found = decide(of, arms, 0, standings(*losses))
    assert (found.kept, found.added) == ((6, 7, 8, 9), ())


def test_a_tie_of_means_is_closer_than_one_of_single_arms():
    arms = plan(varied={**REPEATED, "random_seed": [1, 2, 3, 4]}).arms
    spread = [-0.02, 0.02, -0.02, 0.02]  # a standard deviation of 0.023, of the mean of four 0.012
    rates = {0: 2.015, 1: 2.0, 2: 2.5}
    curves = {4 * n + k: {24: rates[n] + spread[k]} for n in rates for k in range(4)}
    assert ranked(arms, curves) == [4, 0, 8]
    rates[0] = 2.01
    curves = {4 * n + k: {24: rates[n] + spread[k]} for n in rates for k in range(4)}
    assert ranked(arms, curves) == [0, 4, 8]


def test_arms_that_differ_in_their_seed_alone_all_go_to_the_end():
    of = plan(varied={"random_seed": [1, 2, 3]})
    assert decide(of, of.arms, 0, standings(2.0, 2.1, 2.2)).kept == (0, 1, 2)
