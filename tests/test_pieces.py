"""How steps are cut into pieces, by hand and against every step that could be drawn."""

from __future__ import annotations

import random
from array import array
from collections import Counter

import pytest

from ftlab.pieces import (
    PIECE_TOKENS,
    Piece,
    StepRows,
    largest_piece,
    piece_sizes,
    typical_piece,
)
from ftlab.train.batches import Example, Pair, pieces


def cut(lengths: list[int], max_rows: int | None = None, each: int = 1) -> list[int]:
    """Tokens of each piece of a step."""
    tokens, found = [each * length for length in lengths], []
    for size in piece_sizes(tokens, max_rows):
        found.append(sum(tokens[:size]))
        tokens = tokens[size:]
    return found


def test_a_piece_is_full_when_another_row_would_pass_the_limit():
    assert piece_sizes([3, 8, 9, 10, 2], max_tokens=20) == [3, 2]
    assert piece_sizes([50, 10, 10], max_tokens=20) == [1, 2]


def test_what_is_padded_counts_as_long_as_the_longest():
    assert piece_sizes([10, 9, 8, 3, 2], max_tokens=20, padded=True) == [2, 2, 1]
    assert piece_sizes([10, 9, 8, 3, 2], max_tokens=20) == [2, 3]


def test_a_piece_has_no_more_rows_than_asked_for():
    assert piece_sizes([5, 5, 5, 5, 5], max_rows=2, max_tokens=1000) == [2, 2, 1]


def test_a_step_without_rows_has_no_pieces():
    assert piece_sizes([]) == []


def test_a_piece_of_given_rows():
    assert Piece.of([3, 4]) == Piece(7, 25)
    assert Piece.of([]) == Piece(0, 0)


def test_a_typical_piece_has_the_rows_of_a_step_or_as_many_as_fit():
    assert typical_piece(StepRows({10: 1, 30: 1}, 4)) == Piece(80, 4 * 500)
    assert typical_piece(StepRows({10: 1, 30: 1}, 4, max_rows=1)) == Piece(20, 500)
    assert typical_piece(StepRows({1024: 5}, 16)) == Piece(PIECE_TOKENS, 4 * 1024**2)
    assert typical_piece(StepRows({5000: 1}, 8)) == Piece(5000, 5000**2)


def test_both_answers_of_a_pair_go_together_and_begin_once():
    pairs = StepRows({100: 8}, 2, sequences=2)
    assert typical_piece(pairs) == Piece(400, 4 * 100**2)
    # 50 tokens of 100 are the same: a flat row has 150 of 200, and of the squares 50² fewer.
    alike = StepRows({100: 8}, 2, sequences=2, shared=0.25)
    # Keys of all 400 are there, and a mask for 4 times 50 tokens with 100 before them.
    assert typical_piece(alike) == Piece(300, 2 * (2 * 100**2 - 50**2), 400, 4 * 50 * 100)


def test_the_longest_pair_is_two_sequences():
    assert largest_piece(StepRows({3000: 4}, 1, sequences=2)).tokens == 6000


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("max_rows", [None, 1, 3])
def test_the_largest_piece_is_about_the_largest_that_a_run_meets(max_rows, each):
    rng, off = random.Random(0), []
    for _ in range(200):
        low = rng.randint(1, 400)
        high = low + rng.choice((10, 300, 2000))
        lengths = [rng.randint(low, high) for _ in range(60)]
        per_step, n_steps = rng.randint(1, 40), rng.randint(5, 50)
        steps = [rng.sample(lengths, per_step) for _ in range(n_steps)]
        met = max(tokens for step in steps for tokens in cut(step, max_rows, each))
        counts = Counter({length: each * n for length, n in Counter(lengths).items()})
        rows = StepRows(counts, per_step, max_rows, sequences=each)
        off.append(largest_piece(rows, n_steps).tokens / met)
        assert largest_piece(rows, n_steps).tokens <= max(PIECE_TOKENS, each * max(lengths))
    off.sort()
    assert 0.95 < off[10] < off[-10] < 1.1


def test_a_run_that_sees_few_rows_hardly_meets_the_longest():
    rare = StepRows({100: 999, 3000: 1}, 2)
    assert largest_piece(rare, 5).squares == largest_piece(rare, 5).tokens * 100
    assert largest_piece(rare, 500).tokens >= 3000


def test_one_long_row_goes_alone():
    assert largest_piece(StepRows({5000: 1}, 8)) == Piece(5000, 5000**2)


def example(length: int) -> Example:
    return Example(array("i", [0] * length), array("i", [0] * length), 1.0, was_cut=False)


def test_the_trainer_cuts_by_the_same_rule():
    rng = random.Random(1)
    lengths = [rng.randint(1, 3000) for _ in range(50)]
    made = list(pieces([example(length) for length in lengths], 4, padded=False))
    assert [sum(row.length for row in piece) for piece in made] == cut(lengths, 4)
    assert [row.length for piece in made for row in piece] == lengths


def test_of_a_pair_both_answers_count():
    pairs = [Pair(example(1000), example(500)) for _ in range(4)]
    assert [len(piece) for piece in pieces(pairs, None, padded=False)] == [2, 2]
