"""Near duplicates against every pair worked out by hand, and what a file says of them."""

from __future__ import annotations

import random

import pytest

from ftlab.data.checks import near
from ftlab.data.checks.near import NearRows, jaccard, near_rows, shingles_of
from ftlab.data.report import scan
from tests.small import write_rows


def near_duplicates(rows):
    return near.near_duplicates(near_rows(rows))


WORDS = [f"word{i}" for i in range(400)]


def text_of(n_words, seed):
    return " ".join(random.Random(seed).choices(WORDS, k=n_words))


def with_other_word(text, place):
    words = text.split()
    words[place] = "changed"
    return " ".join(words)


def plain_jaccard(one, other):
    """The index from sets of tuples, the slow and plain way."""
    sets = []
    for text in (one, other):
        words = text.split()
        sets.append({tuple(words[i : i + 3]) for i in range(len(words) - 2)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_jaccard_of_a_worked_example():
    # Shingles abc bcd cde against abc bcd cdf: two shared of four.
    assert jaccard(shingles_of("a b c d e"), shingles_of("a b c d f")) == 0.5
    assert jaccard(shingles_of("one two"), shingles_of("ONE, two!")) == 1.0
    assert len(shingles_of("")) == 0


def test_chinese_is_compared_by_its_characters():
    one, other = shingles_of("今天天气很好我们去公园"), shingles_of("今天天气很好我们去海边")
    assert 0.5 < jaccard(one, other) < 0.9


def test_pairs_are_those_that_every_comparison_finds():
    rows = [(i, text_of(60 + i % 40, i)) for i in range(1, 301)]
    draw = random.Random(5)
    for number in range(301, 401):
        text = rows[number - 301][1]
        for _ in range(draw.choice((1, 1, 2, 6))):
            text = with_other_word(text, draw.randrange(len(text.split())))
        rows.append((number, text))
    similar = {
        (a, b): plain_jaccard(one, other)
        for a, one in rows[:300]
        for b, other in rows[300:]
        if plain_jaccard(one, other) >= 0.8
    }
    assert 50 < len(similar) < 100  # some of the copies changed too much
    found = {(a, b): j for a, b, j in near_duplicates(rows)}
    assert found == pytest.approx(similar)


def test_equal_texts_are_left_to_the_exact_check():
    text = text_of(30, 1)
    assert near_duplicates([(1, text), (2, text), (3, text.upper())]) == [(1, 3, 1.0)]


def test_a_file_of_one_template_is_done_in_linear_steps(monkeypatch):
    compared = []
    monkeypatch.setattr(near, "jaccard", lambda a, b: compared.append(1) or jaccard(a, b))
    base = text_of(40, 3)
    rows = [(i, f"{base} order number {i}") for i in range(1, 1001)]
    assert len(near_duplicates(rows)) == 999
    assert len(compared) < 5_000


def test_issue_names_both_lines_and_the_share():
    base = text_of(50, 9)
    rows = [(i, text_of(50, 100 + i)) for i in range(1, 20)] + [(20, base), (22, f"{base} end")]
    (issue,) = near.near_duplicate_issues("t.jsonl", near_rows(rows))
    assert issue.message.startswith("t.jsonl line 22: ")
    assert "line 20" in issue.message
    assert (issue.code, issue.level, issue.lines) == ("near_duplicates", "tip", (22,))
    assert list(near.near_duplicate_issues("t.jsonl", near_rows(rows[:-1]))) == []


def test_too_many_rows_are_left_and_said(monkeypatch):
    monkeypatch.setattr(near, "MOST_ROWS", 20)
    rows = near_rows((i, f"row {i}") for i in range(30))
    (issue,) = near.near_duplicate_issues("t.jsonl", rows)
    assert (issue.code, issue.level) == ("near_duplicates_not_sought", "tip")
    assert rows.different() == ([], [])
    assert NearRows(n_bytes=1 << 30).too_many
    (issue,) = near.near_leakage_issues("train", rows, "val", near_rows([]))
    assert issue.code == "near_duplicates_not_sought"
    assert "train" in issue.message


def test_lines_come_in_any_order():
    base = text_of(50, 9)
    rows = near_rows([(7, f"{base} end"), (2, base)])
    assert [(a, b) for a, b, _ in near.near_duplicates(rows)] == [(2, 7)]


def test_validation_rows_that_nearly_repeat_training_rows():
    base = text_of(50, 7)
    train = [(i, text_of(50, 100 + i)) for i in range(1, 9)] + [(9, base)]
    validation = [(1, text_of(50, 77)), (2, f"{base} end"), (3, f"{base} fin"), (4, base)]
    train, validation = near_rows(train), near_rows(validation)
    found = near.near_leakage(train, validation)
    assert [(a, b) for a, b, _ in found] == [(9, 2), (9, 3), (9, 4)]
    (issue,) = near.near_leakage_issues("train", train, "val", validation, known={4})
    assert (issue.lines, issue.level) == ((2, 3), "warning")


def said(question, answer, system=None):
    turns = [("user", question), ("assistant", answer)]
    turns = [("system", system), *turns] if system else turns
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


QUESTION = "Where did the parcel with order number 4417 go after it had left the house?"
ANSWER = "It went by ship from Bergen to Hull and was handed over there on Monday morning."


@pytest.mark.parametrize(
    "row",
    [
        said(QUESTION.upper(), ANSWER.upper()),
        said(QUESTION.rstrip("?"), ANSWER.rstrip(".")),
        said(QUESTION, ANSWER, "Be brief."),
    ],
)
def test_rows_that_say_the_same_otherwise_written(row, tmp_path):
    """No exact copies, since a letter or the system prompt differs."""
    train = write_rows(tmp_path / "train.jsonl", [said(QUESTION, ANSWER)])
    found = {issue.code: issue for issue in scan([row], against=train).issues}
    assert found["near_leakage"].lines == (1,)
    assert "leakage" not in found
    within = {issue.code: issue for issue in scan([said(QUESTION, ANSWER), row]).issues}
    assert within["near_duplicates"].lines == (2,)


def test_what_is_found_exactly_is_not_said_again(tmp_path):
    rows = [said(QUESTION, ANSWER), said(QUESTION, "Nobody knows.")]
    train = write_rows(tmp_path / "train.jsonl", rows[:1])
    codes = {issue.code for issue in scan(rows, against=train).issues}
    assert {"leakage", "prompt_leakage"} <= codes
    assert "near_leakage" not in codes


def test_of_preference_rows_question_and_preferred_answer_are_compared():
    def row(question, number):
        sides = ("preferred_output", f"{ANSWER} {number}"), ("non_preferred_output", ANSWER)
        outputs = {side: [{"role": "assistant", "content": text}] for side, text in sides}
        return {"input": {"messages": [{"role": "user", "content": question}]}, **outputs}

    other = "Who signed for the crate that came in through the back door last summer, and why?"
    codes = [
        {i.code for i in scan([row(QUESTION, 1), row(q, 2)]).issues} for q in (QUESTION, other)
    ]
    assert ["near_duplicates" in found for found in codes] == [True, False]


def test_without_rensa_an_issue_says_what_to_install(monkeypatch):
    monkeypatch.setattr("ftlab.data.repeats.has_rensa", lambda: False)
    (issue,) = (i for i in scan([{"text": "a"}]).issues if "rensa" in i.message)
    assert (issue.code, issue.level) == ("no_rensa", "tip")
    assert "pip install rensa" in issue.message


def test_rows_that_can_be_read_once_are_compared_too():
    rows = ({"text": f"{text_of(50, 9)} {i}"} for i in range(3))
    (issue,) = (i for i in scan(rows).issues if i.code == "near_duplicates")
    assert issue.lines == (2, 3)


def test_rows_without_words_have_no_near_duplicates():
    assert near_duplicates([]) == []
    assert near_duplicates([(1, ""), (2, "…"), (3, "!?")]) == []
