"""The short way for plain rows against the exact rules: what it lets through has no problem."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftlab.data.formats import detect, row_problems
from ftlab.data.report import scan
from ftlab.data.rows import BadLine, parse_line
from ftlab.data.typed import DECODERS, Clean, clean, hashes, of_row, plain
from tests.small import write_rows

ODD_TEXTS = [
    "",
    " ",
    "\n\t",
    "\u00a0",
    "\u2028",
    "\x1c",
    "\x00",
    "a",
    " a ",
    "\ufeff",
    "🦜",
    "\ud83d",
]
ODD_ROLES = ["system", "user", "assistant", "tool", "Human", "", None, 1, ["user"]]
ODD_VALUES = [None, 0, 1, True, 1.5, float("nan"), [], {}, "1", [{"type": "text", "text": "a"}]]

texts = st.one_of(st.sampled_from(["hello", "good day"]), st.sampled_from(ODD_TEXTS), st.text())
contents = st.one_of(texts, texts, texts, st.sampled_from(ODD_VALUES))
roles = st.one_of(st.sampled_from(ODD_ROLES[:4]), st.sampled_from(ODD_ROLES))


def extended(base, names):
    """Rows of which some have a key more or a key less."""

    @st.composite
    def build(draw):
        row = draw(base)
        kind = draw(st.sampled_from(["as it is"] * 8 + ["more", "less"]))
        if kind == "more":
            row = {**row, draw(st.sampled_from(names)): draw(st.sampled_from([*ODD_VALUES, "a"]))}
        elif kind == "less" and row:
            del row[draw(st.sampled_from(sorted(row)))]
        return row

    return build()


messages = extended(
    st.fixed_dictionaries({"role": roles, "content": contents}),
    ["weight", "name", "tool_calls", "reasoning", "extra", "tool_call_id"],
)
TURNS = st.integers(1, 3).map(lambda n: ["user", "assistant"] * n)
likely = st.one_of(TURNS, TURNS.map(lambda order: ["system", *order]), st.lists(roles, max_size=5))


@st.composite
def conversations(draw):
    """Messages of which most take turns and say something."""
    order = draw(likely)
    return [
        {"role": role, "content": draw(contents if draw(st.integers(0, 9)) == 0 else texts)}
        for role in order
    ]


lists = st.one_of(conversations(), conversations(), st.lists(messages, max_size=4))
outputs = st.one_of(
    texts.map(lambda text: [{"role": "assistant", "content": text}]),
    st.lists(messages, max_size=2),
)
ROWS = {
    "conversation": st.fixed_dictionaries(
        {"messages": st.one_of(lists, st.sampled_from(ODD_VALUES))}
    ),
    "instruction": st.fixed_dictionaries({"prompt": contents, "completion": contents}),
    "general": st.fixed_dictionaries({"text": contents}),
    "preference": st.fixed_dictionaries(
        {
            "input": st.one_of(
                TURNS.map(lambda t: {"messages": [{"role": r, "content": "a"} for r in t[:-1]]}),
                lists.map(lambda found: {"messages": found}),
            ),
            "preferred_output": outputs,
            "non_preferred_output": outputs,
        }
    ),
}
KEYS = ["weight", "tools", "text", "prompt", "completion", "messages", "input", "id"]
# Preference rows have most that can be wrong, so more of them are drawn.
any_row = st.one_of([extended(ROWS[name], KEYS) for name in [*ROWS, "preference"]])
TAUGHT = {"conversation": 0, "instruction": 0, "general": 0, "preference": 0}


def written(row, ascii_only):
    """The row as a line; None where it can't be bytes."""
    try:
        return json.dumps(row, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return None


@settings(max_examples=1500, deadline=None)
@given(row=any_row, ascii_only=st.booleans())
@example(row={"text": "\ud83d"}, ascii_only=True)
@example(row={"prompt": "", "completion": "a"}, ascii_only=True)
def test_what_is_clean_has_no_problem(row, ascii_only):
    line = written(row, ascii_only)
    if line is None:
        return
    for name in DECODERS:
        found = clean(line, name)
        if found is None:
            continue
        exact = parse_line(line)
        assert row_problems(exact) == []
        assert detect(exact).name == name
        assert found == of_row(name, exact)
        TAUGHT[name] += 1


def test_enough_of_the_rows_above_were_clean():
    """Or the comparison would be with nothing."""
    if not any(TAUGHT.values()):
        pytest.skip("the test above did not run")
    assert all(TAUGHT.values())


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_a_damaged_line_is_not_clean_or_still_right(data):
    """Bytes changed anywhere, as a broken disk or a bad editor does."""
    line = bytearray(b'{"messages":[{"role":"user","content":"a\\u00e9"},')
    line += '{"role":"assistant","content":"é b\\n"}]}'.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at] = data.draw(
            st.one_of(st.sampled_from(b'"\\{}[]:,\x00\x1f\xff\xc3u '), st.integers(0, 255))
        )
    found = clean(bytes(line), "conversation")
    if found is None:
        return
    exact = parse_line(bytes(line))  # raises nothing: what is taken must be JSON and UTF-8
    assert row_problems(json.loads(line)) == []
    assert found == of_row("conversation", exact)


USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
RIGHT = {
    "conversation": {"messages": [USER, ANSWER]},
    "instruction": {"prompt": "a", "completion": "b"},
    "general": {"text": "a"},
    "preference": {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "c"}],
    },
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_plain_row_goes_the_short_way_in_its_own_format_only(name):
    line = json.dumps(RIGHT[name]).encode()
    assert [other for other in DECODERS if clean(line, other)] == [name]
    assert clean(b" " + line + b" \r\n", name) == clean(line, name)


def test_what_a_row_looks_like():
    row = {"messages": [{"role": "system", "content": "s"}, USER, ANSWER]}
    expected = Clean("conversation", ("system", "user", "assistant"), ["s", "a", "b"])
    assert clean(json.dumps(row).encode(), "conversation") == expected
    roles = ("user", "assistant", "assistant")
    preference = clean(json.dumps(RIGHT["preference"]).encode(), "preference")
    assert preference == Clean("preference", roles, ["a", "b", "c"])


UNUSUAL = {
    "an extra key": {**RIGHT["conversation"], "id": 1},
    "a sample weight": {**RIGHT["conversation"], "weight": 0.5},
    "tools": {**RIGHT["conversation"], "tools": []},
    "a message weight": {"messages": [USER, {**ANSWER, "weight": 1}]},
    "a name": {"messages": [{**USER, "name": "Ann"}, ANSWER]},
    "tool calls": {"messages": [USER, {**ANSWER, "tool_calls": []}]},
    "a tool": {"messages": [USER, {"role": "tool", "content": "r"}, ANSWER]},
    "reasoning": {"messages": [USER, {**ANSWER, "reasoning_content": "r"}]},
    "parts": {"messages": [{**USER, "content": [{"type": "text", "text": "a"}]}, ANSWER]},
    "an empty answer": {"messages": [USER, {**ANSWER, "content": ""}]},
    "white space for an answer": {"messages": [USER, {**ANSWER, "content": " \n\u3000"}]},
    "no answer": {"messages": [USER]},
    "the question last": {"messages": [USER, ANSWER, USER]},
    "two questions": {"messages": [USER, USER, ANSWER]},
    "no messages": {"messages": []},
    "half a character": {"messages": [{**USER, "content": "\ud83d"}, ANSWER]},
    "input that ends with an answer": {
        **RIGHT["preference"],
        "input": {"messages": [USER, ANSWER]},
    },
    "two outputs": {**RIGHT["preference"], "preferred_output": [ANSWER, ANSWER]},
    "an output of the user": {**RIGHT["preference"], "preferred_output": [USER]},
    "a key more in the input": {**RIGHT["preference"], "input": {"messages": [USER], "tools": []}},
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_goes_the_exact_way(name):
    line = json.dumps(UNUSUAL[name]).encode()
    assert not any(clean(line, known) for known in DECODERS)


RAW = [
    b"",
    b"\n",
    b"nonsense",
    b'{"text": "a"} {"text": "b"}',
    b'{"text": "a\x01"}',
    b'{"text": "\xff"}',
    b'{"text": "\xed\xa0\xbd"}',
    b'{"text": "\xc0\xaf"}',
    b'{"text": "a",}',
    b"{'text': 'a'}",
    b'\xef\xbb\xbf{"text": "a"}',
    b'{"text": "a", "text2": ' + b"[" * 100_000,
]


@pytest.mark.parametrize("line", RAW, ids=range(len(RAW)))
def test_what_is_no_json_is_never_clean(line):
    assert clean(line, "general") is None
    with pytest.raises(BadLine):
        parse_line(line)


DOUBLED = {
    "role": '{"messages": [{"role": "system", "role": "user", "content": "a"}, %s]}',
    "content": '{"messages": [{"role": "user", "content": "a", "content": "b"}, %s]}',
    "messages": '{"messages": [%s], "messages": [{"role": "user", "content": "a"}, %s]}',
    "prompt": '{"prompt": "a", "prompt": "b", "completion": "c"}',
    "completion": '{"prompt": "a", "completion": "b", "completion": "c"}',
    "text": '{"text": "a", "text": "b"}',
    "input": '{"input": {"messages": [%q]}, "input": {"messages": [%q]}, '
    '"preferred_output": [%s], "non_preferred_output": [%s]}',
    "preferred_output": '{"input": {"messages": [%q]}, "preferred_output": [%s], '
    '"preferred_output": [%s], "non_preferred_output": [%s]}',
}


@pytest.mark.parametrize("key", DOUBLED)
def test_a_scan_says_which_line_has_a_key_twice(key, tmp_path):
    line = DOUBLED[key].replace("%s", json.dumps(ANSWER)).replace("%q", json.dumps(USER))
    name = detect(json.loads(line)).name
    assert clean(line.encode(), name), "the short way takes it, so that the scan must see it"
    good = [json.dumps(RIGHT[name]).replace('"a"', f'"ask {i} \\"role\\" role"') for i in range(5)]
    file = tmp_path / "doubled.jsonl"
    file.write_text("\n".join([*good[:3], line, *good[3:]]) + "\n")
    (issue,) = [issue for issue in scan(file).issues if issue.code == "duplicate_key"]
    assert issue.lines == (4,)
    assert f"`{key}`" in issue.message


def test_a_text_that_looks_like_a_key_is_no_doubled_key(tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": text}, ANSWER]}
        for text in ("role", "content", "messages", '"role": "user"', "\\", 'a "content": b')
    ]
    report = scan(write_rows(tmp_path / "texts.jsonl", rows))
    assert not [issue for issue in report.issues if issue.code == "duplicate_key"]


def test_hashes_are_equal_where_rows_say_the_same():
    one, other = (
        clean(line, "conversation")
        for line in (
            b'{"messages":[{"role":"user","content":"\\u00e9"},{"role":"assistant","content":"b"}]}',
            b'{"messages": [{"content": "\xc3\xa9", "role": "user"}, '
            b'{"content": "b", "role": "assistant"}]}',
        )
    )
    assert hashes(one) == hashes(other)
    longer = one._replace(contents=["é", "c"])
    assert hashes(longer)[1] == hashes(one)[1]
    assert hashes(longer)[0] != hashes(one)[0]
    assert hashes(longer)[2] != hashes(one)[2]
    assert hashes(one, "weight 0.5")[0] != hashes(one)[0]
    assert hashes(Clean("general", ("text",), ["a"]))[1] == 0


def test_the_text_of_a_content():
    assert plain("a") == "a"
    assert plain([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}]) == "ab"
    assert plain(None) == ""


ESCAPED_KEYS = [
    rb'{"messages": [{"role": "user", "rol\u0065": "system", "content": "a"}, '
    rb'{"role": "assistant", "content": "b"}]}',
    rb'{"prompt": "a", "completion": "b", "pro\u006dpt": "c"}',
    rb'{"text": "a \\", "te\u0078t": "c"}',
    rb'{"input": {"messages": [{"role": "user", "content": "a"}]}, '
    rb'"preferred_output": [{"role": "assistant", "content": "b"}], '
    rb'"non_preferred_output": [{"role": "assistant", "content": "c"}], '
    rb'"\u0069nput": {"messages": [{"role": "user", "content": "d"}]}}',
]


@pytest.mark.parametrize("line", ESCAPED_KEYS)
def test_a_key_twice_is_seen_however_it_is_written(line, tmp_path):
    """JSON keeps the last of them without a word."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line + b"\n" + line + b"\n")
    found = [issue for issue in scan(path).issues if issue.code == "duplicate_key"]
    assert [(issue.lines, issue.count) for issue in found] == [((1, 2), 2)]
