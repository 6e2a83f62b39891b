"""Blind votes: kept line by line, counted whoever stood where, judged by Wilson's interval."""

from __future__ import annotations

import json

import pytest

from ftlab.errors import RunError
from ftlab.votes import Tally, Vote, add_vote, read_votes, shuffled, tally, wilson


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [
        # statsmodels.stats.proportion.proportion_confint(…, method="wilson")
        (0, 10, 0.0, 0.2775328),
        (5, 10, 0.2365931, 0.7634069),
        (9, 10, 0.5958500, 0.9821238),
        (10, 10, 0.7224672, 1.0),
        (81, 263, 0.2552870, 0.3662114),  # Newcombe 1998, table I: 0.2553 to 0.3662
        (15, 148, 0.0624085, 0.1605384),  # the same: 0.0624 to 0.1605
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_wilsons(n_right, n, low, high):
    assert wilson(n_right, n) == pytest.approx((low, high), abs=1e-4)


def test_chance_is_excluded_only_by_the_interval():
    def of(wins, losses):
        votes = [Vote("b", "t", "right", 0)] * wins + [Vote("t", "b", "right", 0)] * losses
        return tally(votes, "b", "t")

    assert (of(5, 0).verdict, of(3, 0).verdict) == ("better", "")
    assert (of(9, 1).verdict, of(7, 3).verdict, of(0, 5).verdict) == ("better", "", "worse")
    assert "this may still be chance" in of(3, 0).in_words("base", "tuned")
    assert "better than chance" in of(9, 1).in_words("base", "tuned")
    assert Tally(0, 0, 1, 0).in_words("a", "b") == "No vote for one side yet; 1 tie, 0 both bad."
    assert "better on 9 of 10 prompts (90%, with 95 % certainty 60% to 98%)" in (
        of(9, 1).in_words("base", "tuned").replace("than base on", "on").replace("tuned ", "")
    )


def test_votes_survive_and_torn_lines_are_passed_over(tmp_path):
    file = tmp_path / "votes.jsonl"
    assert read_votes(file) == []
    votes = [
        Vote("b", "t", "right", 1, "Where\nis it?", ("no", "smør 🙂"), {"seed": 3}, 9.0),
        Vote("t", "b", "tie", 2, time=9.5),
    ]
    add_vote(file, votes[0])
    with file.open("ab") as stream:
        stream.write(b'\n{"left": "b", "choi')
    add_vote(file, votes[1])
    with file.open("ab") as stream:
        stream.write(b'{"left": "b", "right": "t", "choice": "maybe", "seed": 1}\n[]\n\xff\n')
        stream.write(b'{"left": [], "right": "t", "choice": "tie", "seed": 1}\n')
        stream.write(b'{"left": "b", "right": "t", "choice": ["tie"], "seed": 1}\n')
        stream.write(b"[" * 100_000 + b"\n")
    found = read_votes(file)
    assert [vote.choice for vote in found] == ["right", "tie"]
    assert found[0].winner == "t"
    assert tuple(found[0].answers) == votes[0].answers
    assert tally(found, "b", "t") == (0, 1, 1, 0)
    assert json.loads(file.read_bytes().split(b"\n")[1])["seed"] == 1


def test_what_can_not_be_read_or_written_is_said(tmp_path):
    with pytest.raises(RunError, match=r"can't be written .* Vote again"):
        add_vote(tmp_path / "gone" / "votes.jsonl", Vote("b", "t", "tie", 1))
    with pytest.raises(RunError, match="can't be read"):
        read_votes(tmp_path)


def test_the_seed_decides_who_stands_where():
    places = {seed: shuffled("b", "t", seed) for seed in range(200)}
    assert places == {seed: shuffled("b", "t", seed) for seed in range(200)}
    assert 70 < sum(left == "b" for left, _ in places.values()) < 130


def test_only_votes_on_the_same_sides_count():
    votes = [Vote("b", "t", "left", 0), Vote("b", "t:20", "left", 0), Vote("t", "b", "bad", 0)]
    assert tally(votes, "b", "t") == (1, 0, 0, 1)
