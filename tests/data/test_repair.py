"""Repairs: what each mends, what it leaves alone, and what the new file is worth."""

from __future__ import annotations

import json
import random

import pytest

from ftlab.data.fix_texts import right_encoding, stripped, without_controls
from ftlab.data.fixes import FILE_FIXES, LINE_FIXES, ROW_FIXES, TEXT_FIXES, known_fixes
from ftlab.data.repair import fixable, hidden_fixes, look, repair
from ftlab.data.report import scan
from ftlab.errors import UnreadableData
from tests.small import chat_rows, write_rows

ASKED = {"role": "user", "content": "Where is it?"}
ANSWERED = {"role": "assistant", "content": "On its way."}


def chat(*messages, **more):
    return {"messages": [dict(message) for message in messages], **more}


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mended(tmp_path, row, fixes=None):
    """The row that a repair makes of one row."""
    done = repair(write_rows(tmp_path / "one.jsonl", [row]), fixes=fixes)
    assert done.path is not None, lines_of(done.set_aside)
    return lines_of(done.path)[0]


def set_aside(tmp_path, row):
    done = repair(write_rows(tmp_path / "one.jsonl", [row]))
    assert done.path is None
    assert done.n_set_aside == 1
    return lines_of(done.set_aside)[0]


# --- rows ------------------------------------------------------------------------------------


ROWS = {
    "role: another format's name": (
        "role",
        chat(
            {"role": "human", "content": "Where is it?"}, {"role": "gpt", "content": "On its way."}
        ),
        chat(ASKED, ANSWERED),
    ),
    "role: a slip and a capital": (
        "role",
        chat({"role": "User", "content": "Where is it?"}, {**ANSWERED, "role": "asistant"}),
        chat(ASKED, ANSWERED),
    ),
    "weight: of messages": (
        "weight",
        chat(ASKED, {**ANSWERED, "weight": "1"}, ASKED, {**ANSWERED, "weight": 0.0}),
        chat(ASKED, {**ANSWERED, "weight": 1}, ASKED, {**ANSWERED, "weight": 0}),
    ),
    "weight: true": (
        "weight",
        chat(ASKED, {**ANSWERED, "weight": True}),
        chat(ASKED, {**ANSWERED, "weight": 1}),
    ),
    "weight: of the row": (
        "weight",
        chat(ASKED, ANSWERED, weight="0.5"),
        chat(ASKED, ANSWERED, weight=0.5),
    ),
    "content: a number": (
        "content",
        chat(ASKED, {"role": "assistant", "content": 4417}),
        chat(ASKED, {"role": "assistant", "content": "4417"}),
    ),
    "content: of a completion": (
        "content",
        {"prompt": "6 × 7 =", "completion": 42},
        {"prompt": "6 × 7 =", "completion": "42"},
    ),
    "extra_key": ("extra_key", chat(ASKED, ANSWERED, id=7, source="web"), chat(ASKED, ANSWERED)),
    "join_turns": (
        "join_turns",
        chat(ASKED, {"role": "user", "content": "And when?"}, ANSWERED),
        chat({"role": "user", "content": "Where is it?\n\nAnd when?"}, ANSWERED),
    ),
    "cut_after_answer": (
        "cut_after_answer",
        chat(ASKED, ANSWERED, {"role": "user", "content": "Thanks!"}),
        chat(ASKED, ANSWERED),
    ),
    "whitespace: of a message": (
        "whitespace",
        chat(ASKED, {"role": "assistant", "content": "\n\n On its way. \n"}),
        chat(ASKED, ANSWERED),
    ),
    "whitespace: between prompt and completion": (
        "whitespace",
        {"prompt": "The sky is ", "completion": "blue.\n"},
        {"prompt": "The sky is", "completion": " blue.\n"},
    ),
    "encoding: of a text": (
        "encoding",
        {"text": "The cafÃ© costs 5 â‚¬, itâ€™s open."},
        {"text": "The café costs 5 €, it’s open."},
    ),
    "control_characters": (
        "control_characters",
        {"text": "\x1b[31mred\x1b[0m\x00 and\u200b\u200b blue"},
        {"text": "red and blue"},
    ),
    "line_endings: of a text": ("line_endings", {"text": "one\r\ntwo"}, {"text": "one\ntwo"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_repair_mends_its_fault(tmp_path, name):
    fix, row, wanted = ROWS[name]
    assert json.dumps(mended(tmp_path, row, [fix])) == json.dumps(wanted)


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_stays_when_its_repair_is_not_chosen(tmp_path, name):
    fix, row, _ = ROWS[name]
    others = known_fixes().keys() - {fix}
    done = repair(write_rows(tmp_path / "one.jsonl", [row]), fixes=others)
    assert fix not in done.counts


@pytest.mark.parametrize("name", ROWS)
def test_right_rows_stay_as_they_are_byte_for_byte(tmp_path, name):
    rows = [ROWS[name][2]]
    file = tmp_path / "right.jsonl"
    file.write_bytes(b"".join(json.dumps(row, separators=(" , ", ":")).encode() for row in rows))
    done = repair(file)
    assert done.n_changed == 0
    assert done.path.read_bytes() == file.read_bytes() + b"\n"


def test_every_repair_is_tried_here_and_says_what_it_does():
    tried = {fix for fix, _, _ in ROWS.values()} | {"byte_order_mark", "convert", "json_syntax"}
    assert known_fixes().keys() == tried | FILE_FIXES.keys()
    registered = [*LINE_FIXES, *TEXT_FIXES, *ROW_FIXES]
    assert all(fix.does.endswith(".") for fix in registered)


def test_a_number_is_quoted_as_it_was_written(tmp_path):
    file = tmp_path / "prices.jsonl"
    file.write_text('{"prompt": "The price?", "completion": 1.10, "weight": 0.50}\n')
    row = lines_of(repair(file).path)[0]
    assert row == {"prompt": "The price?", "completion": "1.10", "weight": 0.5}


def test_texts_become_parts_where_others_are_parts(tmp_path):
    part = {"type": "text", "text": "Where is it?"}
    row = mended(tmp_path, chat({"role": "user", "content": [part]}, ANSWERED))
    assert row["messages"][1]["content"] == [{"type": "text", "text": "On its way."}]


def test_several_faults_in_one_row_are_all_mended(tmp_path):
    row = chat(
        {"role": "human", "content": " Where"},
        {"role": "User", "content": "is it? "},
        {"role": "gpt", "content": 7, "weight": "1"},
        {"role": "human", "content": "Thanks"},
        id=3,
    )
    assert mended(tmp_path, row) == chat(
        {"role": "user", "content": "Where\n\nis it?"},
        {"role": "assistant", "content": "7", "weight": 1},
    )


def test_arguments_and_reasoning_are_texts_too(tmp_path):
    made = {"name": "find", "arguments": '{"city": "MalmÃ¶"}'}
    call = {"id": "1", "type": "function", "function": made}
    answer = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "Hm\x07m"}
    found = mended(tmp_path, chat(ASKED, answer))["messages"][1]
    assert found["tool_calls"][0]["function"]["arguments"] == '{"city": "Malmö"}'
    assert found["reasoning"] == "Hmm"


def test_preference_rows_are_mended_on_both_sides(tmp_path):
    row = {
        "input": {"messages": [{"role": "human", "content": "Hi"}]},
        "preferred_output": [{"role": "gpt", "content": "Hello."}],
        "non_preferred_output": [{"role": "Assistant", "content": 3}],
        "tools": [],
    }
    assert mended(tmp_path, row) == {
        "input": {"messages": [{"role": "user", "content": "Hi"}], "tools": []},
        "preferred_output": [{"role": "assistant", "content": "Hello."}],
        "non_preferred_output": [{"role": "assistant", "content": "3"}],
    }


def test_turns_that_differ_in_more_than_their_text_are_not_joined(tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    row = chat(ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}, ANSWERED)
    assert mended(tmp_path, row) == row
    row = chat(ASKED, {**ANSWERED, "weight": 0}, ANSWERED)
    assert mended(tmp_path, row) == row


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (chat({"role": "narrator", "content": "Once"}, ANSWERED), "messages[0].role"),
        (chat(ASKED, {**ANSWERED, "weight": 0.5}), "messages[1].weight"),
        (chat(ASKED), "assistant"),
        ({"question": "a", "reply": "b"}, "question, reply"),
        (chat({"role": "user", "content": {"a": 1}}, ANSWERED), "messages[0].content"),
    ],
)
def test_what_no_repair_makes_right_is_set_aside_with_its_reason(tmp_path, row, said):
    entry = set_aside(tmp_path, row)
    assert entry["line"] == 1
    assert entry["row"] == row
    assert said in entry["reason"]


def test_rows_that_one_engine_takes_are_not_set_aside(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}
    row = chat({"role": "user", "content": [image]}, answer)
    assert mended(tmp_path, row) == row


def test_rows_of_other_formats_become_messages(tmp_path):
    said = [{"from": "human", "value": "Where is it?"}, {"from": "gpt", "value": " On its way."}]
    assert mended(tmp_path, {"conversations": said, "id": "x1"}) == chat(ASKED, ANSWERED)
    alpaca = {"instruction": "Where is it?", "input": "", "output": "On its way."}
    assert mended(tmp_path, alpaca) == chat(ASKED, ANSWERED)


# --- lines -----------------------------------------------------------------------------------


def of_bytes(tmp_path, data, **more):
    file = tmp_path / "raw.jsonl"
    file.write_bytes(data)
    return repair(file, **more)


def test_byte_order_marks_go_also_where_two_files_were_joined(tmp_path):
    done = of_bytes(tmp_path, b'\xef\xbb\xbf{"text": "a"}\n\xef\xbb\xbf{"text": "b"}\n')
    assert done.path.read_bytes() == b'{"text": "a"}\n{"text": "b"}\n'
    assert done.counts == {"byte_order_mark": 2}


def test_blank_lines_go(tmp_path):
    done = of_bytes(tmp_path, b'\n{"text": "a"}\r\n  \n\xc2\xa0\n{"text": "b"}')
    assert done.path.read_bytes() == b'{"text": "a"}\n{"text": "b"}\n'
    assert (done.n_rows, done.n_changed, done.n_removed) == (2, 0, 3)


def test_windows_1252_becomes_utf_8(tmp_path):
    done = of_bytes(tmp_path, '{"text": "Ærø – naïve “señor” 5 €"}\n'.encode("cp1252"))
    assert lines_of(done.path) == [{"text": "Ærø – naïve “señor” 5 €"}]
    assert done.counts == {"encoding": 1}


@pytest.mark.parametrize("text", [b"caf\xc3\xa9 and caf\xe9", b"cut \xe2\x82", b"nul \xe9\x00"])
def test_bytes_that_may_mean_two_things_are_set_aside(tmp_path, text):
    done = of_bytes(tmp_path, b'{"text": "%s"}\n{"text": "good"}\n' % text)
    assert done.n_rows == 1
    assert "not UTF-8" in lines_of(done.set_aside)[0]["reason"]


def test_raw_control_characters_in_a_text_are_taken_for_what_they_are(tmp_path):
    done = of_bytes(tmp_path, b'{"text": "one\ttwo\x00three"}\n')
    assert lines_of(done.path) == [{"text": "one\ttwothree"}]


def test_carriage_returns_between_rows_become_newlines(tmp_path):
    done = of_bytes(tmp_path, b'{"text": "a"}\r{"text": "b"}\n{"text":\r"c"}\n')
    assert lines_of(done.path) == [{"text": "a"}, {"text": "b"}, {"text": "c"}]


ALMOST = {
    "Python's print": "{'prompt': 'Who?', 'completion': 7, 'id': None}",
    "trailing commas": '{"text": "a, ]",}',
    "a line of an array": '{"text": "a"},',
    "the first line of an array": '[{"text": "a"},',
    "the last line of an array": '{"text": "a"}]',
    "two rows": '{"text": "a"} {"text": "b"}',
    "a bracket": "]",
    "a raw tab": '{"text": "a\tb"}',
    "a joined file": '\ufeff{"text": "a"}',
    "both": "{'text': 'a\tb',}",
}


@pytest.mark.parametrize("name", ALMOST)
def test_a_report_mends_lines_that_are_almost_json(tmp_path, name):
    file = tmp_path / "almost.jsonl"
    ends = [{"text": "first"}, {"text": "last"}]
    if name == "Python's print":
        ends = [{"prompt": "First", "completion": "1"}, {"prompt": "Last", "completion": "2"}]
    file.write_text("\n".join([json.dumps(ends[0]), ALMOST[name], json.dumps(ends[1])]))
    report = scan(file)
    (issue,) = [issue for issue in report.issues if issue.code == "not_json"]
    assert issue.lines == (2,)
    assert "repair" in issue.message
    done = report.repair()
    assert (done.n_set_aside, done.problems) == (0, ())
    rows = lines_of(done.path)
    assert [rows[0], rows[-1]] == ends
    if name == "Python's print":
        assert rows[1] == {"prompt": "Who?", "completion": "7"}
    assert len(rows) == {"two rows": 4, "a bracket": 2}.get(name, 3)
    assert not [i for i in scan(done.path).issues if i.fix]


def test_lines_that_can_and_can_not_be_mended_are_two_issues(tmp_path):
    file = tmp_path / "almost.jsonl"
    file.write_text("{'text': 'it's'}\n{'text': 'a'}\n{text: 1}\n")
    found = [issue for issue in scan(file).issues if issue.code == "not_json"]
    assert [(issue.lines, issue.fix) for issue in found] == [((1, 3), None), ((2,), "json_syntax")]
    done = repair(file)
    assert lines_of(done.path) == [{"text": "a"}]
    assert [entry["line"] for entry in lines_of(done.set_aside)] == [1, 3]


def test_a_line_that_is_no_json_is_shown_as_it_stood(tmp_path):
    file = tmp_path / "almost.jsonl"
    file.write_text("{'text': 'a'}\n")
    (change,) = look(file).changes
    assert change.diff() == ["-{'text': 'a'}", '+{"text": "a"}']


def test_lines_that_are_no_rows_are_set_aside_as_they_stand(tmp_path):
    deep = b"[" * 100_000
    done = of_bytes(tmp_path, b'{"text": "a"}\n{"text": \n[1, 2]\n' + deep + b"\n")
    found = lines_of(done.set_aside)
    assert [entry["line"] for entry in found] == [2, 3, 4]
    assert found[0]["raw"] == '{"text": '
    assert found[2]["raw"] == deep.decode()
    assert done.n_rows == 1


def test_copies_go_however_they_are_written(tmp_path):
    data = b'{"prompt": "a", "completion": "b"}\n{"completion":"b","prompt":"a"}\n'
    data += b'{"prompt": "a", "completion": "b", "weight": 2}\n'
    data += b'{"prompt": "a", "completion": "\\u0062", "id": 1}\n'
    done = of_bytes(tmp_path, data)
    assert (
        done.path.read_bytes()
        == data.splitlines(keepends=True)[0] + data.splitlines(keepends=True)[2]
    )
    assert done.counts == {"duplicate": 2, "extra_key": 1}


def test_rows_of_another_format_are_set_aside(tmp_path):
    rows = [{"text": "first"}, *chat_rows(3), {"text": "last"}]
    done = repair(write_rows(tmp_path / "mixed.jsonl", rows))
    assert lines_of(done.path) == rows[1:4]
    assert [(e["line"], e["row"]) for e in lines_of(done.set_aside)] == [(1, rows[0]), (5, rows[4])]
    assert "mixed_formats" not in {issue.code for issue in scan(done.path).issues}


def test_a_line_that_is_too_long_is_not_read(tmp_path):
    file = tmp_path / "long.jsonl"
    with file.open("wb") as stream:
        stream.write(b'{"text": "' + b"a" * (1 << 26) + b'"}\n{"text": "b"}\n')
    done = repair(file)
    assert lines_of(done.path) == [{"text": "b"}]
    entry = lines_of(done.set_aside)[0]
    assert entry.keys() == {"line", "reason"}
    assert "64 MiB" in entry["reason"]


# --- whole files -----------------------------------------------------------------------------


def test_arrays_and_tables_become_lines(tmp_path):
    rows = chat_rows(3)
    array = tmp_path / "chats.json"
    array.write_text(json.dumps(rows, indent=2))
    done = repair(array)
    assert done.path.name == "chats.fixed.jsonl"
    assert lines_of(done.path) == rows
    table = tmp_path / "pairs.csv"
    table.write_text('prompt,completion,id\n"one, two",three,1\n')
    assert lines_of(repair(table).path) == [{"prompt": "one, two", "completion": "three"}]
    assert lines_of(repair(rows, tmp_path).path) == rows


def test_the_new_file_stands_beside_the_old_and_never_over_another(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", [*chat_rows(2), {"a": 1}])
    before = file.read_bytes()
    names = [(done.path.name, done.set_aside.name) for done in (repair(file), repair(file))]
    assert names == [
        ("train.fixed.jsonl", "train.set-aside.jsonl"),
        ("train.fixed-2.jsonl", "train.set-aside-2.jsonl"),
    ]
    assert repair(tmp_path / "train.fixed.jsonl").path.name == "train.fixed-3.jsonl"
    assert repair(file, tmp_path / "train.jsonl").path.name == "train-2.jsonl"
    assert repair(file, tmp_path / "new" / "mine.jsonl").path == tmp_path / "new" / "mine.jsonl"
    assert file.read_bytes() == before


def test_nothing_is_left_behind_by_a_repair_that_stops(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", [*chat_rows(600), {"a": 1}])

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair(file, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_what_can_not_be_read_is_said(tmp_path):
    with pytest.raises(UnreadableData, match="missing"):
        repair(tmp_path / "missing.jsonl")
    with pytest.raises(ValueError, match="no repair 'polish'"):
        repair(write_rows(tmp_path / "a.jsonl", chat_rows(1)), fixes=["polish"])
    assert len(list(tmp_path.iterdir())) == 1


def test_edits_come_first_and_are_checked_like_all_rows(tmp_path):
    file = write_rows(tmp_path / "train.jsonl", chat_rows(4))
    new = {"prompt": "Where?", "completion": "Here.", "id": 1}
    edited = chat({"role": "human", "content": "Where?"}, ANSWERED)
    done = repair(file, edits={2: edited, 3: None, 4: {"bad": True}})
    assert lines_of(done.path) == [chat_rows(1)[0], chat({**ASKED, "content": "Where?"}, ANSWERED)]
    assert lines_of(done.set_aside)[0]["row"] == {"bad": True}
    assert edited["messages"][0]["role"] == "human"
    with pytest.raises(UnreadableData, match="Line 9"):
        repair(file, edits={9: new})


def test_a_look_shows_the_same_changes_and_writes_nothing(tmp_path):
    rows = [*chat_rows(3), chat(ASKED, {**ANSWERED, "role": "gpt"}), {"a": 1}]
    file = write_rows(tmp_path / "train.jsonl", rows)
    shown = look(file).changes
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]
    assert shown == repair(file).changes
    assert [(one.line, one.fixes, bool(one.reason)) for one in shown] == [
        (4, ("role",), False),
        (5, (), True),
    ]


def test_a_change_is_shown_as_what_went_and_what_came(tmp_path):
    row = chat(ASKED, {**ANSWERED, "role": "gpt", "content": "<script>alert(1)</script>"})
    (change,) = look(write_rows(tmp_path / "one.jsonl", [row])).changes
    signed = [line for line in change.diff() if line[0] in "+-"]
    assert signed == ['-      "role": "gpt",', '+      "role": "assistant",']
    assert "<script>" not in change.html()
    assert "&lt;script&gt;" in change.html()
    assert "<del" in change.html()


def test_a_difference_in_bytes_alone_is_shown_too(tmp_path):
    file = tmp_path / "marked.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n')
    (change,) = look(file).changes
    assert change.diff()[0].startswith("-\\xef\\xbb\\xbf")


def test_a_repair_says_what_it_did(tmp_path):
    rows = [chat(ASKED, ANSWERED, id=1), chat(ASKED, ANSWERED), {"<b>": 1}]
    done = repair(write_rows(tmp_path / "train.jsonl", rows))
    assert str(done) == (
        "train.fixed.jsonl: 1 row, 1 of them changed; 1 line left out; "
        "1 row set aside in train.set-aside.jsonl"
    )
    shown = done._repr_html_()
    assert FILE_FIXES["duplicate"] in shown
    assert known_fixes()["extra_key"] in shown
    assert "<b>&" not in shown
    assert "&lt;b&gt;" in shown


def test_only_the_first_changes_are_kept(tmp_path):
    done = repair(write_rows(tmp_path / "t.jsonl", [{"text": f"{i}", "id": i} for i in range(250)]))
    assert len(done.changes) == 100
    assert done.n_changed == done.counts["extra_key"] == 250


# --- together with a scan --------------------------------------------------------------------


def faulty_rows(seed, n=60):
    """Chats with one to three faults each, and some that are right."""
    chance = random.Random(seed)
    faults = [
        lambda row: row.update(id=chance.random()),
        lambda row: row["messages"][0].update(role="human"),
        lambda row: row["messages"][1].update(weight=chance.choice(["1", 1.0, True])),
        lambda row: row["messages"][1].update(
            content=chance.choice([chance.random(), chance.getrandbits(70)])
        ),
        lambda row: row["messages"].append({"role": "user", "content": "Thanks!"}),
        lambda row: row["messages"].insert(0, {"role": "User", "content": " Hello\x07 "}),
        lambda row: row["messages"][0].update(content="  SeÃ±or, it was rÃ©ady\r\n"),
        lambda row: None,
    ]
    for row in chat_rows(n):
        for fault in chance.sample(faults, chance.randint(1, 3)):
            fault(row)
        yield row


@pytest.mark.parametrize("seed", range(5))
def test_a_repaired_file_scans_clean_of_all_that_can_be_mended(tmp_path, seed):
    rows = list(faulty_rows(seed))
    file = write_rows(tmp_path / "train.jsonl", [*rows, rows[0], {"a": 1}])
    with file.open("ab") as stream:
        stream.write(b"\n\n" + '{"messages": "caf\xe9"}\n'.encode("latin-1"))
    before = scan(file)
    assert fixable(before)
    done = repair(file)
    after = scan(done.path)
    assert fixable(after) == ()
    assert after.n_bad_rows == 0
    assert after.n_duplicates == 0
    assert after.accepted_by("together")
    assert after.accepted_by("local")
    assert done.n_rows == after.n_rows == len(rows)


@pytest.mark.parametrize("seed", range(5))
def test_a_second_repair_changes_nothing(tmp_path, seed):
    first = repair(write_rows(tmp_path / "train.jsonl", faulty_rows(seed)))
    second = repair(first.path)
    assert (second.n_changed, second.n_removed, second.n_set_aside) == (0, 0, 0)
    assert second.path.read_bytes() == first.path.read_bytes()


@pytest.mark.parametrize("seed", range(5))
def test_what_a_report_repairs_scans_clean_too(tmp_path, seed):
    rows = list(faulty_rows(seed))
    shared = {
        "conversations": [{"from": "human", "value": " Hi\r\n"}, {"from": "gpt", "value": "x"}]
    }
    lines = [json.dumps(row) for row in [*rows, shared, shared]] + [repr(row) for row in rows[:9]]
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(lines))
    done = scan(file).repair()
    after = scan(done.path)
    assert fixable(after) == ()
    assert after.n_bad_rows == 0


def test_only_rows_that_are_refused_get_more_than_the_report_names(tmp_path):
    spaced = [chat(ASKED, {**ANSWERED, "content": f" It is the {i}th. "}) for i in range(20)]
    refused = chat({**ASKED, "role": "human"}, {**ANSWERED, "content": " caf\u00c3\u00a9 "})
    report = scan(write_rows(tmp_path / "train.jsonl", [*spaced, refused]))
    assert fixable(report) == ("role",)
    assert {"encoding", "whitespace"} <= set(hidden_fixes(report))
    rows = lines_of(report.repair().path)
    assert rows[:20] == spaced
    assert rows[20] == chat(ASKED, {**ANSWERED, "content": "café"})
    assert hidden_fixes(scan(write_rows(tmp_path / "good.jsonl", spaced))) == ()


def test_every_repair_that_a_scan_names_exists(tmp_path):
    rows = [*faulty_rows(1), chat(ASKED, {**ANSWERED, "weight": "1"})]
    report = scan(write_rows(tmp_path / "train.jsonl", rows))
    named = {issue.fix for issue in report.issues if isinstance(issue.fix, str)}
    assert named
    assert named <= known_fixes().keys()
    assert set(fixable(report)) == named


# --- texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["café", "naïve – “quoted”", "Привет, мир", "łódź", "日本語", "🎉", "×"]
)
@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_mojibake_of_any_script_is_undone(text, codec):
    try:
        wrong = text.encode().decode(codec)
    except UnicodeDecodeError:
        pytest.skip("bytes that this encoding has no letters for")
    assert right_encoding(f"so {wrong} it is") == f"so {text} it is"


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "„MENÜ“",
        "AMANHÃ”, disse",
        "Âge d’or",
        "Ça va ?",
        "España: 5 €",
        "naïve façade",
        "ÃO",
    ],
)
def test_right_texts_with_accents_stay(text):
    assert right_encoding(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "l’humanitÃ© – vraiÂ\u00a0?",
        "Ã€ bientÃ´t",
        "Â£5 â€” or Â½",
        "ðŸ˜€ fine",
        "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
        "plain",
        "Grüße",
    ],
)
def test_another_library_comes_to_the_same(text):
    ftfy = pytest.importorskip("ftfy")
    assert right_encoding(text) == ftfy.fix_encoding(text)


def test_text_that_went_wrong_twice_comes_back():
    assert right_encoding("it’s".encode().decode("cp1252").encode().decode("cp1252")) == "it’s"


def test_joined_emoji_and_persian_keep_their_joiners():
    for text in ("👩\u200d💻", "می\u200cخواهم", "tab\tand\nnewline"):
        assert without_controls(text) == text
    assert without_controls("half \ud800 gone") == "half  gone"


def test_code_keeps_the_indent_of_its_first_line():
    assert stripped("\n\n    return 1\n    else:\n") == "    return 1\n    else:"
    assert stripped("  hello  ") == "hello"
    assert stripped("   ") == "   "
