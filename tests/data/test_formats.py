"""What is wrong with a row or a line: every fault with its place, who refuses, and its repair."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ftlab.data.formats import STRUCTURAL, file_problems, row_problems
from ftlab.data.messages import cure_of_role, cure_of_weight
from ftlab.data.rows import BadLine, is_blank, parse_line
from tests.data.service_files import (
    ANSWER,
    ASK,
    CALL,
    CALLS,
    GOOD,
    TOOL,
    asked,
    chance_files,
    chat,
    faults,
    image,
    mutated,
    pair,
    text,
)

BOTH, TOGETHER, LOCAL, NOBODY = ("together", "local"), ("together",), ("local",), ()
SYSTEM = {"role": "system", "content": "Be short."}


def found(row):
    """(code, where, who refuses, level, repair) of what is wrong with a row."""
    return [(p.code, p.where, p.blocks, p.level, p.fix) for p in row_problems(row)]


def found_in(line: bytes):
    """The same of a line."""
    try:
        return found(parse_line(line))
    except BadLine as exc:
        p = exc.problem
        return [(p.code, p.where, p.blocks, p.level, p.fix)]


ERROR, WARNING, TIP = "error", "warning", "tip"
SINGLE = [
    # order of roles
    (chat(ASK, ANSWER), []),
    (chat(SYSTEM, ASK, ANSWER), []),
    (chat(ASK, CALLS, TOOL, TOOL, ANSWER), []),
    (chat(ANSWER), [("first_not_user", "messages[0].role", NOBODY, WARNING, "")]),
    (chat(SYSTEM, ANSWER), [("first_not_user", "messages[1].role", NOBODY, WARNING, "")]),
    (chat(ASK, SYSTEM, ANSWER), [("late_system", "messages[1].role", NOBODY, WARNING, "")]),
    (chat(ASK, TOOL, ANSWER), []),
    (
        chat(ASK, CALLS, ASK, TOOL, ANSWER),
        [("misplaced_tool", "messages[3].role", NOBODY, WARNING, "")],
    ),
    (
        chat(ASK, ASK, ANSWER),
        [("same_role_twice", "messages[1].role", NOBODY, WARNING, "join_turns")],
    ),
    (chat(ASK, ANSWER, CALLS), [("same_role_twice", "messages[2].role", NOBODY, WARNING, "")]),
    (
        chat(ASK, ANSWER, {**ANSWER, "weight": 0}),
        [("same_role_twice", "messages[2].role", NOBODY, WARNING, "")],
    ),
    (
        chat(ASK, ANSWER, ASK),
        [("last_not_assistant", "messages[2].role", NOBODY, WARNING, "cut_after_answer")],
    ),
    (chat(ASK), [("no_assistant", "messages", BOTH, ERROR, "")]),
    # roles
    (
        chat({**ASK, "role": "human"}, ANSWER),
        [("bad_role", "messages[0].role", BOTH, ERROR, "role")],
    ),
    (
        chat({**ASK, "role": "narrator"}, ANSWER),
        [("bad_role", "messages[0].role", BOTH, ERROR, "")],
    ),
    (chat({**ASK, "role": []}, ANSWER), [("bad_role", "messages[0].role", BOTH, ERROR, "")]),
    # contents
    (asked(7), [("bad_content", "messages[0].content", BOTH, ERROR, "content")]),
    (asked(10**400), [("bad_content", "messages[0].content", BOTH, ERROR, "content")]),
    (asked({"a": 1}), [("bad_content", "messages[0].content", BOTH, ERROR, "")]),
    (asked(None), [("no_content", "messages[0].content", LOCAL, ERROR, "")]),
    (asked(0), [("no_content", "messages[0].content", LOCAL, ERROR, "content")]),
    (asked(""), []),
    (
        chat(ASK, {**ANSWER, "content": " "}),
        [("empty_answer", "messages[1].content", NOBODY, WARNING, "")],
    ),
    (
        chat(ASK, {"role": "assistant", "tool_calls": []}),
        [("no_content", "messages[1].content", LOCAL, ERROR, "")],
    ),
    (chat(ASK, {"role": "assistant", "tool_calls": [CALL]}, TOOL, ANSWER), []),
    (chat(ASK, {"role": "assistant"}), [("bad_content", "messages[1].content", BOTH, ERROR, "")]),
    (asked([text()]), []),
    (asked([image()]), [("image", "messages[0].content[0]", LOCAL, ERROR, "")]),
    (asked(["a"]), [("bad_part", "messages[0].content[0]", BOTH, ERROR, "")]),
    (
        asked([image("https://a.b/c.png")]),
        [
            ("image", "messages[0].content[0]", LOCAL, ERROR, ""),
            ("bad_image", "messages[0].content[0].image_url", TOGETHER, ERROR, ""),
        ],
    ),
    (
        asked([image()], weight=1),
        [
            ("image", "messages[0].content[0]", LOCAL, ERROR, ""),
            ("weighted_image", "messages[0].weight", TOGETHER, ERROR, ""),
        ],
    ),
    (
        chat({"role": "user", "content": [text()]}, ANSWER),
        [("mixed_contents", "messages[1].content", TOGETHER, ERROR, "")],
    ),
    # weights and keys
    (
        chat(ASK, {**ANSWER, "weight": "1"}),
        [("bad_weight", "messages[1].weight", BOTH, ERROR, "weight")],
    ),
    (chat(ASK, {**ANSWER, "weight": 2}), [("bad_weight", "messages[1].weight", BOTH, ERROR, "")]),
    (
        chat(ASK, {**ANSWER, "weight": True}),
        [("weight_is_boolean", "messages[1].weight", NOBODY, TIP, "weight")],
    ),
    (chat(ASK, {**ANSWER, "mood": 1}), [("unknown_key", "messages[1].mood", NOBODY, TIP, "")]),
    (chat(ASK, ANSWER, id=1), [("extra_key", "id", TOGETHER, ERROR, "extra_key")]),
    (chat(ASK, ANSWER, weight=0.5), []),
    (chat(ASK, ANSWER, weight=-1), [("bad_sample_weight", "weight", BOTH, ERROR, "")]),
    # the other formats
    ({"text": 5}, [("bad_text", "text", BOTH, ERROR, "content")]),
    ({"prompt": "", "completion": "b"}, []),
    ({"prompt": "a", "completion": ""}, [("empty_answer", "completion", NOBODY, WARNING, "")]),
    ({"a": 1}, [("unknown_format", "", BOTH, ERROR, "")]),
    ({"conversations": []}, [("unknown_format", "conversations", BOTH, ERROR, "")]),
    (pair(), []),
    (pair(input=[]), [("bad_input", "input", BOTH, ERROR, "")]),
    (
        pair(input={"messages": [ASK], "id": 1}),
        [("unknown_key", "input.id", NOBODY, TIP, "")],
    ),
    (
        pair(input={"messages": [ASK, ANSWER]}),
        [("input_ends_with_assistant", "input.messages[1].role", BOTH, ERROR, "")],
    ),
    (
        pair(preferred_output=[ANSWER, ANSWER]),
        [("bad_output", "preferred_output", BOTH, ERROR, "")],
    ),
    (
        pair(preferred_output=[{**ANSWER, "role": "gpt"}]),
        [("bad_role", "preferred_output[0].role", BOTH, ERROR, "role")],
    ),
    (
        pair(preferred_output=[CALLS]),
        [("null_content", "preferred_output[0].content", TOGETHER, ERROR, "content")],
    ),
    (
        pair(preferred_output=[{**ANSWER, "content": None}]),
        [("bad_content", "preferred_output[0].content", BOTH, ERROR, "")],
    ),
    # values that readers of JSON take differently
    ({"text": "a\ud83d"}, [("half_character", "text", LOCAL, ERROR, "control_characters")]),
    (
        chat(ASK, {**ANSWER, "name": "\udc00"}),
        [("half_character", "messages[1].name", LOCAL, ERROR, "control_characters")],
    ),
    (
        chat(ASK, ANSWER, tools=[{"a": float("nan")}]),
        [("not_finite", "tools[0].a", NOBODY, WARNING, "")],
    ),
]


@pytest.mark.parametrize(("row", "problems"), SINGLE)
def test_a_row_has_these_problems_and_no_others(row, problems):
    assert found(row) == problems


ON_LINES = [
    (b'{"text": "a"}\r\n', []),
    (b'\xe2\x80\xa8 {"text": "a"}\xc2\xa0\x0c\n', []),
    (b'{"text": "a", "text": "b"}', [("duplicate_key", "", NOBODY, WARNING, "")]),
    (
        b'{"messages": [{"role": "user", "role": "user", "content": "a"}, '
        b'{"role": "assistant", "content": "b"}]}',
        [("duplicate_key", "messages[0]", NOBODY, WARNING, "")],
    ),
    (b'{"text":\r"a"}', [("carriage_return", "", TOGETHER, ERROR, "line_endings")]),
    (b'{"text":"a"}\r{"text":"b"}', [("return_as_newline", "", LOCAL, ERROR, "line_endings")]),
    (b'{"text":"a"}\r{"text":5}', [("rows_on_one_line", "", BOTH, ERROR, "line_endings")]),
    (
        b'{"text":"a"}\r{"prompt":"a","completion":"b"}',
        [("rows_on_one_line", "", BOTH, ERROR, "line_endings")],
    ),
    (
        b'{"text": NaN}',
        [("bad_text", "text", BOTH, ERROR, ""), ("not_finite", "text", NOBODY, WARNING, "")],
    ),
    (
        b'{"text": 1e999}',
        [("bad_text", "text", BOTH, ERROR, ""), ("not_finite", "text", NOBODY, WARNING, "")],
    ),
    (b" \xc2\xa0 \n", [("blank_line", "", NOBODY, TIP, "blank_line")]),
    (b'{"text": "\xff"}', [("not_utf8", "", BOTH, ERROR, "encoding")]),
    (b"[1]", [("not_object", "", BOTH, ERROR, "")]),
    (b'{"n": ' + b"7" * 10_000 + b"}", [("not_json", "", BOTH, ERROR, "")]),
    (b"[" * 100_000, [("not_json", "", BOTH, ERROR, "")]),
    (b'{"text":' * 100_000, [("not_json", "", BOTH, ERROR, "")]),
]


@pytest.mark.parametrize(("line", "problems"), ON_LINES)
def test_a_line_has_these_problems_and_no_others(line, problems):
    assert found_in(line) == problems


REASONS = [
    (b'{"text": "a"} x', "more follows the first value, from column 15"),
    (b'\xef\xbb\xbf{"text": "a"}', "two files were joined"),
    (b'{"text": "a', "ends in the middle"),
    (b"{'text': 'a'}", "a single quote at column 2"),
    (b'{"text": "a\tb"}', "a raw control character, 0x09, at column 12"),
    (b'{"n": ' + b"7" * 10_000 + b"}", "a number in it has more than 4,300 digits"),
    (b"[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("line", "reason"), REASONS)
def test_a_line_that_is_no_json_says_why(line, reason):
    with pytest.raises(BadLine, match="is not JSON") as caught:
        parse_line(line)
    assert reason in caught.value.problem.message


def test_the_last_of_two_equal_keys_holds():
    row = parse_line(b'{"text": "a", "text": "b"}')
    assert row == {"text": "b"}
    assert "`text`" in row_problems(row)[0].message


def test_a_value_that_is_too_deep_to_show_is_shown_in_part():
    value: list = []
    for _ in range(100_000):
        value = [value]
    (problem,) = row_problems({"text": value})
    assert problem.code == "bad_part"
    (problem,) = row_problems(chat(ASK, {**ANSWER, "weight": value}))
    assert problem.code == "bad_weight"
    assert len(problem.message) < 300


def test_eleven_images_are_one_too_many_wherever_they_are():
    def images(row):
        return [p.where for p in row_problems(row) if p.code == "too_many_images"]

    assert images(asked([image()] * 10)) == []
    assert images(asked([image()] * 11)) == ["messages[0].content"]
    assert images(chat(*asked([image()] * 6)["messages"] * 2)) == ["messages"]
    assert images({"prompt": [image()] * 11, "completion": "b"}) == ["prompt"]


@pytest.mark.parametrize(
    ("role", "cure"),
    [
        *[("human", "user"), ("GPT", "assistant"), ("Assistant", "assistant"), (" user", "user")],
        *[("asistant", "assistant"), ("developer", "system"), ("narrator", None), (7, None)],
        *[("", None), ("u" * 10_000_000, None), (None, None)],
    ],
)
def test_the_cure_of_a_role_is_sure_or_none(role, cure):
    assert cure_of_role(role) == cure


@pytest.mark.parametrize(
    ("weight", "cure"),
    [
        *[
            ("1", 1),
            ("0.0", 0),
            (1.0, 1),
            (True, 1),
            (False, 0),
            (2, None),
            (0.5, None),
            ("x", None),
        ],
        *[(None, None), ([1], None), (float("nan"), None), (10**400, None), ("1" * 5000, None)],
    ],
)
def test_the_cure_of_a_weight_is_sure_or_none(weight, cure):
    assert cure_of_weight(weight) == cure


@pytest.mark.parametrize(
    ("line", "blank"),
    [
        *[(b"\n", True), (b" \t\r\n", True), (b"", True), (b"\xc2\xa0\n", True), (b"\x1c", True)],
        *[(b"{}", False), (b"\xff", False), (b"\xef\xbb\xbf", False), (b"\xc2\xa0{}", False)],
    ],
)
def test_blank_is_what_holds_white_space_of_any_kind(line, blank):
    assert is_blank(line) == blank


@pytest.mark.parametrize(
    ("name", "n_bytes", "codes"),
    [
        ("a.jsonl", 5, []),
        ("a.parquet", 5, []),
        ("a.JSONL", 5, ["suffix"]),
        ("a", 5, ["suffix"]),
        ("a.jsonl", 0, ["no_rows"]),
        ("a.csv", 0, ["suffix", "no_rows"]),
    ],
)
def test_a_file_has_problems_before_it_is_read(name, n_bytes, codes):
    assert [problem.code for problem in file_problems(Path(name), n_bytes)] == codes


def all_problems():
    """What is wrong with all faults of the service's files and with rows changed by chance."""
    draw = random.Random(5)
    lines = [fault.line for fault in faults()]
    lines += [line for file in chance_files() for line in file.data.split(b"\n")]
    for line in lines:
        try:
            yield from row_problems(parse_line(line))
        except BadLine as exc:
            yield exc.problem
    for rows in GOOD.values():
        for _ in range(500):
            yield from row_problems(mutated(draw.choice(rows), draw))


def test_every_problem_is_said_in_full_and_blocks_as_all_of_its_kind():
    blocks: dict[str, tuple[str, ...]] = {}
    fixes: dict[tuple[str, str, str], str] = {}
    for p in all_problems():
        assert blocks.setdefault(p.code, p.blocks) == p.blocks, p
        key = (p.code, p.value, p.where.rsplit(".")[-1])
        assert fixes.setdefault(key, p.fix) == p.fix, p
        assert p.message.endswith("."), p
        assert "; " in p.message or ", so " in p.message, p
        assert p.level == ERROR or p.blocks == NOBODY, p
        json.dumps(p)
    assert len(blocks) >= 30
    assert {"not_utf8", "not_json", "not_object"} <= STRUCTURAL & set(blocks)
