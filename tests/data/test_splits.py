"""Files split into two: nothing is lost, copies stay together, and it comes out the same again."""

from __future__ import annotations

import gzip
import json

import pytest

from ftlab.data.splits import split_file
from ftlab.errors import UnreadableData
from tests.small import chat_rows, write_rows


def both(split):
    return [path.read_bytes().splitlines() for path in (split.train, split.validation)]


def test_every_row_is_on_one_side_as_it_was(tmp_path):
    file = write_rows(tmp_path / "all.jsonl", chat_rows(500))
    split = split_file(file, 0.1)
    train, held = both(split)
    assert sorted(train + held) == sorted(file.read_bytes().splitlines())
    assert (split.n_train, split.n_validation) == (len(train), len(held))
    assert 25 <= len(held) <= 80  # 50 expected, with a standard deviation of 6.7
    assert (split.train.name, split.validation.name) == ("all.train.jsonl", "all.validation.jsonl")


def test_rows_that_say_the_same_stay_together(tmp_path):
    lines = []
    for i in range(200):
        lines += [
            json.dumps({"prompt": f"ask {i}", "completion": "é"}),
            json.dumps({"completion": "e\u0301 ", "prompt": f"ask  {i}"}, ensure_ascii=False),
        ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(lines))
    train, held = both(split_file(file, 0.5))
    asked = [{json.loads(row)["prompt"].split()[1] for row in side} for side in (train, held)]
    assert not asked[0] & asked[1]
    assert len(train) + len(held) == 400


def test_a_second_split_and_a_longer_file_move_no_row(tmp_path):
    few = split_file(write_rows(tmp_path / "few.jsonl", chat_rows(100)), 0.3)
    more = split_file(write_rows(tmp_path / "more.jsonl", chat_rows(200)), 0.3)
    for before, after in zip(both(few), both(more), strict=True):
        assert set(before) < set(after)


def test_other_kinds_and_folders_are_taken_and_nothing_is_written_over(tmp_path):
    array = tmp_path / "chats.json"
    array.write_text(json.dumps(chat_rows(50)))
    first = split_file(array, 0.5, tmp_path / "new")
    second = split_file(array, 0.5, tmp_path / "new")
    assert first.train == tmp_path / "new" / "chats.train.jsonl"
    assert second.train.name == "chats.train-2.jsonl"
    assert both(first) == both(second)


def test_marks_and_blank_lines_are_no_rows(tmp_path):
    rows = [json.dumps(row).encode() for row in chat_rows(40)]
    file = tmp_path / "marked.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(rows))
    train, held = both(split_file(file, 0.5))
    assert sorted(train + held) == sorted(rows)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_file(write_rows(tmp_path / "all.jsonl", chat_rows(9)), share)


def test_a_side_without_rows_is_said_and_nothing_is_written(tmp_path):
    file = write_rows(tmp_path / "same.jsonl", chat_rows(1) * 5)
    with pytest.raises(UnreadableData, match="All of the 5 rows"):
        split_file(file, 0.5)
    with pytest.raises(UnreadableData):
        split_file(tmp_path / "missing.jsonl", 0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["same.jsonl"]


def test_rows_that_do_not_train_yet_are_split_with_a_word(tmp_path):
    table = tmp_path / "qa.csv"
    table.write_text("question,answer\n" + "".join(f"Why {i}?,So {i}.\n" for i in range(40)))
    split = split_file(table, 0.3)
    (problem,) = split.problems
    assert "qa.csv has rows with the columns question, answer" in problem.message
    assert "--column user=question --column assistant=answer" in problem.message
    assert split.n_train + split.n_validation == 40
    rows = [
        {"conversations": [{"from": "human", "value": f"Q{i}"}, {"from": "gpt", "value": "A"}]}
        for i in range(40)
    ]
    (problem,) = split_file(write_rows(tmp_path / "shared.jsonl", rows), 0.3).problems
    assert "as ShareGPT writes them" in problem.message
    assert "--column" not in problem.message
    assert split_file(write_rows(tmp_path / "good.jsonl", chat_rows(40)), 0.3).problems == ()


def test_what_is_in_neither_file_is_said(tmp_path, monkeypatch):
    whole = b"".join(json.dumps(row).encode() + b"\n" for row in chat_rows(3000))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(whole)[:-40])
    split = split_file(cut, 0.3)
    (problem,) = split.problems
    assert "must be whole" in problem.message
    assert 0 < split.n_train + split.n_validation <= 3000
    monkeypatch.setattr("ftlab.data.sources.LONGEST_LINE", 500)
    file = write_rows(tmp_path / "long.jsonl", [*chat_rows(40), {"text": "a" * 600}])
    (problem,) = split_file(file, 0.3).problems
    assert "in neither file" in problem.message
