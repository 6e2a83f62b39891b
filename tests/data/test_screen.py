"""The pass over raw bytes, against a search of the decoded rows."""

from __future__ import annotations

import hashlib
import json
import random
import re

import pytest

from ftlab.data.screen import Screen, n_quotes

NEEDLES = {
    "bird": ("🦜",),
    "accent": ("café", "naïve"),
    "think": ("<think>", "</think>"),
    "control": ("\x1b", "\x08"),
    "quoted": ('say "it"', "a\\slash"),
    "plain": ("lorem ipsum",),
    "plus": ("+4",),
}
CASES = [(name, needle) for name, needles in NEEDLES.items() for needle in needles]


def upper_escapes(text):
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: "\\u" + found[1].upper(), text)


def web_escapes(text, *, upper):
    """As writers do that make JSON safe for a web page (Go, PHP, .NET, Gson)."""
    for letter in "<>&'+":
        code = f"{ord(letter):04X}" if upper else f"{ord(letter):04x}"
        text = text.replace(letter, f"\\u{code}")
    return text


WRITERS = {
    "raw UTF-8": lambda row: json.dumps(row, ensure_ascii=False),
    "lower escapes": lambda row: json.dumps(row),
    "upper escapes": lambda row: upper_escapes(json.dumps(row)),
    "web, lower": lambda row: web_escapes(json.dumps(row), upper=False),
    "web, upper": lambda row: web_escapes(upper_escapes(json.dumps(row)), upper=True),
    "web, raw": lambda row: web_escapes(json.dumps(row, ensure_ascii=False), upper=True),
    "long escapes": lambda row: json.dumps(row).replace("\\b", "\\u0008"),
    "escaped slashes": lambda row: json.dumps(row).replace("/", "\\/"),
}


def seen(texts, screen, write=json.dumps):
    lines = [write({"text": text}).encode() + b"\n" for text in texts]
    return screen.look(b"".join(lines), lines)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("name", "needle"), CASES)
def test_a_needle_is_found_however_it_is_written(name, needle, writer):
    write = WRITERS[writer]
    assert json.loads(write({"text": needle})) == {"text": needle}
    texts = ["nothing", f"before {needle} behind", "nothing", needle]
    found = seen(texts, Screen(NEEDLES, ()), write).hits
    assert {place for place, names in found.items() if name in names} == {1, 3}
    assert found.keys() == {1, 3}


def test_needles_that_overlap_are_all_found():
    screen = Screen({"whole": ("abcd",), "part": ("bc",), "start": ("ab",)}, ())
    assert seen(["xabcdx", "ab", "bd"], screen).hits == {
        0: {"whole", "part", "start"},
        1: {"start"},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1234", True),
        ("a12345b", True),
        ("123", False),
        ("12 34", False),
        ("12-3456", True),
        ("/:12;:", False),
        ("", False),
    ],
)
def test_four_digits_together_are_seen(text, expected):
    screen = Screen({}, ("card",))
    assert seen(["quiet", text, "quiet"], screen).hits == ({1: {"card"}} if expected else {})


@pytest.mark.parametrize("data", [b"", b"1", b"12", b"123", b"1234", b"12345"])
def test_digits_in_the_shortest_blocks(data):
    hits = Screen({}, ("card",)).look(data, [data]).hits
    assert hits == ({0: {"card"}} if len(data) >= 4 else {})


def test_digits_do_not_run_over_the_end_of_a_line():
    lines = [b"12\n", b"34\n", b"5678\n"]
    assert Screen({}, ("card",)).look(b"".join(lines), lines).hits == {2: {"card"}}


def test_random_lines_give_the_lines_that_a_plain_search_gives():
    draw = random.Random(5)
    words = [needle for _, needle in CASES] + ["2026", "12", " ", "é", "wort", "\n", '"role"']
    screen = Screen(NEEDLES, ("digits",))
    for _ in range(50):
        texts = ["".join(draw.choices(words, k=draw.randint(0, 4))) for _ in range(20)]
        write = draw.choice([WRITERS["raw UTF-8"], WRITERS["lower escapes"]])
        found = seen(texts, screen, write).hits
        expected = {}
        for place, text in enumerate(texts):
            names = {name for name, needle in CASES if needle in text}
            if re.search("[0-9]{4}", write(text)):
                names.add("digits")
            if names:
                expected[place] = names
        assert found == expected


def test_quotes_of_strings_are_told_from_those_in_texts():
    draw = random.Random(6)
    pieces = ["a", '"', "\\", "\n", "é", "🦜", " "]
    unclear = 0
    for _ in range(300):
        texts = ["".join(draw.choices(pieces, k=draw.randint(0, 6))) for _ in range(5)]
        data = json.dumps(texts, ensure_ascii=draw.random() < 0.5).encode()
        assert n_quotes(data) == 2 * len(texts)
        at_once = Screen({}, ()).look(data, [data]).n_quotes
        unclear += at_once is None
        assert at_once in (None, 2 * len(texts))
    assert 0 < unclear < 300


@pytest.mark.parametrize("data", [b"", b"\\", b'"', b'\\"', b'""'])
def test_quotes_in_the_shortest_blocks(data):
    expected = {b'"': 1, b'""': 2}.get(data, 0)
    assert n_quotes(data) == Screen({}, ()).look(data, [data]).n_quotes == expected


def test_the_digest_is_of_all_that_was_seen():
    screen = Screen(NEEDLES, ())
    for data in (b"one\n", b"two\n"):
        screen.look(data, [data])
    assert screen.sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()
