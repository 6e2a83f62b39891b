"""Sizes and times in words."""

from __future__ import annotations

import pytest

from ftlab.units import duration, in_bytes, share_of_bytes


@pytest.mark.parametrize(
    ("n", "text"),
    [(320, "320 bytes"), (999_400, "999 kB"), (16.38e9, "16.4 GB"), (2.5e12, "2.5 TB")],
)
def test_sizes_have_three_digits(n, text):
    assert in_bytes(n) == text


def test_a_share_is_in_the_unit_of_the_whole():
    assert share_of_bytes(40e6, 16.4e9) == "0.0 of 16.4 GB"


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (311, "5 min"), (9000, "2.5 h")])
def test_times_are_in_the_unit_that_one_thinks_in(seconds, text):
    assert duration(seconds) == text
