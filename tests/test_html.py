"""What a saved notebook shows: right numbers, and no markup from outside."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ftlab.html import curves, escaped, facts, histogram, issue_list, rate, short, table
from ftlab.issues import Issue

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "'><svg onload=alert(1)>",
    "</td></tr></table><h1>",
    "javascript:alert(1)<a href=javascript:alert(1)>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_markup_comes_through(payload):
    outputs = [
        escaped(payload),
        table([payload], [[escaped(payload)]]),
        facts({payload: payload}),
        issue_list([Issue("error", payload, code=payload)]),
        curves({payload: [(0, 1), (1, 2)]}),
        histogram([(0, 5, 3)], unit=payload),
    ]
    for output in outputs:
        assert payload not in output
        assert not re.search(r"<(script|img|h1|a )", output)


def test_control_characters_become_visible():
    assert escaped("a\x1b[31m\u202eb") == "a\\x1b[31m\\x202eb"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00047, "4.7e-4"),
        (0.0123, "0.0123"),
        (1.23456, "1.23"),
        (1353, "1,353"),
        (2_104_332, "2.1 M"),
        (8.03e9, "8.03 G"),
        (-5.5, "-5.5"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert short(value) == text


def test_rates_are_written_as_people_write_them():
    assert [rate(x) for x in (0.00047, 0.004, 1e-5, None)] == ["4.7e-4", "4e-3", "1e-5", "unknown"]


def test_curves_are_whole_svg_without_what_is_no_number():
    svg = curves({"loss": [(1, 2.0), (2, float("nan")), (3, 1.0)]})
    root = ElementTree.fromstring(svg)
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert curves({"loss": []}) == ""


def test_a_histogram_has_a_bar_for_each_filled_bin():
    root = ElementTree.fromstring(histogram([(0, 5, 3), (5, 10, 0), (10, 15, 1)], mark=12))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 2
    assert "12" in [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_shown_as_it_is(value):
    assert short(value) == rate(value) == str(value)


def test_names_of_curves_do_not_lie_over_each_other():
    names = ["20261122-155120-run-dc5c", "20261122-155120-run-c513", "short", "x" * 300]
    svg = curves({name: [(0, 1), (1, 2)] for name in names})
    places = [
        (int(x), int(y), text)
        for x, y, text in re.findall(r'<text x="(\d+)" y="(\d+)" font-size="11"[^>]*>([^<]*)<', svg)
    ]
    assert [text for *_, text in places[:3]] == names[:3]
    assert places[3][2].endswith("x…")
    for (x, y, text), (beside, below, _) in pairwise(places):
        assert below > y or beside >= x + 6 * len(text)
    assert all(x + 6 * len(text) <= 560 for x, _, text in places)
    assert 'height="245"' in svg  # 230 and one more line of names
