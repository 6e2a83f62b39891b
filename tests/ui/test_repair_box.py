"""The boxes that mend, convert and split a file, without a browser."""

from __future__ import annotations

import json
from pathlib import Path

from ftlab.ui.convert_box import LEFT_OUT
from ftlab.ui.repair_box import REST
from tests.small import chat_rows, write_rows
from tests.ui.conftest import bad_rows
from tests.ui.test_data_panel import button, finish, is_seen, issue_row, wait
from tests.ui.test_state import scan


def saw(box):
    """Until what would change is shown."""
    wait(lambda: not box.looking.is_busy)


# --- repairs ---------------------------------------------------------------------------------


def test_a_bad_file_is_mended_and_the_new_one_is_scanned(state, bad, tmp_path):
    box = bad.repair_box
    assert is_seen(box)
    assert "2 rows can be mended" in box.head.value
    assert set(box.ticked) == {"role", "cut_after_answer"}
    assert list(box.choices) == ["role", "cut_after_answer", REST]
    counts = [choice.description.partition(" · ")[2] for choice in box.choices.values()]
    assert counts == ["1 row", "1 row", ""]
    assert box.write.description == "Write bad.fixed.jsonl"
    saw(box)  # without being asked: what a click would do is seen before it
    assert "line 3" in box.looking.said.value
    assert "And now?" in box.looking.said.value
    assert "line 5: set aside" in box.looking.said.value
    assert not is_seen(box.look)
    assert not (tmp_path / "bad.fixed.jsonl").exists()
    box.write.click()
    finish(box)
    fixed = tmp_path / "bad.fixed.jsonl"
    assert state.values["training_file"] == str(fixed)
    assert "10 rows, 2 of them changed" in box.task.said.value
    assert "1 row" in box.task.said.value
    assert "bad.set-aside.jsonl" in box.task.said.value
    scan(state)
    assert state.report.path == str(fixed)
    assert state.report.n_bad_rows == 0
    assert not is_seen(box.form)
    assert "bad.fixed.jsonl" in box.task.said.value  # what was done stays to be read
    (aside,) = (tmp_path / "bad.set-aside.jsonl").read_text().splitlines()
    assert json.loads(aside)["line"] == 5
    state.set("training_file", str(tmp_path / "bad.jsonl"))
    scan(state)
    assert box.task.said.value == ""


def test_a_click_gives_the_file_that_the_report_gives(state, bad, tmp_path):
    wanted = state.report.repair(tmp_path / "wanted.jsonl")
    bad.repair_box.write.click()
    finish(bad.repair_box)
    assert (tmp_path / "bad.fixed.jsonl").read_bytes() == wanted.path.read_bytes()


def test_what_would_change_follows_the_ticks(bad):
    box = bad.repair_box
    box.choices["cut_after_answer"].value = False
    saw(box)
    assert "And now?" not in box.looking.said.value
    assert "line 3" in box.looking.said.value
    box.choices["role"].value = box.choices[REST].value = False
    saw(box)
    assert box.looking.said.value == ""
    assert box.write.disabled


def test_a_large_file_is_looked_through_when_asked(bad, monkeypatch, tmp_path):
    saw(bad.repair_box)
    monkeypatch.setattr("ftlab.ui.repair_box.LOOK_SECONDS", 0.0)
    box, state = bad.repair_box, bad.state
    rows = [*chat_rows(600), *bad_rows()]
    state.set("training_file", str(write_rows(tmp_path / "large.jsonl", rows)))
    scan(state)
    saw(box)
    assert "No single row would change in the first 500 lines" in box.looking.said.value
    assert is_seen(box.look)
    box.look.click()
    saw(box)
    assert "line 603" in box.looking.said.value
    assert not is_seen(box.look)


def test_rows_that_can_not_be_read_yet_get_all_they_need(state, panel, files, tmp_path):
    rows = [{**row, "id": i} for i, row in enumerate(chat_rows(5))]
    file = tmp_path / "printed.jsonl"
    file.write_text("\n".join(map(repr, rows)))
    state.update({**files, "training_file": str(file)})
    scan(state)
    box = panel.repair_box
    assert list(box.choices) == ["json_syntax", REST]
    assert "5 rows can be mended" in box.head.value
    assert box.ticked == ("json_syntax",)
    assert "extra_key" in box.in_refused
    box.choices[REST].value = False
    assert box.in_refused == ()
    box.choices[REST].value = True
    box.write.click()
    finish(box)
    lines = (tmp_path / "printed.fixed.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == chat_rows(5)


def test_an_issue_ticks_its_repair(bad):
    box = bad.repair_box
    for choice in box.choices.values():
        choice.value = False
    assert box.write.disabled
    shown = box.anchor.calls
    button(issue_row(bad, "line 3: messages[0].role"), "fix").click()
    assert box.ticked == ("role",)
    assert not box.write.disabled
    assert box.anchor.calls == shown + 1
    assert "ft-chosen" in box.choices["role"]._dom_classes
    button(issue_row(bad, "line 4: The last message"), "fix").click()
    assert box.anchor.calls == shown + 2
    assert "ft-chosen" not in box.choices["role"]._dom_classes
    assert "ft-chosen" in box.choices["cut_after_answer"]._dom_classes


def test_only_what_is_ticked_is_mended(state, bad, tmp_path):
    box = bad.repair_box
    box.choices["cut_after_answer"].value = False
    box.write.click()
    finish(box)
    text = (tmp_path / "bad.fixed.jsonl").read_text()
    assert "ASSISTANT" not in text
    assert "And now?" in text
    assert "1 of them changed" in box.task.said.value


def test_a_row_edited_by_hand_is_written(state, panel, files, tmp_path):
    state.update(files)
    scan(state)
    viewer, box = panel.viewer, panel.repair_box
    assert not is_seen(box)
    viewer.go(3)
    viewer.edit.click()
    viewer.editor.text.value = viewer.editor.text.value.replace("Where is order 2?", "Where is it?")
    viewer.editor.keep.click()
    assert is_seen(box)
    assert "1 row edited by hand" in box.head.value
    box.write.click()
    finish(box)
    rows = [json.loads(line) for line in (tmp_path / "t.fixed.jsonl").read_text().splitlines()]
    assert rows[2]["messages"][0]["content"] == "Where is it?"
    assert len(rows) == 40
    assert [r for i, r in enumerate(rows) if i != 2] == [
        r for i, r in enumerate(chat_rows(40)) if i != 2
    ]


def test_a_repair_that_fails_says_so_in_the_box(state, bad, tmp_path):
    (tmp_path / "bad.jsonl").unlink()
    bad.repair_box.write.click()
    finish(bad.repair_box)
    assert "bad.jsonl" in bad.repair_box.task.said.value
    assert 'role="alert"' in bad.repair_box.task.said.value
    assert not bad.repair_box.write.disabled
    assert state.values["training_file"].endswith("bad.jsonl")


# --- conversion and split --------------------------------------------------------------------


def test_columns_of_a_table_are_mapped(state, panel, files, tmp_path):
    lines = ["frage,antwort,nummer"]
    lines += [f"Where is order {i}?,It left on Monday.,{i}" for i in range(25)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    state.update({**files, "training_file": str(tmp_path / "t.csv")})
    scan(state)
    box = panel.convert_box
    assert is_seen(box)
    assert not is_seen(panel.repair_box)
    assert not is_seen(panel.viewer)
    box.shape.value = "a chat"
    assert {choice.label for choice in box.columns.values()} == {"(left out)"}
    shown = box.anchor.calls
    button(issue_row(panel, "The keys are antwort, frage"), "convert").click()
    assert box.anchor.calls == shown + 1
    box.columns["user"].value = "frage"
    box.columns["assistant"].value = LEFT_OUT[1]
    assert box.convert.disabled
    assert "assistant" in box.why_not.value
    box.columns["assistant"].value = "frage"
    assert "stands for two things" in box.why_not.value
    box.columns["assistant"].value = "antwort"
    assert not box.convert.disabled
    box.convert.click()
    finish(box)
    assert "25 rows" in box.task.said.value
    assert "CSV" not in box.task.said.value  # what was wrong with the old file is done with
    scan(state)
    assert state.report.format == "conversation"
    assert state.report.n_rows == 25
    assert not is_seen(box.form)
    assert is_seen(panel.viewer)


def test_a_known_foreign_format_needs_no_mapping(state, panel, files, tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": f"Q{i}"}, {"from": "gpt", "value": f"A{i}"}]}
        for i in range(25)
    ]
    file = write_rows(tmp_path / "shared.jsonl", rows)
    state.update({**files, "training_file": str(file)})
    scan(state)
    box = panel.convert_box
    assert is_seen(box)
    assert "ShareGPT" in box.head.value
    assert "ShareGPT (to be converted)" in panel.figures.value
    assert box.choices.children == ()
    assert box.convert.description == "Convert to shared-2.jsonl"
    box.convert.click()
    finish(box)
    assert json.loads(file.read_text().splitlines()[0]) == rows[0]  # never written over
    scan(state)
    assert state.report.format == "conversation"
    assert state.report.n_bad_rows == 0


def test_a_split_names_both_files(state, panel, files, tmp_path):
    file = write_rows(tmp_path / "many.jsonl", chat_rows(200))
    state.update({**files, "training_file": str(file)})
    scan(state)
    box = panel.split_box
    assert is_seen(box.split)
    box.split.click()
    finish(box)
    train, held = (state.values[name] for name in ("training_file", "validation_file"))
    n_train, n_held = (len(Path(path).read_text().splitlines()) for path in (train, held))
    assert n_train + n_held == 200
    assert 0 < n_held < 30
    assert f"{n_train} rows to train, {n_held} to validate" in box.task.said.value
    assert not is_seen(box.split)
    scan(state)
    assert {report.n_rows for report in state.reports.values()} == {n_train, n_held}


def test_no_split_is_offered_where_one_is_given(state, panel, files):
    state.update({**files, "validation_split": 0.1})
    scan(state)
    assert not is_seen(panel.split_box)


def test_an_edit_stays_with_its_row_and_outlives_another_file(bad, state, tmp_path):
    viewer = bad.viewer
    viewer.go(1)
    viewer.edit.click()
    viewer.on.click()  # the view moves on, the editor holds the first row still
    viewer.editor.text.value = viewer.editor.text.value.replace("Where is order 0?", "Where is it?")
    viewer.editor.keep.click()
    assert list(viewer.edits) == [1]
    path = state.values["training_file"]
    state.update({"training_file": str(tmp_path / "none.jsonl")})
    scan(state)
    assert viewer.edits == {}
    state.update({"training_file": path})
    scan(state)
    assert list(viewer.edits) == [1]
