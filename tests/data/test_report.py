"""scan(): every bad line with its number and path, and token counts that can be worked out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas
import pytest

from ftlab.data.chat import IGNORED, tokenise
from ftlab.data.checks import WHOLE_CHECKS
from ftlab.data.report import DataReport, scan
from ftlab.data.stats import TokenStats
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.spec import JobSpec
from tests.small import chat_rows, save_tokenizer, write_rows

GOOD = {
    "conversation": chat_rows(1)[0],
    "instruction": {"prompt": "Where is it?", "completion": " Here."},
    "general": {"text": "Plain text."},
    "preference": {
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "preferred_output": [{"role": "assistant", "content": "Good day"}],
        "non_preferred_output": [{"role": "assistant", "content": "What"}],
    },
}


def conversation(**changes):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    messages[0].update(changes)
    return {"messages": messages}


def preference(**changes):
    return {**GOOD["preference"], **changes}


ADVICE = {registered.name for registered in WHOLE_CHECKS} | {"near_duplicates"}


def issues_of_rows(report):
    """Without what is said about a file as a whole: these files are small and say little."""
    return [issue for issue in report.issues if issue.code not in ADVICE]


# (format, what to write on a line, code, JSON path, who refuses)
BOTH, NOBODY, SERVICE = ("together", "local"), (), ("together",)
FAULTS = [
    ("conversation", b'{"messages": [}', "not_json", "", BOTH),
    ("conversation", b'{"messages": []} x', "not_json", "", BOTH),
    ("conversation", b'{"a": "\xff"}', "not_utf8", "", BOTH),
    ("conversation", b"[1, 2]", "not_object", "", BOTH),
    ("conversation", b"[" * 100_000, "not_json", "", BOTH),
    ("conversation", b'{"text": "nul \x00"}', "not_json", "", BOTH),
    ("conversation", b'{"n": ' + b"1" * 10_000 + b"}", "not_json", "", BOTH),
    ("conversation", b"   ", "blank_line", "", NOBODY),
    ("conversation", {"dialogue": 1}, "unknown_format", "", BOTH),
    ("conversation", {"messages": []}, "bad_messages", "messages", BOTH),
    ("conversation", {"messages": "hi"}, "bad_messages", "messages", BOTH),
    ("conversation", {"messages": ["hi"]}, "bad_message", "messages[0]", BOTH),
    ("conversation", conversation(role="bot"), "bad_role", "messages[0].role", BOTH),
    ("conversation", conversation(content=7), "bad_content", "messages[0].content", BOTH),
    ("conversation", conversation(weight=2), "bad_weight", "messages[0].weight", BOTH),
    ("conversation", {**GOOD["conversation"], "id": 3}, "extra_key", "id", SERVICE),
    ("conversation", {**GOOD["conversation"], "weight": -1}, "bad_sample_weight", "weight", BOTH),
    (
        "conversation",
        conversation(content=[{"type": "video"}]),
        "bad_part",
        "messages[0].content[0]",
        BOTH,
    ),
    ("instruction", {"prompt": 1, "completion": "b"}, "bad_text", "prompt", BOTH),
    ("general", {"text": None}, "bad_text", "text", BOTH),
    ("preference", preference(input="hi"), "bad_input", "input", BOTH),
    ("preference", preference(preferred_output=[]), "bad_output", "preferred_output", BOTH),
    (
        "preference",
        preference(input={"messages": [{"role": "user"}]}),
        "bad_content",
        "input.messages[0].content",
        BOTH,
    ),
]


@pytest.mark.parametrize(("kind", "fault", "code", "where", "blocks"), FAULTS)
def test_n_planted_faults_give_exactly_n_with_line_and_path(
    kind, fault, code, where, blocks, tmp_path
):
    draw = random.Random(f"{code}{where}")
    lines = [json.dumps({**GOOD[kind], "weight": 1 + i}).encode() for i in range(40)]
    planted = sorted(draw.sample(range(1, 41), 3))
    line = fault if isinstance(fault, bytes) else json.dumps(fault).encode()
    for number in planted:
        lines[number - 1] = line
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")

    report = scan(file)
    found = [issue for issue in issues_of_rows(report) if issue.code != "no_model"]
    (issue,) = [issue for issue in found if issue.code == code]
    assert (issue.where, issue.lines, issue.count) == (where, tuple(planted), 3)
    assert issue.blocks == blocks
    assert f"line {planted[0]}" in issue.message
    follows = {"no_assistant"} if "messages" in str(fault) else set()
    assert {i.code for i in found} - {code} <= follows
    assert report.n_bad_rows == (3 if blocks else 0)
    assert report.format == kind


@pytest.mark.parametrize("kind", GOOD)
def test_good_rows_of_each_format_have_no_issue(kind, tmp_path):
    model = str(save_tokenizer(tmp_path / "model", "chatml"))
    report = scan(write_rows(tmp_path / "rows.jsonl", [GOOD[kind]]), model)
    assert issues_of_rows(report) == []
    assert (report.format, report.n_rows, report.n_bad_rows) == (kind, 1, 0)
    assert report.tokens_exact


def test_rows_of_another_format_are_listed(tmp_path):
    rows = [GOOD["conversation"], GOOD["general"], GOOD["conversation"]]
    (issue,) = [
        i for i in scan(write_rows(tmp_path / "r.jsonl", rows)).issues if i.code == "mixed_formats"
    ]
    assert issue.lines == (2,)


def test_tokens_are_those_of_the_sequences(tmp_path):
    folder = save_tokenizer(tmp_path / "model", "chatml")
    rows = chat_rows(50)
    report = scan(write_rows(tmp_path / "r.jsonl", rows), str(folder), max_seq_length=40)
    sequences = [tokenise(row, load_tokenizer(folder))[0] for row in rows]
    lengths = sorted(len(tokens.ids) for tokens in sequences)
    assert report.tokens is not None
    assert report.tokens.total == sum(lengths)
    assert report.tokens.quantile(0.5) == lengths[24]
    assert report.tokens.longest == lengths[-1]
    assert sum(report.tokens.by_role.values()) == sum(lengths)
    assert sum(n for *_, n in report.tokens.histogram()) == 50
    assert report.n_truncated == sum(length > 40 for length in lengths)
    trained = sum(sum(label != IGNORED for label in tokens.labels[1:40]) for tokens in sequences)
    assert report.loss_tokens == trained


def test_statistics_on_numbers_worked_out_by_hand():
    stats = TokenStats(lengths={10: 3, 20: 1}, by_role={})
    assert (stats.total, stats.n_sequences, stats.longest) == (50, 4, 20)
    assert (stats.quantile(0.5), stats.quantile(0.75), stats.quantile(0.9)) == (10, 10, 20)
    assert (stats.total_within(15), stats.n_longer(15)) == (45, 1)
    assert stats.histogram(n_bins=3) == [(0, 7, 0), (7, 14, 3), (14, 21, 1)]


def test_a_report_survives_json(tmp_path):
    model = str(save_tokenizer(tmp_path / "model", "chatml"))
    report = scan(write_rows(tmp_path / "r.jsonl", chat_rows(3) * 2), model, max_seq_length=20)
    assert report.issues
    assert DataReport.model_validate_json(report.model_dump_json()) == report


def test_a_missing_file_is_an_issue(tmp_path):
    report = scan(tmp_path / "none.jsonl")
    assert report.issues[0].code == "no_file"
    assert not report.accepted_by("local")


def test_an_empty_file_is_an_issue(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert "no_rows" in {issue.code for issue in scan(tmp_path / "empty.jsonl").issues}


def test_a_missing_model_leaves_the_rest_of_the_scan(tmp_path):
    report = scan(write_rows(tmp_path / "r.jsonl", chat_rows(2)), str(tmp_path / "nowhere"))
    assert (report.n_rows, report.tokens) == (2, None)
    assert report.issues[0].code == "no_tokenizer"


def test_a_model_without_template_is_said_once(tmp_path):
    model = str(save_tokenizer(tmp_path / "model"))
    report = scan(write_rows(tmp_path / "r.jsonl", chat_rows(5)), model)
    (issue,) = issues_of_rows(report)
    assert (issue.code, issue.count, issue.blocks) == ("cannot_render", 5, ("local",))


def test_a_byte_order_mark_is_said_and_passed_over(tmp_path):
    file = tmp_path / "bom.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD["general"]).encode() + b"\n")
    report = scan(file)
    assert report.format == "general"
    assert "byte_order_mark" in {issue.code for issue in report.issues}


def test_repeated_rows_are_counted(tmp_path):
    report = scan(write_rows(tmp_path / "r.jsonl", chat_rows(3) * 3))
    assert report.n_duplicates == 6


def test_progress_is_told_on_the_way(tmp_path):
    told = []
    file = write_rows(tmp_path / "r.jsonl", [{"text": "x" * 300_000}] * 12)
    scan(file, progress=lambda done, total: told.append(done / total))
    assert len(told) >= 2
    assert told == sorted(told)


def test_text_from_the_file_is_escaped_in_html(tmp_path):
    row = conversation(role="<img src=x onerror=alert(1)>")
    html = scan(write_rows(tmp_path / "r.jsonl", [row]))._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_the_demo_data_is_clean():
    from ftlab import demo

    for file in (demo.TRAIN, demo.HELD_OUT, demo.NEW_PATTERNS, demo.PREFERENCES):
        report = scan(file, "demo")
        assert [i for i in issues_of_rows(report) if i.level != "tip"] == []
        assert report.accepted_by("together")
        assert Path(report.path) == file


# Every row has a key of another format beside its own.
MIXED_KEYS = [
    {"text": "hello", "input": "foo"},
    {"text": "hello", "preferred_output": "foo", "messages_": 1},
    {"prompt": "a", "completion": "b", "input": ["x"]},
    {**chat_rows(1)[0], "input": 3, "prompt": None},
]


@pytest.mark.parametrize("row", MIXED_KEYS)
def test_keys_of_other_formats_are_extra_keys_and_break_nothing(tmp_path, row):
    model = str(save_tokenizer(tmp_path / "model", "chatml"))
    report = scan(write_rows(tmp_path / "t.jsonl", [row]), model)
    assert {issue.code for issue in issues_of_rows(report)} <= {"extra_key"}
    assert report.tokens.n_sequences == 1


def test_ever_new_keys_make_few_issues(tmp_path):
    rows = [{"text": "a", f"key_{i}": i} for i in range(500)]
    report = scan(write_rows(tmp_path / "t.jsonl", rows))
    assert len(issues_of_rows(report)) <= 22
    assert sum(issue.count for issue in report.issues if issue.code == "extra_key") == 500


def test_one_issue_for_one_fault_in_many_places(tmp_path):
    turns = [{"role": "bot", "content": "a"} for _ in range(40)]
    row = {"messages": [*turns, {"role": "assistant", "content": "b"}]}
    report = scan(write_rows(tmp_path / "t.jsonl", [row, chat_rows(1)[0], row]))
    (issue,) = [issue for issue in report.issues if issue.code == "bad_role"]
    assert (issue.where, issue.lines, issue.count) == ("messages[*].role", (1, 3), 2)
    assert "messages[0].role" in issue.message


def test_half_a_surrogate_pair_in_a_key_is_written_out(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "a", "\\ud83d": 1}\n')
    report = scan(tmp_path / "t.jsonl")
    assert report.issues[0].where == "\\ud83d"
    assert DataReport.model_validate_json(report.model_dump_json()) == report


def test_a_report_holds_as_long_as_file_and_settings_are_the_same(tmp_path):
    model = str(save_tokenizer(tmp_path / "model", "chatml"))
    file = write_rows(tmp_path / "t.jsonl", chat_rows(3))
    spec = JobSpec(model=model, training_file=str(file), max_seq_length=64)
    report = scan(file, model, max_seq_length=64)
    assert report.holds_for(spec, str(file))
    assert not report.holds_for(spec.changed(max_seq_length=65), str(file))
    assert not report.holds_for(spec.changed(model="demo"), str(file))
    assert not report.holds_for(spec, str(tmp_path / "other.jsonl"))
    write_rows(file, chat_rows(4))
    assert not report.holds_for(spec, str(file))


def test_a_template_that_was_added_is_seen(tmp_path):
    model = save_tokenizer(tmp_path / "model")
    file = write_rows(tmp_path / "t.jsonl", chat_rows(3))
    assert "cannot_render" in {issue.code for issue in scan(file, str(model)).issues}
    save_tokenizer(model, "chatml")
    assert issues_of_rows(scan(file, str(model))) == []


@pytest.mark.parametrize("template", [b"\xe4", None])
def test_a_model_with_odd_templates_is_an_issue(tmp_path, template):
    model = save_tokenizer(tmp_path / "model")
    if template is None:
        settings = json.loads((model / "tokenizer_config.json").read_text())
        settings["chat_template"] = [{"x": 1}, "y"]
        (model / "tokenizer_config.json").write_text(json.dumps(settings))
    else:
        (model / "chat_template.jinja").write_bytes(template)
    report = scan(write_rows(tmp_path / "t.jsonl", chat_rows(3)), str(model))
    assert {issue.code for issue in issues_of_rows(report)} <= {"no_tokenizer", "cannot_render"}
    assert not report.accepted_by("local")


def test_two_unknown_roles_in_a_row_are_two_issues_with_their_cures(tmp_path):
    row = {"messages": [{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}]}
    report = scan(write_rows(tmp_path / "t.jsonl", [row]))
    messages = [issue.message for issue in issues_of_rows(report)]
    assert {issue.code for issue in issues_of_rows(report)} == {"bad_role", "no_model"}
    assert any("messages[0].role is 'human'" in m and 'Use "user"' in m for m in messages)
    assert any("messages[1].role is 'gpt'" in m and 'Use "assistant"' in m for m in messages)


def test_copies_are_told_with_their_lines(tmp_path):
    first, second = chat_rows(2)
    report = scan(write_rows(tmp_path / "t.jsonl", [first, second, first, first]))
    (issue,) = [issue for issue in report.issues if issue.code == "duplicates"]
    assert (issue.lines, issue.count) == ((3, 4), 2)


def test_without_a_length_the_context_of_the_model_cuts(tmp_path):
    model = save_tokenizer(tmp_path / "model", "chatml")
    config = {"model_type": "llama", "max_position_embeddings": 32}
    (model / "config.json").write_text(json.dumps(config))
    long = conversation()
    long["messages"][1]["content"] = "word " * 60
    report = scan(write_rows(tmp_path / "t.jsonl", [long, conversation()]), str(model))
    (issue,) = issues_of_rows(report)
    assert (issue.code, issue.lines) == ("answer_cut", (1,))
    assert "32 fit" in issue.message


def test_a_copy_is_found_however_its_row_is_written(tmp_path):
    (row,) = chat_rows(1)
    forms = [
        "\ufeff" + json.dumps(row),
        json.dumps(row),
        json.dumps({**row, "id": 7}),
        json.dumps(row, indent=None, separators=(",", ":")),
    ]
    file = tmp_path / "copies.jsonl"
    file.write_text("\n".join(forms), encoding="utf-8")
    report = scan(file)
    assert report.n_duplicates == 3


# --- rows that stand in no file --------------------------------------------------------------


HELD = {
    "a list": list,
    "a generator": lambda rows: (row for row in rows),
    "a table": pandas.DataFrame,
}


@pytest.mark.parametrize("kind", HELD)
def test_rows_from_memory_are_shown_compared_and_mended(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = "The parcel left our house on Monday and comes to you within the next three working days"
    rows = [{"prompt": f"Where is order {i}?", "completion": f"{i} {i * 7}"} for i in range(30)]
    rows += [{"prompt": "Where is it?", "completion": f"{said}{end}"} for end in (".", "!")]
    rows += [{"prompt": "Who?", "completion": 5}, rows[0]]
    report = scan(HELD[kind](rows))
    codes = {issue.code for issue in report.issues}
    assert {"near_duplicates", "duplicates"} <= codes
    assert "used_up" not in codes
    assert [number for number, _ in report.rows("duplicates")] == [34]
    done = report.repair()
    assert done.path == Path("rows.fixed.jsonl")
    assert done.n_rows == 33
    assert report.repair(tmp_path / "mine.jsonl").path == tmp_path / "mine.jsonl"


def test_a_generator_that_is_too_long_to_keep_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("ftlab.data.sources.MOST_KEPT", 300)
    monkeypatch.setattr("ftlab.data.checks.near.MOST_ROWS", 3)
    report = scan(iter(chat_rows(9)))
    assert "near_duplicates_not_sought" in {issue.code for issue in report.issues}
    with pytest.raises(UnreadableData, match="nothing a second time"):
        report.repair(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("odd", "system"), [(range(600, 640), ()), ((), range(64))])
def test_the_first_rows_are_the_first_however_they_are_read(odd, system, tmp_path):
    """Rows with a weight go the exact way, before the plain rows of their block; the template
    writes no system prompt."""
    rows = chat_rows(700)
    for place in {*odd, *system}:
        rows[place]["messages"].insert(0, {"role": "system", "content": "Be brief."})
    for place in odd or range(600, 640):
        rows[place]["weight"] = 1
    folder = save_tokenizer(tmp_path / "model", "chatml")
    template = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}<|im_end|>"
    (folder / "chat_template.jinja").write_text(template + "{% endif %}{% endfor %}")
    report = scan(write_rows(tmp_path / "rows.jsonl", rows), str(folder))
    found = [issue for issue in report.issues if "system" in issue.message and issue.lines]
    assert [issue.lines[:2] for issue in found] == ([(1, 2)] if system else [])
