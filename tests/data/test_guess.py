"""Tokens guessed by characters, for models whose tokenizer is not here."""

from __future__ import annotations

import json

import pytest

from ftlab.data.guess import CHARS_PER_TOKEN, PER_MESSAGE, ROUNDED_TO, SPREAD
from ftlab.data.report import scan
from tests.small import chat_rows, save_model, write_rows


def chat(*texts):
    roles = ("user", "assistant") * len(texts)
    pairs = zip(roles, texts, strict=False)
    return {"messages": [{"role": role, "content": text} for role, text in pairs]}


def test_a_guess_by_hand(tmp_path):
    rows = [chat("a" * 40, "b" * 80), chat("a" * 40, "b" * 400)]
    report = scan(write_rows(tmp_path / "t.jsonl", rows))
    assert report.tokens is None
    # 120 / 4 + 2 × 5 = 40 and 440 / 4 + 2 × 5 = 120, both multiples of 8
    assert (CHARS_PER_TOKEN, PER_MESSAGE, ROUNDED_TO) == (4, 5, 8)
    assert report.guess.lengths == {40: 1, 120: 1}
    assert report.sizes is report.guess


def test_other_scripts_have_fewer_characters_a_token(tmp_path):
    latin = scan(write_rows(tmp_path / "a.jsonl", [chat("question" * 9, "an answer" * 9)] * 3))
    han = scan(
        write_rows(
            tmp_path / "b.jsonl", [chat("天地玄黄宇宙洪荒" * 9, "日月盈昃辰宿列张好" * 9)] * 3
        )
    )
    assert han.guess.total > 1.8 * latin.guess.total


def test_scripts_count_by_their_share(tmp_path):
    mixed = [chat("question" * 9, "an answer" * 9), chat("天地玄黄" * 18, "日月盈昃列张" * 18)]
    report = scan(write_rows(tmp_path / "m.jsonl", mixed))
    a, b = sorted(report.guess.lengths)
    per_char = (1 / 4 + 1 / 1.6) / 2
    assert a == -(-(153 * per_char + 10) // 8) * 8
    assert b == -(-(180 * per_char + 10) // 8) * 8


def test_a_preference_row_is_two_sequences(tmp_path):
    row = {
        "input": {"messages": [{"role": "user", "content": "q" * 200}]},
        "preferred_output": [{"role": "assistant", "content": "a" * 300}],
        "non_preferred_output": [{"role": "assistant", "content": "b" * 300}],
    }
    short = {**row, "non_preferred_output": [{"role": "assistant", "content": "b" * 20}]}
    report = scan(write_rows(tmp_path / "p.jsonl", [row, short, row]))
    # (200 + 300) / 4 + 3 × 5 = 140 → 144; (200 + 20) / 4 + 15 = 70 → 72
    assert report.guess.lengths == {144: 5, 72: 1}


def test_with_a_tokenizer_nothing_is_guessed(tmp_path):
    file = write_rows(tmp_path / "t.jsonl", chat_rows(6))
    report = scan(file, save_model(tmp_path / "model"))
    assert report.guess is None
    assert report.sizes is report.tokens


def test_a_file_without_rows_has_no_guess(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("{]\n")
    assert scan(file).guess is None


@pytest.mark.parametrize("n_messages", [2, 6])
def test_prose_lies_within_the_spread(tmp_path, n_messages):
    """Against a byte-pair tokenizer that was trained on the same prose."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from ftlab import demo

    lines = demo.TRAIN.read_text().splitlines()
    texts = [json.loads(line)["messages"][0]["content"] for line in lines]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4000, show_progress=False))
    rows = [chat(*texts[i : i + n_messages]) for i in range(0, 600, n_messages)]
    guess = scan(write_rows(tmp_path / "t.jsonl", rows)).guess.total
    template = len(rows) * n_messages * PER_MESSAGE
    exact = sum(len(tokenizer.encode(text).ids) for text in texts[:600]) + template
    assert guess * SPREAD[0] < exact < guess * SPREAD[1]
