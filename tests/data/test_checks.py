"""Every check on its own example, and on a row that has nothing wrong."""

from __future__ import annotations

import pytest

from ftlab.data.chat import tokenise
from ftlab.data.checks import CHECKS, RowView
from ftlab.data.tokens import load_tokenizer
from tests.small import chat_rows, save_tokenizer


def view(row, tmp_path, length=None):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    return RowView(row, tokenise(row, tokenizer), tokenizer, length)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_finds_its_example(check, tmp_path):
    problems = list(check.find(view(check.example, tmp_path, check.example_length)))
    assert [problem.code for problem in problems] == [check.name]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_check_complains_of_a_usual_row(check, tmp_path):
    assert list(check.find(view(chat_rows(1)[0], tmp_path, 512))) == []
