"""Packs, by hand and against what must hold of all of them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ftlab.packs import count_packs, packed


def test_each_row_goes_where_it_leaves_the_least_room():
    # 7 | 6 | 3 behind the 7 | 2 behind the 6 | 2 behind them
    assert packed([2, 3, 7, 2, 6], 10) == [[2, 1], [4, 0, 3]]
    assert packed([5, 5, 5], 10) == [[0, 1], [2]]
    assert packed([], 10) == []


def test_a_row_that_is_too_long_fills_a_pack():
    assert packed([25, 3], 10) == [[0], [1]]


def test_rows_of_one_length_go_in_their_order():
    assert packed([4, 4, 4, 4], 8) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_in_one_pack_and_no_pack_is_too_long(seed):
    rng = random.Random(seed)
    longest = rng.randint(5, 100)
    lengths = [rng.randint(1, longest) for _ in range(200)]
    packs = packed(lengths, longest)
    assert sorted(place for pack in packs for place in pack) == list(range(200))
    assert all(sum(lengths[place] for place in pack) <= longest for pack in packs)
    assert len(packs) == count_packs(Counter(lengths), longest)
    # No two packs fit into one.
    fill = sorted(sum(lengths[place] for place in pack) for pack in packs)
    assert len(fill) == 1 or fill[0] + fill[1] > longest


def test_how_many_packs_do_not_depend_on_the_order():
    rng = random.Random(0)
    lengths = [rng.randint(1, 90) for _ in range(300)]
    counts = set()
    for _ in range(10):
        rng.shuffle(lengths)
        counts.add(len(packed(lengths, 100)))
    assert len(counts) == 1
