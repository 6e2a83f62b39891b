"""Figures of a TokenStats against counting over the sequences themselves."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ftlab.data.stats import TokenStats

LIMITS = [None, 1, 2, 5, 31, 64, 65, 100, 1_000]


def sequences(seed, n=60):
    """Which tokens train, as lists of truth values; the first token never does."""
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        flags = []
        while len(flags) < draw.choice((1, 8, 60, 130)):
            flags += [draw.random() < 0.4] * draw.randint(1, 12)
        if draw.random() < 0.1:
            flags = [False] * len(flags)
        made.append([False, *flags[1:]])
    return made


def stats_of(made):
    found = {name: Counter() for name in ("starts", "ends", "first", "last", "lengths")}
    for flags in made:
        found["lengths"][len(flags)] += 1
        padded = [False, *flags, False]
        starts = [i for i in range(len(flags)) if padded[i + 1] and not padded[i]]
        ends = [i + 1 for i in range(len(flags)) if padded[i + 1] and not padded[i + 2]]
        found["starts"].update(starts)
        found["ends"].update(ends)
        found["first"].update(starts[:1])
        found["last"].update(ends[-1:])
    return TokenStats(
        lengths=found["lengths"],
        by_role={},
        run_starts=found["starts"],
        run_ends=found["ends"],
        first_trained=found["first"],
        last_trained=found["last"],
    )


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seed", range(10))
def test_what_a_length_keeps(seed, limit):
    made = sequences(seed)
    stats = stats_of(made)
    kept = [flags[:limit] for flags in made]
    assert stats.total_within(limit) == sum(map(len, kept))
    assert stats.trained_within(limit) == sum(map(sum, kept))
    assert stats.n_untrained(limit) == sum(not any(flags) for flags in kept)
    assert stats.n_longer(limit) == sum(len(f) > len(k) for f, k in zip(made, kept, strict=True))
    lost = [sum(k) < sum(f) for f, k in zip(made, kept, strict=True)]
    assert stats.n_answer_cut(limit) == sum(lost)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("seed", range(10))
def test_the_recommended_length_is_the_first_multiple_that_keeps_enough(seed, share):
    made = sequences(seed)
    total = sum(map(sum, made))
    enough = (n for n in range(64, 1_000, 64) if sum(sum(f[:n]) for f in made) >= share * total)
    assert stats_of(made).recommended_length(share) == next(enough)


def packed(lengths, limit):
    """Best fit, longest first, with a plain list of what is free."""
    free = []
    for size in sorted((min(n, limit) for n in lengths), reverse=True):
        fitting = [room for room in free if room >= size]
        if fitting:
            free.remove(min(fitting))
            free.append(min(fitting) - size)
        else:
            free.append(limit - size)
    return 1 - sum(free) / (len(free) * limit)


def lengths_only(lengths):
    return TokenStats(lengths=Counter(lengths), by_role={})


def test_packing_by_hand():
    # 7+3, 6+4, 5+5 and 5+4+1: four packs of 10, all full.
    assert lengths_only([7, 6, 5, 5, 5, 4, 4, 3, 1]).packing_efficiency(10) == 1.0
    # 12 is cut to 10, 6 stays alone, 5+5: 26 of 30 places.
    assert lengths_only([6, 5, 5, 12]).packing_efficiency(10) == pytest.approx(26 / 30)
    # 7+3 and 6+2+2; were the 3 put where more room is, beside the 6, the last 2 would need a third.
    assert lengths_only([7, 6, 3, 2, 2]).packing_efficiency(10) == 1.0
    # Without a length the longest sequence is the length: 4, 3+1 and 2 in 12 places.
    assert lengths_only([4, 3, 2, 1]).packing_efficiency(None) == pytest.approx(10 / 12)
    assert lengths_only([]).packing_efficiency(None) == 1.0


@pytest.mark.parametrize("limit", [16, 50, 64])
@pytest.mark.parametrize("seed", range(20))
def test_packing_against_a_plain_best_fit(seed, limit):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 80) for _ in range(draw.randint(1, 120))]
    assert lengths_only(lengths).packing_efficiency(limit) == pytest.approx(packed(lengths, limit))


def test_quantiles_are_lengths_that_enough_sequences_do_not_exceed():
    draw = random.Random(1)
    lengths = [draw.randint(1, 500) for _ in range(400)]
    stats = lengths_only(lengths)
    for share in (0.05, 0.5, 0.99, 1.0):
        length = stats.quantile(share)
        assert sum(n <= length for n in lengths) >= share * len(lengths)
        assert sum(n < length for n in lengths) < share * len(lengths)


def test_the_histogram_holds_every_sequence_once():
    draw = random.Random(2)
    lengths = [draw.randint(1, 500) for _ in range(400)]
    bins = lengths_only(lengths).histogram(7)
    assert bins[0][0] == 0
    assert [low for low, _, _ in bins[1:]] == [high for _, high, _ in bins[:-1]]
    assert [n for _, _, n in bins] == [sum(a <= x < b for x in lengths) for a, b, _ in bins]
    assert sum(n for _, _, n in bins) == 400
