"""State: one way for every change, and nothing typed is lost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ftlab.errors import FtlabError
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import JobSpec
from ftlab.ui.state import State
from tests.small import chat_rows, write_rows


def scan(state):
    """What the pump does, until the reports are there."""
    state.scan()
    end = time.monotonic() + 30
    while state.scanning:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_empty_state_says_what_is_missing(state):
    assert state.spec is None
    assert {issue.where for issue in state.issues} == {"model", "training_file"}
    assert "No model is given" in state.why_not_train


def test_what_is_typed_is_checked_at_once(state, files):
    state.update(files)
    assert isinstance(state.spec, JobSpec)
    state.set("n_epochs", 0)
    assert state.spec is None
    assert state.values["n_epochs"] == 0
    state.set("n_epochs", None)
    assert state.spec is not None
    assert "n_epochs" not in state.values


@pytest.mark.parametrize("model", ["nowhere/at/all", "/missing", "."])
def test_a_model_that_is_not_there_is_an_error_beside_its_field(state, files, model):
    state.update({**files, "model": model})
    assert state.spec is None
    assert [issue.where for issue in state.issues if issue.level == "error"] == ["model"]


def test_a_damaged_model_is_an_error_beside_its_field(state, files, tmp_path):
    (tmp_path / "model" / "model.safetensors").write_bytes(b"x")
    state.update(files)
    (issue,) = [issue for issue in state.issues if issue.level == "error"]
    assert "not a whole safetensors file" in issue.message


def test_a_hub_model_is_allowed_and_said_to_be_fetched(state, files):
    state.update({**files, "model": "somebody/small"})
    assert state.spec is not None
    assert "downloads it" in next(i for i in state.issues if i.where == "model").message


def test_a_fix_is_applied(state, files):
    state.update({**files, "lora_alpha": 900})
    (issue,) = [issue for issue in state.issues if issue.where == "lora_alpha"]
    state.apply(issue)
    assert state.values["lora_alpha"] == 32
    assert not [issue for issue in state.issues if issue.where == "lora_alpha"]


def test_only_the_chosen_engine_is_heard(state, files):
    state.update({**files, "lr_scheduler_type": "wsd"})
    assert state.spec is not None
    assert not [issue for issue in state.issues if issue.where == "lr_scheduler_type"]


def test_a_scan_brings_the_report_and_the_estimate(state, files):
    state.update(files)
    assert state.estimate.n_steps is None
    scan(state)
    assert state.report.n_rows == 40
    assert state.estimate.n_steps == 10
    assert state.why_not_train == ""


def test_a_file_that_goes_takes_its_report_along(state, files):
    state.update(files)
    scan(state)
    state.set("training_file", None)
    state.scan()
    assert state.report is None


def test_a_newer_scan_replaces_the_older(state, files, tmp_path):
    state.update(files)
    state.scan()
    state.set("training_file", str(write_rows(tmp_path / "other.jsonl", chat_rows(7))))
    scan(state)
    assert state.report.n_rows == 7


def test_a_scan_waits_until_typing_stops(state, files):
    state.update(files)
    assert state.scanning
    state.tick()
    assert state.report is None
    time.sleep(0.5)
    state.tick()
    end = time.monotonic() + 30
    while state.report is None:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_scan_that_breaks_is_told(state, files, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    state.update(files)
    scan_error(state)
    assert state.message[0] == "error"
    assert "scan ended without a report" in state.message[1]
    assert "could not be scanned" in state.why_not_train


def scan_error(state):
    state.scan()
    end = time.monotonic() + 10
    while not state.message[1] or state.scanning:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_was_typed_outlives_the_kernel(state, files, tmp_path):
    state.update({**files, "learning_rate": "high", "lora_trainable_modules": ("q_proj",)})
    again = State(tmp_path / "runs")
    again.update(again.draft())
    assert again.values["learning_rate"] == "high"
    assert again.resolved.spec.lora_trainable_modules == ("q_proj",)


def test_a_damaged_draft_is_no_draft(state, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "draft.json").write_text("{")
    assert state.draft() == {}


def make_run(folder, *events):
    run = Run.create(Job(spec=JobSpec(model="m"), provider="local"), folder)
    writer = run.writer()
    for event in events:
        writer.append(event)
    writer.close()
    return run


def test_news_of_the_run_beat_once(state, tmp_path):
    run = make_run(tmp_path / "runs", Status(status="completed"))
    state.find_run()
    assert state.selected == run.id
    state.tick()
    beats = state.beat
    state.tick()
    assert state.beat == beats
    make_events = run.writer()
    make_events.append(Metrics(step=1, values={"train_loss": 1.0}))
    make_events.close()
    state.tick()
    assert state.beat == beats + 1


def test_a_run_that_dies_is_told(state, tmp_path):
    run = make_run(tmp_path / "runs", Status(status="running"))
    lock = run.lock()
    state.find_run()
    state.tick()
    import os

    os.close(lock)
    state.tick()
    assert state.message[0] == "error"
    assert "without saying why" in state.message[1]


def test_what_is_no_field_is_not_kept(state):
    state.update({"together_api_key": "sk-secret", "n_epochs": 3})
    draft = state.folder.folder / "draft.json"
    assert json.loads(draft.read_text()) == {"n_epochs": 3}
    assert draft.stat().st_mode & 0o077 == 0


def test_rows_that_changed_since_the_scan_are_scanned_anew(state, files):
    state.update(files)
    scan(state)
    write_rows(Path(files["training_file"]), chat_rows(3))
    with pytest.raises(FtlabError, match="has changed since it was scanned"):
        state.train()
    assert state.scanning
    assert state.runs == ()
