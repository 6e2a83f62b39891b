"""Rows by their place, and a split that follows their content."""

from __future__ import annotations

import json

import pytest

from ftlab.data.rows import BadLine, Rows, split
from tests.small import chat_rows, write_rows


def test_rows_are_read_by_place_and_know_their_line(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n\n  \n{"text": "b"}')
    rows = Rows(file)
    assert len(rows) == 2
    assert (rows[0], rows[1]) == ({"text": "a"}, {"text": "b"})
    assert (rows.line_number(0), rows.line_number(1)) == (1, 4)


def test_a_bad_line_says_why(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text("{oops}\n")
    with pytest.raises(BadLine, match="not JSON"):
        Rows(file)[0]


def test_the_split_follows_the_content(tmp_path):
    rows = chat_rows(400)
    once = Rows(write_rows(tmp_path / "once.jsonl", rows))
    training, validation = split(once, 0.2)
    assert sorted(training + validation) == list(range(400))
    assert 55 <= len(validation) <= 105  # 80 expected, binomial: three standard deviations

    held_back = {json.dumps(once[i]) for i in validation}
    more = Rows(write_rows(tmp_path / "more.jsonl", chat_rows(50, 900) + rows + rows[:100]))
    again, held_back_again = split(more, 0.2)
    assert held_back <= {json.dumps(more[i]) for i in held_back_again}
    assert not held_back & {json.dumps(more[i]) for i in again}
