"""How steps are cut into pieces, by hand and against every step that could be drawn."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ftlab.pieces import PIECE_TOKENS, Piece, cut, largest_pieces, piece_sizes, typical_step


def test_a_piece_is_full_when_padding_would_pass_the_limit():
    assert piece_sizes([10, 9, 8, 3, 2], max_tokens=20) == [2, 2, 1]
    assert piece_sizes([50, 10, 10], max_tokens=20) == [1, 2]


def test_a_piece_has_no_more_rows_than_asked_for():
    assert piece_sizes([5, 5, 5, 5, 5], max_rows=2, max_tokens=1000) == [2, 2, 1]


def test_a_step_without_rows_has_no_pieces():
    assert piece_sizes([]) == []


def test_pieces_are_padded_to_their_longest_row():
    alone, together = cut([3000, 1000, 900, 100])
    assert alone == Piece(1, 3000)
    assert together == Piece(3, 1000, filled=2000 / 3000)
    assert together.lengths == [1000, 500, 500]


def test_a_typical_step_is_spread_over_the_rows_of_the_file():
    assert typical_step({10: 2, 20: 1, 400: 1}, 4) == [400, 20, 10, 10]
    assert typical_step({10: 50, 20: 50}, 2) == [20, 10]
    assert typical_step({7: 1}, 3) == [7, 7, 7]


@pytest.mark.parametrize("max_rows", [None, 1, 3])
def test_no_step_has_a_larger_piece_than_the_largest(max_rows):
    rng = random.Random(0)
    for _ in range(200):
        lengths = [rng.randint(1, rng.choice((50, 900, 6000))) for _ in range(rng.randint(1, 60))]
        per_step = rng.randint(1, 40)
        most = max(p.tokens for p in largest_pieces(Counter(lengths), per_step, max_rows))
        step = sorted(rng.choices(lengths, k=per_step), reverse=True)
        assert max(piece.tokens for piece in cut(step, max_rows)) <= most
        assert most <= max(PIECE_TOKENS, *lengths)


def test_the_largest_piece_of_short_rows_is_the_whole_step():
    alone, together = largest_pieces({20: 1, 60: 2, 100: 1}, 8)
    assert alone == Piece(1, 100)
    assert (together.rows, together.length) == (8, 100)
    assert together.filled == pytest.approx((2 * 100 + 4 * 60 + 2 * 20) / 800)


def test_one_long_row_goes_alone():
    assert largest_pieces({5000: 1}, 8) == [Piece(1, 5000)]


def test_the_trainer_cuts_by_the_same_rule():
    from array import array

    from ftlab.train.batches import Example, pieces

    rng = random.Random(1)
    lengths = [rng.randint(1, 3000) for _ in range(50)]
    examples = [
        Example(array("i", [0] * n), array("i", [0] * n), 1.0, was_cut=False) for n in lengths
    ]
    made = [[len(example.ids) for example in piece] for piece in pieces(examples, 4)]
    expected = cut(sorted(lengths, reverse=True), 4)
    assert [(len(rows), rows[0]) for rows in made] == [(p.rows, p.length) for p in expected]
