"""The Data panel without a browser: what a person sees, ticks and presses."""

from __future__ import annotations

import json
import re
import time

import pytest
import torch

from ftlab import demo
from ftlab.data.chat import IGNORED, tokenise
from ftlab.data.rows import Rows
from ftlab.data.tokens import load_tokenizer
from ftlab.issues import Issue
from ftlab.train.batches import Example, Examples
from ftlab.train.layouts import flat
from ftlab.ui.data_panel import issue_html, progress_html
from ftlab.ui.figures import figures_html
from ftlab.ui.row_html import tokens_html
from ftlab.ui.state import CANCELLED
from tests.small import chat_rows, write_rows
from tests.ui.test_state import scan

MARKUP = "<img src=x onerror=alert(1)>"


def wait(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def finish(box):
    """Until the work behind a box's button is done."""
    wait(lambda: not box.task.is_busy)


def is_seen(widget):
    return widget.layout.display != "none"


def issue_row(panel, text):
    return next(row for row in panel.issues.children if text in row.children[0].value)


def button(row, label):
    return next(w for w in row.children if getattr(w, "description", None) == label)


# --- what is there ---------------------------------------------------------------------------


def test_an_empty_panel_offers_the_demo(state, panel):
    assert is_seen(panel.use_demo)
    assert not any(map(is_seen, (panel.found, panel.repair_box, panel.convert_box, panel.failed)))
    panel.use_demo.click()
    assert state.values["model"] == "demo"
    assert not is_seen(panel.use_demo)


def test_figures_are_those_of_the_report(state, panel, files):
    state.update(files)
    scan(state)
    report, shown = state.report, panel.figures.value
    assert "40 rows" in shown
    assert f"{report.tokens.total:,} tokens" in shown
    assert f"{report.loss_tokens:,} trained" in shown
    assert "exact" in shown
    assert "2 a row" in shown
    assert "latin 100%" in shown
    assert f"<b>{report.tokens.longest:,}</b>" in shown
    assert "<svg" in shown


def test_copies_and_formats_are_counted(state, panel, files, tmp_path):
    rows = [*chat_rows(6), *chat_rows(2), {"text": "Good day."}]
    state.update({**files, "training_file": str(write_rows(tmp_path / "t.jsonl", rows))})
    scan(state)
    assert "2 rows (22.2%) in 2 groups" in panel.figures.value
    assert "conversation 89%, general 11%" in panel.figures.value


def test_the_length_in_the_form_counts_without_a_scan(state, panel, files):
    state.update(files)
    scan(state)
    report = state.report
    before = panel.figures.value
    state.set("max_seq_length", 16)
    assert state.report is report
    n = report.tokens.n_longer(16)
    assert n > 0
    assert f"{n:,} above max_seq_length 16" in panel.figures.value
    assert "at max_seq_length 16" in panel.viewer.counts.value
    assert "above max_seq_length" not in before


def test_a_report_of_another_file_is_not_shown(state, panel, files, tmp_path):
    state.update(files)
    scan(state)
    assert is_seen(panel.found)
    state.set("training_file", str(tmp_path / "other.jsonl"))
    assert not is_seen(panel.found)
    assert is_seen(panel.working)


@pytest.mark.parametrize("field", ["training_file", "validation_file"])
def test_a_file_that_is_not_there_is_said_to_be_missing(state, panel, files, tmp_path, field):
    state.update({**files, field: str(tmp_path / "gone.jsonl")})
    scan(state)
    assert "gone.jsonl is not a file" in panel.rows[field].said
    assert "Correct the path" in panel.rows[field].said
    assert not any("refuses" in issue.message for issue in state.issues)
    (tmp_path / "empty.jsonl").write_text("")
    state.set(field, str(tmp_path / "empty.jsonl"))
    scan(state)
    assert "empty.jsonl has no rows" in panel.rows[field].said


# --- a scan that goes on ---------------------------------------------------------------------


def test_a_scan_says_how_far_it_is_and_what_it_found_first(state, panel):
    state.values = {"training_file": "large.jsonl"}
    state.scanning, state.preview = True, "about 12,000 rows (from 1.0% of the file)"
    state.scan_first = time.monotonic() - 30, 0.05
    state.scan_progress = 0.25
    shown = panel.progress.value
    assert "large.jsonl" in shown
    assert "25%" in shown
    assert re.search(r"11[23] s left|2 min left", shown)  # a fifth took thirty seconds
    assert "about 12,000 rows" in shown
    assert is_seen(panel.working)
    state.scanning = False
    assert progress_html(state) == ""
    assert not is_seen(panel.working)


def test_a_scan_can_be_cancelled_and_begun_again(state, panel, files):
    state.update(files)
    state.scan()
    panel.cancel.click()
    assert not state.scanning
    assert state.report is None
    assert is_seen(panel.failed)
    assert CANCELLED in panel.failure.value
    assert "ft-warning" in panel.failure.value  # it was wanted
    assert state.why_not_train == CANCELLED
    panel.again.click()
    assert not is_seen(panel.failed)
    wait(lambda: not state.scanning)
    assert state.report.n_rows == 40


def test_a_cancel_before_the_scan_begins_counts_too(state, panel, files):
    state.update(files)
    panel.cancel.click()
    time.sleep(0.5)
    state.tick()
    assert not state.scanning


def test_a_scan_that_broke_is_said_in_the_panel(state, panel, files, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    state.update(files)
    scan(state)
    assert "scan ended without a report (exit status 1)" in panel.failure.value
    assert is_seen(panel.failed)


def test_rows_that_are_in_both_files_are_found(state, panel, files, tmp_path):
    held = write_rows(tmp_path / "v.jsonl", [*chat_rows(1, 7), *chat_rows(3, 100)])
    state.update({**files, "validation_file": str(held)})
    scan(state)
    row = issue_row(panel, "v.jsonl line 1: this row is in t.jsonl too")
    button(row, "show").click()
    assert panel.viewer.file.value == "validation_file"


# --- issues and rows -------------------------------------------------------------------------


def test_issues_open_their_rows(bad):
    row = issue_row(bad, "messages is []")
    assert "line 5</span>" in row.children[0].value
    button(row, "show").click()
    assert bad.viewer.line.value == "5"
    assert "messages is []" in bad.viewer.view.value


def test_the_viewer_pages_through_rows(state, panel, files):
    state.update(files)
    scan(state)
    panel.viewer.on.click()
    assert panel.viewer.line.value == "2"
    panel.viewer.back.click()
    panel.viewer.back.click()
    assert panel.viewer.line.value == "1"
    panel.viewer.line.value = "9999"
    assert "line 40" in panel.viewer.view.value


@pytest.mark.parametrize(
    ("typed", "shown", "said"),
    [
        ("3", 3, ""),
        (" 1_0 ", 12, "Line 10 is blank"),
        ("1,2", 12, ""),
        ("abc", 2, "“abc” is no line"),
        ("²", 2, "“²” is no line"),
        ("-1", 2, "“-1” is no line"),
        ("", 2, "“” is no line"),
        ("<b>", 2, "“&lt;b&gt;” is no line"),
        ("0", 1, "no row on line 0"),
        ("9" * 5000, 2, "is no line"),
        ("9,999", 42, "no row on line 9,999"),
    ],
)
def test_a_jump_that_misses_says_so(state, panel, files, tmp_path, typed, shown, said):
    lines = [json.dumps(row) for row in chat_rows(40)]
    lines[9:9] = ["", " "]
    file = tmp_path / "blank.jsonl"
    file.write_text("\n".join(lines))
    state.update({**files, "training_file": str(file)})
    scan(state)
    viewer = panel.viewer
    viewer.go(2)
    viewer.line.value = typed
    assert f">line {shown}</span>" in viewer.view.value
    assert said in viewer.off.value
    if said:
        assert "rows are on lines 1 to 42" in viewer.off.value
        assert f"Line {shown} is shown" in viewer.off.value
    viewer.on.click()
    assert viewer.off.value == ""
    assert f">line {min(shown + 1, 42) if shown != 9 else 12}</span>" in viewer.view.value


def test_rows_of_the_validation_file_are_shown_too(state, panel, files, tmp_path):
    held = write_rows(tmp_path / "v.jsonl", [*chat_rows(2, 100), {"messages": []}])
    state.update({**files, "validation_file": str(held)})
    scan(state)
    viewer = panel.viewer
    assert is_seen(viewer.file)
    viewer.go(30)
    viewer.file.value = "validation_file"
    assert viewer.line.value == "1"  # line 30 is not in it
    assert ">line 1</span>" in viewer.view.value
    assert not is_seen(viewer.edit)
    viewer.go(3)
    assert "messages is []" in viewer.view.value
    viewer.file.value = "training_file"
    assert "messages is []" not in viewer.view.value
    assert is_seen(viewer.edit)
    button(issue_row(panel, "v.jsonl line 3"), "show").click()
    assert viewer.file.value == "validation_file"
    assert "messages is []" in viewer.view.value
    state.set("validation_file", None)
    scan(state)
    assert not is_seen(viewer.file)
    assert viewer.file.value == "training_file"
    assert ">line 3</span>" in viewer.view.value


def test_what_is_chosen_in_the_viewer_outlives_a_new_scan(bad, state):
    button(issue_row(bad, "messages is []"), "show").click()
    chosen = bad.viewer.only.value
    state.set("max_seq_length", 64)
    scan(state)
    assert bad.viewer.only.value == chosen
    assert bad.viewer.line.value == "5"


def test_half_a_character_can_be_edited(state, panel, files, tmp_path):
    file = tmp_path / "half.jsonl"
    file.write_text('{"text": "é \\ud800"}\n')
    state.update({**files, "training_file": str(file)})
    scan(state)
    viewer = panel.viewer
    viewer.edit.click()
    assert "\\ud800" in viewer.editor.text.value
    viewer.editor.keep.click()
    assert "half of a surrogate pair" in viewer.editor.said.value


@pytest.mark.parametrize("length", [None, 30])
@pytest.mark.parametrize("inputs", ["auto", True])
def test_what_is_shown_as_trained_is_what_a_batch_trains(length, inputs):
    """The panel's marks, read back from its HTML, against the labels of a training batch."""
    tokenizer = load_tokenizer(demo.MODEL)
    rows = Rows(demo.TRAIN)
    examples = Examples(
        rows,
        range(20),
        lambda row: Example.of(tokenise(row, tokenizer, inputs)[0], length or 10**6),
    )
    for i in range(20):
        batch = flat([[examples[i]]], "cpu")
        labels = torch.full_like(batch.ids[0], IGNORED)
        labels[batch.targets.places + 1] = batch.targets.tokens
        html = tokens_html(tokenise(rows[i], tokenizer, inputs)[0], tokenizer, length)
        shown = re.findall(r'<span class="([^"]*)" title="id (\d+)">', html)
        ids = [int(token) for classes, token in shown if "cut" not in classes]
        trained = [
            int(token) if "on" in classes.split() else IGNORED
            for classes, token in shown
            if "cut" not in classes
        ]
        assert ids == batch.ids[0].tolist()
        assert trained[1:] == labels[1:].tolist()  # nothing comes before the first


def test_markup_in_names_rows_and_issues_is_shown_not_run(state, panel, files, tmp_path):
    rows = chat_rows(30)
    rows[0]["messages"][0]["content"] = MARKUP
    rows[1]["messages"][1]["role"] = MARKUP
    file = write_rows(tmp_path / "<b>t.jsonl", rows)
    state.update({**files, "training_file": str(file)})
    scan(state)
    wait(lambda: not panel.repair_box.looking.is_busy)
    panel.viewer.go(2)
    texts = [panel.viewer.view.value, panel.figures.value, panel.repair_box.looking.said.value]
    texts += [row.children[0].value for row in panel.issues.children]
    assert any("&lt;img" in text for text in texts)
    assert not any("<img" in text or "<b>t.jsonl" in text for text in texts)
    assert "<img" not in issue_html(Issue("tip", MARKUP))


def test_figures_need_no_tokens(state, panel, files):
    state.set("training_file", files["training_file"])
    scan(state)
    assert state.report.tokens is None
    assert "40 rows" in figures_html(state.report, 128)
