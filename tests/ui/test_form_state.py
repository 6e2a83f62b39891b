"""Undo, tips, and the spec as a value: what the form does without any widget."""

from __future__ import annotations

import json
import time

import pytest
from traitlets import TraitError

from ftlab import model_hub
from ftlab.issues import Issue
from ftlab.model_files import ModelInfo
from ftlab.spec import JobSpec
from ftlab.ui import history
from ftlab.ui.draft import read_draft
from ftlab.ui.knobs import NOT_GIVEN
from ftlab.ui.workbench import Workbench
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def unhurried(monkeypatch):
    """Every key counts as a step of its own."""
    monkeypatch.setattr(history, "PAUSE", -1.0)


# --- undo ------------------------------------------------------------------------------------


def test_steps_go_back_and_forth(state, unhurried):
    state.set("n_epochs", 2)
    state.set("n_epochs", 3)
    state.set("lora_r", 8)
    state.undo()
    assert state.values == {"n_epochs": 3}
    state.undo()
    assert state.values == {"n_epochs": 2}
    state.redo()
    assert state.values == {"n_epochs": 3}
    state.undo()
    state.undo()
    assert state.values == {}
    state.undo()  # there is nothing before
    assert not state.history.can_undo


def test_a_word_typed_at_once_is_one_step(state):
    for text in ("4", "4e", "4e-", "4e-4"):
        state.set("learning_rate", text)
    state.set("n_epochs", 2)
    state.set("n_epochs", 25)
    state.undo()
    assert state.values == {"learning_rate": "4e-4"}
    state.undo()
    assert state.values == {}


def test_typing_on_after_a_pause_is_another_step(state, unhurried):
    state.set("learning_rate", 4e-4)
    state.set("learning_rate", 4e-5)
    state.undo()
    assert state.values == {"learning_rate": 4e-4}


def test_a_new_change_forgets_what_was_undone(state, unhurried):
    state.set("n_epochs", 2)
    state.undo()
    state.set("n_epochs", 5)
    assert not state.history.can_redo
    state.redo()
    assert state.values == {"n_epochs": 5}


def test_typing_after_an_undo_is_a_step_of_its_own(state):
    state.set("n_epochs", 2)
    state.set("lora_r", 8)
    state.undo()
    state.set("lora_r", 9)
    state.undo()
    assert state.values == {"n_epochs": 2}


def test_true_and_one_are_different_values_and_none_is_one_where_it_means_something(state):
    state.set("use_dora", 1)
    state.update({"use_dora": True})
    assert state.values["use_dora"] is True
    state.set("lora", None)
    assert state.given("lora") is None
    state.set("lora", NOT_GIVEN)
    assert state.given("lora") is NOT_GIVEN


def test_options_of_the_machine_are_undone_and_kept_on_disk_too(state):
    state.set("micro_batch_size", 2)
    assert read_draft(state.folder.folder) == {"micro_batch_size": 2}
    state.undo()
    assert state.options == {}
    assert read_draft(state.folder.folder) == {}


def test_nothing_but_fields_reaches_the_draft(state):
    state.update({"n_epochs": 2, "hf_api_token": "hf_secret"})
    text = (state.folder.folder / "draft.json").read_text()
    assert json.loads(text) == {"n_epochs": 2}


# --- tips ------------------------------------------------------------------------------------


@pytest.fixture
def settled(state, files):
    """A form where batch and rate are given, and what changes from here counts."""
    state.update({**files, "batch_size": 8, "learning_rate": 2e-4})
    state.settle()
    return state


def tips(state):
    """The fixes of the tips once typing has stopped."""
    state._tips_due = 0.0
    state.tick()
    return [tip.fix for tip in state.tips]


def test_a_doubled_batch_offers_a_higher_rate(settled):
    settled.set("batch_size", 16)
    assert settled.tips == ()  # not while one may still be typing
    (fix,) = tips(settled)
    assert 2.6e-4 <= fix["learning_rate"] <= 3e-4
    settled.apply(settled.tips[0])
    assert settled.values["learning_rate"] == fix["learning_rate"]
    assert settled.tips == ()
    assert tips(settled) == []


def test_a_second_change_counts_from_the_first(settled):
    settled.set("batch_size", 16)
    tips(settled)
    settled.apply(settled.tips[0])
    first = settled.values["learning_rate"]
    settled.set("batch_size", 32)
    (fix,) = tips(settled)
    assert 1.3 <= fix["learning_rate"] / first <= 1.5


def test_a_tip_can_be_waved_off_and_does_not_come_back(settled):
    settled.set("batch_size", 16)
    tips(settled)
    settled.wave_off(settled.tips[0])
    settled.set("random_seed", 3)
    assert tips(settled) == []


def test_a_tip_goes_when_a_person_decides_the_field_themselves(settled):
    settled.set("batch_size", 16)
    assert tips(settled)
    settled.set("learning_rate", 9e-4)
    assert not [fix for fix in tips(settled) if "learning_rate" in fix]


def test_undo_takes_the_tip_along_and_redo_brings_it_back(settled, unhurried):
    settled.set("batch_size", 16)
    found = tips(settled)
    settled.undo()
    assert settled.tips == ()
    settled.redo()
    assert [tip.fix for tip in settled.tips] == found


def test_a_value_that_is_none_yet_is_no_change(settled):
    settled.set("batch_size", "sixte")
    assert tips(settled) == []
    settled.set("batch_size", 16)
    assert len(tips(settled)) == 1


def test_other_tips_stay_when_one_is_taken(settled, monkeypatch):
    one = Issue("tip", "one", where="n_epochs", fix={"n_epochs": 2})
    two = Issue("tip", "two", where="lora_r", fix={"lora_r": 4})
    offered = [one, two]
    monkeypatch.setattr("ftlab.ui.tips.ties", lambda *_: list(offered))
    tips(settled)
    offered.clear()
    settled.apply(one)
    assert settled.tips == (two,)
    settled.set("lora_r", 64)
    assert tips(settled) == []


# --- models ----------------------------------------------------------------------------------


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_hub_is_asked_once_for_a_model_that_nobody_knows(state, files, monkeypatch):
    asked = []

    def look_up(name):
        asked.append(name)
        model_hub._found[name] = ModelInfo(name=name, n_params=7_000_000)
        return model_hub._found[name]

    monkeypatch.setattr("ftlab.ui.form_state.look_up", look_up)
    monkeypatch.setattr(model_hub, "_found", {})
    state.update({**files, "model": "somebody/small"})
    assert asked == []  # not while one may still be typing
    tips(state)
    wait_for(lambda: state.info.n_params == 7_000_000)
    state.set("n_epochs", 2)
    tips(state)
    assert asked == ["somebody/small"]


def test_a_model_of_the_catalogue_needs_no_network(state, files, monkeypatch):
    monkeypatch.setattr("ftlab.ui.form_state.look_up", lambda name: 1 / 0)
    state.update({**files, "model": "Qwen/Qwen3-8B"})
    tips(state)
    assert 8e9 < state.info.n_params < 8.3e9


def test_a_hub_that_is_silent_is_told_and_hurts_nothing(state, files):
    state.update({**files, "model": "somebody/small"})
    tips(state)
    wait_for(lambda: state.message[1])
    assert "Its figures stay unknown" in state.message[1]
    assert state.message[0] == "tip"
    assert state.spec is not None


# --- the spec as a value ---------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path, files):
    bench = Workbench(files["training_file"], model=files["model"], folder=tmp_path / "runs")
    yield bench
    bench.close()


def test_the_spec_is_observed(bench):
    seen = []
    bench.observe(lambda change: seen.append(change.new), "spec")
    bench.state.set("n_epochs", 3)
    bench.state.set("n_epochs", "many")
    bench.state.set("n_epochs", 4)
    assert [spec and spec.n_epochs for spec in seen] == [3, None, 4]
    assert bench.spec is bench.state.spec


def test_a_spec_that_is_assigned_fills_the_form(bench, files):
    seen = []
    bench.observe(lambda change: seen.append(change.new), "spec")
    bench.spec = JobSpec(**files, n_epochs=7, lora_r=4)
    form = bench.panels["job"].rows
    assert form["n_epochs"].input.value == "7"
    assert bench.spec == JobSpec(**files, n_epochs=7, lora_r=4)
    assert seen == [bench.spec]
    bench.state.undo()
    assert bench.spec.n_epochs == 1


def test_what_an_assigned_spec_leaves_out_is_left_out(bench, files):
    bench.state.set("lora_r", 4)
    bench.state.set("micro_batch_size", 2)
    bench.spec = {**files, "suffix": None}
    assert bench.state.values == files
    assert bench.state.options == {"micro_batch_size": 2}  # how it runs is not what it is


def test_a_wrong_spec_may_be_assigned_and_says_what_is_wrong(bench, files):
    bench.spec = {**files, "n_epochs": 0, "lora_rank": 8}
    assert bench.spec is None
    assert {"n_epochs", "lora_rank"} <= {issue.where for issue in bench.issues}
    stray = bench.panels["job"].stray_box.children[0]
    assert "lora_r" in stray.text.value
    stray.fix.click()
    assert bench.state.values["lora_r"] == 8
    bench.spec = {**files, "n_epochs": 1}
    assert bench.spec is not None


@pytest.mark.parametrize("value", ["demo", 3])
def test_what_is_no_spec_is_refused_with_what_it_takes(bench, value):
    before = bench.spec
    with pytest.raises(TraitError, match="it takes a JobSpec or a mapping"):
        bench.spec = value
    assert bench.spec is before


def test_two_workbenches_can_be_linked(bench, tmp_path, files):
    from traitlets import link

    other = Workbench(folder=tmp_path / "others")
    bench.state.set("n_epochs", 2)
    link((bench, "spec"), (other, "spec"))
    assert other.spec == bench.spec
    other.state.set("n_epochs", 5)
    assert bench.spec.n_epochs == 5
    other.state.set("n_epochs", "man")  # half a word in one form is no reason to empty the other
    assert other.spec is None
    assert bench.spec.n_epochs == 5
    assert bench.state.values["n_epochs"] == 5
    other.close()


def test_assigning_none_changes_nothing(bench):
    before = bench.spec
    bench.spec = None
    assert bench.spec is before


def test_taking_what_is_offered_is_a_step_of_its_own(state):
    state.set("lora_r", 64)
    state.update({"lora_r": 8}, typed=False)
    state.undo()
    assert state.given("lora_r") == 64


def test_a_number_that_is_none_changes_nothing_else(state):
    state.set("learning_rate", float("nan"))
    state.set("lora_r", 1)
    state.set("lora_r", 16)
    assert state.typed == {"learning_rate", "lora_r"}
    state.undo()  # both keys at once
    assert state.given("lora_r") is NOT_GIVEN


def test_a_huge_number_of_epochs_is_answered_at_once_and_none_is_offered(state, files):
    state.update(files)
    scan(state)
    state.set("n_epochs", 10**12)
    assert state.resolved.spec.n_epochs == 10**12
    state.set("n_epochs", float("inf"))
    (issue,) = (i for i in state.issues if i.where == "n_epochs")
    assert issue.fix is None
