"""Lines that are almost JSON: what is certain is read, and nothing else."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.data.almost_json import LONGEST, as_rows

MESSAGES = [{"role": "user", "content": 'It\'s "here"'}, {"role": "assistant", "content": "No."}]
ROW = {"messages": MESSAGES}
LINE = json.dumps(ROW)


def read(text):
    rows = as_rows(text)
    return None if rows is None else [json.loads(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "wanted"),
    {
        "Python's print": (repr(ROW), [ROW]),
        "words": ("{'a': [True, False, None], 'b': 'True, None'}", None),
        "words of both": ("{'a': true, \"b\": None}", [{"a": True, "b": None}]),
        "escapes": (r"""{'a': 'x\x07\u00e9\U0001f600\n\t\\n\'\"'}""", None),
        "an apostrophe that was escaped": (r'{"a": "it\'s"}', [{"a": "it's"}]),
        "halves of a character": (r"{'a': '\ud83d\ude00'}", [{"a": "😀"}]),
        "one half": (r"{'a': 'x\ud83d'}", [{"a": "x\ud83d"}]),
        "trailing commas": ('{"a": [1, 2, ], "b": {"c": 3,},}', [{"a": [1, 2], "b": {"c": 3}}]),
        "a comma in a text": ('{"a": "x,]", "b": "y,}",}', [{"a": "x,]", "b": "y,}"}]),
        "a line of an array": (LINE + ",", [ROW]),
        "the first line of an array": ("[" + LINE + ",", [ROW]),
        "the last line of an array": (LINE + "]", [ROW]),
        "commas first": (", " + LINE, [ROW]),
        "two rows": (LINE + LINE, [ROW, ROW]),
        "two rows and a comma": (f"{LINE} , {ROW!r},", [ROW, ROW]),
        "a bracket alone": (" ], ", []),
        "the other bracket": ("[", []),
        "a comma alone": (",", []),
        "a raw tab": ('{"a": "x\ty",}', [{"a": "x\ty"}]),
        "odd spaces": ('\ufeff{\u00a0"a":\u2003"\u00a0\ufeff" }', [{"a": "\u00a0\ufeff"}]),
        "several lines": ('{"a":\n [1,\r\n],\n}', [{"a": [1]}]),
    }.values(),
)
def test_what_is_certain_is_read(text, wanted):
    if wanted is None:  # Python's own reading
        wanted = [eval(text)]
    assert read(text) == wanted
    assert all("\n" not in row for row in as_rows(text))


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 'it's'}",
        "{'a': 'x'",
        '{"a": "x',
        '{"a": "x\\"',
        "{'a': 'x\\'",
        '{"a" "b"}',
        "{'a': 'b' 'c'}",
        "{a: 1}",
        "{“a”: “b”}",
        "{‘a’: 1}",
        r"{'a': '\d'}",
        r"{'a': '\/'}",
        r"{'a': '\101'}",
        r"{'a': '\N{DIGIT ONE}'}",
        r"{'a': '\U00110000'}",
        "{'a': b'x'}",
        "{'a': nan}",
        "{'a': (1, 2)}",
        "{'a', 'b'}",
        "{1: 2}",
        "{,}",
        '{"a": ,}',
        '{"a": 1,,}',
        "[1, 2]",
        f"[{LINE}, {LINE}],",
        LINE + " and more",
        LINE + "}",
        "True",
        "'text'",
        '{"a": ' + "1" * 5000 + ",}",
        "[" * 100_000,
        "{'a':" * 100_000,
        "{'a': '" + "x" * LONGEST + "'}",
    ],
)
def test_what_is_not_certain_is_left(text):
    assert read(text) is None


texts = st.text(st.characters(codec="utf-8")) | st.sampled_from(["True, 'None'", "a,]", "\\", "[{"])
values = st.recursive(
    texts
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
rows = st.dictionaries(texts, values, min_size=1, max_size=4)


@given(rows)
def test_what_python_prints_is_read_as_python_reads_it(row):
    assert read(repr(row)) == [row]


@given(rows, st.booleans())
def test_json_keeps_every_text(row, ascii_only):
    line = json.dumps(row, ensure_ascii=ascii_only)
    assert as_rows(line) == [line]
    assert as_rows(line + ", ") == [line]
    commas = json.dumps(row, ensure_ascii=ascii_only, indent=1).replace("\n", ",\n")
    if '"' not in commas:  # no texts: every end of a line may take a comma
        assert read(commas) in (None, [row])


@given(st.text("{}[]\"',:\\ \nTrueaN0-x", max_size=40))
def test_any_text_is_read_as_rows_or_left(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row in read(text) or []:
            assert isinstance(row, dict)


@pytest.mark.parametrize(
    "piece", ['\\"', "'\\", '"', "'", ",", ", ", "[1,", "\u00a0 ", "True", "{'a':"]
)
def test_no_line_keeps_it_waiting(piece):
    """Work that grew with the square of the length would take hours."""
    assert read(piece * (LONGEST // len(piece))) in (None, [])
