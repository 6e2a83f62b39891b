"""From a run that is over to the next job."""

from __future__ import annotations

import pytest

from ftlab.job import Job
from ftlab.origin import going_on, started
from ftlab.run import Run
from ftlab.spec import parse
from ftlab.ui.next_box import NextBox
from ftlab.ui.run_panel import RunPanel
from tests.fakes.together import Fault
from tests.providers.hosted import MODEL, carried_out, hosted, new_run
from tests.test_origin import run_in


@pytest.fixture
def run(tmp_path):
    return run_in(tmp_path / "runs")


def test_nothing_is_offered_before_a_run_has_completed(state, tmp_path):
    box = NextBox(state)
    assert box.layout.display == "none"
    run_in(tmp_path / "runs")
    state.find_run()
    state.tick()
    assert box.layout.display is None
    assert box.preferences.layout.display is None


def test_a_click_goes_on_with_preferences(state, run):
    box = NextBox(state)
    state.update({"model": "other", "n_epochs": 7})
    state.find_run()
    box.preferences.click()
    assert state.values["training_method"] == "dpo"
    assert "training_file" not in state.values
    assert "n_epochs" not in state.values
    assert state.tab == "data"
    spec, _ = parse(state.values)
    start = started(spec)
    assert not start.issues
    assert start.spec.lora_r == state.resolved.spec.lora_r == 4  # what the form shows, too
    assert "preferred" in state.message[1]
    state.undo()
    assert state.values["n_epochs"] == 7


def test_a_click_trains_further_on_the_same_rows(state, tmp_path):
    read = {"validation_split": 0.2, "max_train_rows": 10, "max_seq_length": 64, "random_seed": 7}
    run = run_in(tmp_path / "runs", train_on_inputs=True, **read)
    box = NextBox(state)
    state.find_run()
    box.further.click()
    assert state.values["training_file"] == run.job.spec.training_file
    assert state.values["training_method"] == "sft"
    assert {**read, "train_on_inputs": True}.items() <= state.values.items()
    assert state.tab == "job"


def test_of_all_weights_the_next_job_takes_the_model_itself(run, tmp_path):
    spec = run.job.spec.changed(lora=False, lora_r=None)
    full = Run.create(Job(spec=spec, provider="local"), tmp_path / "runs")
    values = going_on(full, "dpo")
    assert values == {"model": str(full.adapter), "lora": False, "training_method": "dpo"}


def test_a_job_that_was_refused_is_put_into_the_form_again(state, tmp_path, monkeypatch):
    with hosted(monkeypatch) as service:
        service.misbehave("POST", "/fine-tunes", Fault(status=402))
        run = new_run(tmp_path, n_epochs=7)
        carried_out(run)
    box, panel = NextBox(state), RunPanel(state)
    state.find_run()
    state.tick()
    assert (run.status, box.layout.display, box.again.layout.display) == ("failed", None, None)
    assert box.further.layout.display == box.preferences.layout.display == "none"
    assert panel.buttons.resume.layout.display == "none"
    box.again.click()
    given = {"model": MODEL, "n_epochs": 7, "training_file": str(tmp_path / "train.jsonl")}
    assert given.items() <= state.values.items()
    assert "lora_r" not in state.values  # ftlab had chosen it
    assert (state.provider, state.tab) == ("together", "job")
