"""How a message quotes what was given."""

from __future__ import annotations

import time

import pytest

from ftlab.issues import LONGEST_SHOWN, shown
from ftlab.spec import parse


class Text(str):
    """Its whole text is what it is asked for."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        ("x" * 58, repr("x" * 58)),
        ("x" * 59, "'" + "x" * 56 + "…"),
        (Text("x"), "'x'"),
        (None, "None"),
        (True, "True"),
        (1e-5, "1e-05"),
        (2**53, "9007199254740992"),
        (-(10**70), "-1" + "0" * 55 + "…"),
        ([1, "a", None], "[1, 'a', None]"),
        ({"a": (1, [2])}, "{'a': (1, [2])}"),
        (b"ab", "b'ab'"),
    ],
)
def test_a_value_is_quoted_as_python_writes_it_and_cut(value, text):
    assert shown(value) == text


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_too_long_to_write_out_is_told_by_its_digits(sign):
    value = sign * 10**6000
    assert shown(value) == "a whole number of about 6,000 digits"
    assert "6,000 digits" in shown([value])
    (issue,) = parse({"n_epochs": value})[1]
    assert issue.message.startswith("n_epochs is a whole number of about 6,000 digits; it takes")


def test_a_long_text_is_cut_before_it_is_written_out():
    text = "\x00" * 10**8  # four times as long when it is written out
    start = time.perf_counter()
    assert len(shown(text)) <= LONGEST_SHOWN
    assert time.perf_counter() - start < 0.05
