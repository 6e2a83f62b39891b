"""The Data panel without a browser: what a person sees, ticks and presses."""

from __future__ import annotations

import re
import time

import pytest

from ftlab import demo
from ftlab.data.chat import IGNORED, tokenise
from ftlab.data.rows import Rows
from ftlab.data.tokens import load_tokenizer
from ftlab.issues import Issue
from ftlab.train.batches import Examples, collate
from ftlab.ui.data_panel import issue_html, progress_html
from ftlab.ui.figures import figures_html
from ftlab.ui.row_viewer import tokens_html
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


# --- a scan that goes on ---------------------------------------------------------------------


def test_a_scan_says_how_far_it_is_and_what_it_found_first(state, panel):
    state.values = {"training_file": "large.jsonl"}
    state.scanning, state.preview = True, "about 12,000 rows (from 1.0% of the file)"
    state.scan_began = time.monotonic() - 30
    state.scan_progress = 0.25
    shown = panel.progress.value
    assert "large.jsonl" in shown
    assert "25%" in shown
    assert "90 s left" in shown  # a quarter took thirty
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
    assert "scan ended without a report" in panel.failure.value
    assert is_seen(panel.failed)


def test_rows_that_are_in_both_files_are_found(state, panel, files, tmp_path):
    held = write_rows(tmp_path / "v.jsonl", [*chat_rows(1, 7), *chat_rows(3, 100)])
    state.update({**files, "validation_file": str(held)})
    scan(state)
    row = issue_row(panel, "v.jsonl line 1: this row is in t.jsonl too")
    assert not [w for w in row.children if getattr(w, "description", "") == "show"]


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


@pytest.mark.parametrize("length", [None, 30])
@pytest.mark.parametrize("inputs", ["auto", True])
def test_what_is_shown_as_trained_is_what_a_batch_trains(length, inputs):
    """The panel's marks, read back from its HTML, against the labels of a training batch."""
    tokenizer = load_tokenizer(demo.MODEL)
    rows = Rows(demo.TRAIN)
    examples = Examples(
        rows, range(20), lambda row: tokenise(row, tokenizer, inputs)[0], length or 10**6
    )
    batch = collate([examples[i] for i in range(20)], tokenizer.pad_id, "cpu")
    for i in range(20):
        html = tokens_html(tokenise(rows[i], tokenizer, inputs)[0], tokenizer, length)
        shown = re.findall(r'<span class="([^"]*)" title="id (\d+)">', html)
        ids = [int(token) for classes, token in shown if "cut" not in classes]
        trained = [
            int(token) if "on" in classes.split() else IGNORED
            for classes, token in shown
            if "cut" not in classes
        ]
        assert ids == batch.ids[i][batch.mask[i].bool()].tolist()
        assert trained == batch.labels[i][batch.mask[i].bool()].tolist()
        assert (batch.labels[i][~batch.mask[i].bool()] == IGNORED).all()


def test_markup_in_names_rows_and_issues_is_shown_not_run(state, panel, files, tmp_path):
    rows = chat_rows(30)
    rows[0]["messages"][0]["content"] = MARKUP
    rows[1]["messages"][1]["role"] = MARKUP
    file = write_rows(tmp_path / "<b>t.jsonl", rows)
    state.update({**files, "training_file": str(file)})
    scan(state)
    panel.repair_box.look.click()
    finish(panel.repair_box)
    panel.viewer.go(2)
    texts = [panel.viewer.view.value, panel.figures.value, panel.repair_box.task.said.value]
    texts += [row.children[0].value for row in panel.issues.children]
    assert any("&lt;img" in text for text in texts)
    assert not any("<img" in text or "<b>t.jsonl" in text for text in texts)
    assert "<img" not in issue_html(Issue("tip", MARKUP))


def test_figures_need_no_tokens(state, panel, files):
    state.set("training_file", files["training_file"])
    scan(state)
    assert state.report.tokens is None
    assert "40 rows" in figures_html(state.report, 128)
