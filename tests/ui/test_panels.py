"""The panels without a browser: set what a person would set, read what they would see."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ftlab.cost import duration_in_words
from ftlab.data.rows import Rows, split
from ftlab.events import Log, Metrics, Status
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import FIELDS, KNOBS, JobSpec
from ftlab.ui.fields import FieldRow, fix_label, read_input
from ftlab.ui.form import JobPanel, estimate_html
from ftlab.ui.run_panel import RunPanel, seconds_left
from ftlab.ui.try_panel import TryPanel
from ftlab.ui.workbench import PANELS, Workbench, run_view
from tests.small import chat_rows, write_rows
from tests.ui.test_state import make_run, scan

# plotly 7.1 reads a trait in a way that traitlets 5.16 will no longer allow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


# --- fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_an_input_that_shows_its_default(name, state):
    row = FieldRow(state, name)
    assert read_input(name, row.input.value) is None
    assert row.input.description == name
    assert row.input.tooltip == FIELDS[name].description


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("learning_rate", "4e-3", 0.004),
        ("learning_rate", " 1e-4 ", 1e-4),
        ("learning_rate", "fast", "fast"),
        ("n_epochs", "3", 3),
        ("batch_size", "max", "max"),
        ("batch_size", "16", 16),
        ("training_file", "12", "12"),
        ("lora_trainable_modules", "q_proj, v_proj", ("q_proj", "v_proj")),
        ("lora_trainable_modules", "all-linear", "all-linear"),
        ("lora_exclude_modules", "q_proj", ("q_proj",)),
        ("max_seq_length", "2 048", 2048),
        ("suffix", "  ", None),
        ("lora", False, False),
        ("use_dora", True, True),
        ("use_dora", False, None),
        ("lr_scheduler_type", "linear", "linear"),
        ("lr_scheduler_type", "cosine", None),
    ],
)
def test_what_is_typed_becomes_a_value(name, typed, value, state):
    assert read_input(name, typed) == value


def test_a_choice_of_three_has_three_choices(state):
    row = FieldRow(state, "lora")
    assert [choice for _, choice in row.input.options] == [None, True, False]
    row.input.value = None
    assert state.values == {}


def test_a_message_stands_under_its_field_and_the_text_stays(state, files):
    state.update(files)
    row = FieldRow(state, "n_epochs")
    row.input.value = "many"
    assert state.values["n_epochs"] == "many"
    assert "n_epochs is &#x27;many&#x27;" in row.note.value
    assert row.input.value == "many"
    row.input.value = "2"
    assert "alert" not in row.note.value
    assert state.spec.n_epochs == 2


def test_a_fix_button_changes_the_field(state, files):
    state.update(files)
    row = FieldRow(state, "lora_alpha")
    row.input.value = "900"
    assert row.fix in row.children
    assert row.fix.description == "lora_alpha = 32"
    row.fix.click()
    assert row.input.value == "32"
    assert row.fix not in row.children


def test_what_is_left_out_shows_what_it_will_be(state, files):
    state.update(files)
    row = FieldRow(state, "learning_rate")
    assert row.input.placeholder == "1.3e-2"
    assert "Tinker" in row.note.value


def test_typing_is_not_disturbed_by_its_own_change(state):
    row = FieldRow(state, "learning_rate")
    row.input.value = "4.0e-3"
    assert row.input.value == "4.0e-3"


def test_fix_labels_say_what_will_change():
    from ftlab.issues import Issue

    assert fix_label(Issue("error", fix={"a": 1, "b": None})) == "a = 1, leave b out"
    assert fix_label(None) == ""


# --- job -------------------------------------------------------------------------------------


def test_the_form_has_every_field_behind_all_fields(state):
    panel = JobPanel(state)
    basic = set(panel.rows)
    assert basic == {n for n, k in KNOBS.items() if not k.advanced and "local" in k.providers}
    panel.all_fields.value = True
    assert set(panel.rows) == set(FIELDS)


def test_the_train_button_says_why_it_is_off(state, files):
    panel = JobPanel(state)
    assert panel.train.disabled
    assert "No model is given" in panel.why_not.value
    state.update(files)
    scan(state)
    assert not panel.train.disabled
    assert panel.why_not.value == ""
    state.set("n_epochs", 0)
    assert panel.train.disabled
    assert "n_epochs is 0" in panel.why_not.value


def test_the_estimate_follows_what_is_typed(state, files):
    panel = JobPanel(state)
    state.update(files)
    scan(state)
    before = panel.estimate.value
    state.set("n_epochs", 7)
    assert panel.estimate.value != before
    assert "<svg" in panel.estimate.value


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (None, "unknown"),
        ((26, 160), "26 s to 2.7 min"),
        ((2280, 2760), "38 to 46 min"),
        ((5, 40), "5 to 40 s"),
        ((4000, 90_000), "67 min to 25 h"),
    ],
)
def test_a_time_is_a_range_in_units_one_can_read(duration, text):
    assert duration_in_words(duration) == text


def test_an_estimate_without_data_says_unknown(state):
    assert "unknown" in estimate_html(state.estimate, None)


@pytest.mark.slow
def test_train_starts_a_run_and_opens_it(state, files):
    panel, view = JobPanel(state), RunPanel(state)
    state.update({**files, "max_steps": 3})
    scan(state)
    panel.train.click()
    assert panel.train.disabled
    end = time.monotonic() + 60
    while state.run is None or not state.run.state.ended:
        assert time.monotonic() < end
        time.sleep(0.05)
    state.tick()
    assert state.tab == "run"
    assert "completed" in view.head.value
    assert view._figure is not None
    assert len(view._figure.data[0].x) == 3


def test_a_start_that_fails_is_told_and_the_button_comes_back(state, files, monkeypatch):
    panel = JobPanel(state)
    state.update(files)
    scan(state)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    panel.train.click()
    end = time.monotonic() + 10
    while panel.train.disabled:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "pip install" in state.message[1]


# --- run -------------------------------------------------------------------------------------


def test_a_run_shows_progress_curves_and_log(state, tmp_path):
    panel = RunPanel(state)
    assert panel.empty.layout.display is None
    events = [Status(status="running", n_steps=40), Log(text="Training on cpu")]
    events += [
        Metrics(step=s, time=1000.0 + s, values={"train_loss": 2 / s, "learning_rate": 1e-3})
        for s in range(1, 11)
    ]
    run = make_run(tmp_path / "runs", *events, Metrics(step=0, values={"eval_loss": 3.0}))
    lock = run.lock()
    state.find_run()
    state.tick()
    assert "step 10 of 40" in panel.head.value
    assert "30 s left" in panel.head.value
    assert "Training on cpu" in panel.log_view.value
    assert panel.buttons.layout.display is None
    assert list(panel._figure.data[0].x) == list(range(1, 11))
    import os

    os.close(lock)
    state.tick()
    assert "failed" in panel.head.value
    assert panel.buttons.layout.display == "none"


def test_stop_and_cancel_ask_the_run(state, tmp_path):
    panel = RunPanel(state)
    run = make_run(tmp_path / "runs", Status(status="running"))
    lock = run.lock()
    state.find_run()
    panel.stop.click()
    assert run.asked() == "stop"
    panel.cancel.click()
    assert run.asked() == "cancel"
    import os

    os.close(lock)


def test_time_left_needs_a_few_steps():
    from ftlab.eventlog import History

    history = History()
    history.add(Status(status="running", n_steps=100))
    history.add(Metrics(step=1, values={"train_loss": 1.0}))
    assert seconds_left(history) is None


def test_several_runs_can_be_chosen_from(state, tmp_path):
    panel = RunPanel(state)
    runs = [make_run(tmp_path / "runs", Status(status="completed")) for _ in range(2)]
    state.find_run()
    assert set(panel.choice.options) == {run.id for run in runs}
    other = next(run.id for run in runs if run.id != state.selected)
    panel.choice.value = other
    assert state.selected == other


# --- try -------------------------------------------------------------------------------------


def test_try_says_what_is_missing(state, tmp_path):
    panel = TryPanel(state)
    assert "no run yet" in panel.reason.value
    run = make_run(tmp_path / "runs", Status(status="running"))
    state.find_run()
    assert "no adapter yet" in panel.reason.value
    run.adapter.mkdir()
    state.beat += 1
    assert "Type a prompt" in panel.reason.value
    panel.prompt.value = "Hello"
    assert panel.reason.value == ""
    assert not panel.ask.disabled


def test_the_next_validation_row_becomes_the_prompt(state, tmp_path):
    panel = TryPanel(state)
    spec = JobSpec(model="m", validation_file=str(write_rows(tmp_path / "v.jsonl", chat_rows(2))))
    Run.create(Job(spec=spec, provider="local"), tmp_path / "runs")
    state.find_run()
    panel.next_row.click()
    assert panel.prompt.value == "Where is order 0?"
    panel.next_row.click()
    assert panel.prompt.value == "Where is order 1?"


# --- workbench -------------------------------------------------------------------------------


def test_the_workbench_has_its_panels_and_a_summary(tmp_path, files):
    bench = Workbench(files["training_file"], model=files["model"], folder=tmp_path / "runs")
    assert list(bench.panels) == list(PANELS)
    scan(bench.state)
    assert "t.jsonl" in bench.head.value
    assert "40 rows" in bench.head.value
    assert bench.spec is not None
    bench.state.set("n_epochs", 0)
    assert "1 error" in bench.head.value
    assert bench.spec is None


def test_values_come_back_but_not_those_of_other_data(tmp_path, files):
    Workbench(**files_as_arguments(files), folder=tmp_path / "runs", lora_r=5)
    again = Workbench(folder=tmp_path / "runs")
    assert again.state.values["lora_r"] == 5
    same = Workbench(files["training_file"], folder=tmp_path / "runs")
    assert same.state.values["lora_r"] == 5
    other = write_rows(tmp_path / "other.jsonl", chat_rows(2))
    assert "lora_r" not in Workbench(other, folder=tmp_path / "runs").state.values


def files_as_arguments(files):
    return {"data": files["training_file"], "model": files["model"]}


def test_a_live_run_opens_by_itself(tmp_path):
    run = make_run(tmp_path / "runs", Status(status="running"))
    lock = run.lock()
    bench = Workbench(folder=tmp_path / "runs")
    assert bench.run.id == run.id
    assert bench.tabs.selected_index == list(PANELS).index("run")
    import os

    os.close(lock)


def test_the_bundle_has_a_static_copy_without_script(tmp_path):
    make_run(
        tmp_path / "runs",
        *(Metrics(step=s, values={"train_loss": 1 / s}) for s in range(1, 9)),
        Status(status="completed"),
    )
    bench = Workbench(folder=tmp_path / "runs")
    bundle = bench._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<svg" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert bench.snapshot().data == bundle["text/html"]


def test_messages_stand_at_the_foot(tmp_path):
    bench = Workbench(folder=tmp_path / "runs")
    bench.state.tell("error", "<b>Something</b> broke")
    assert "&lt;b&gt;Something" in bench.foot.value
    assert "ft-error" in bench.foot.value


def test_an_error_in_a_callback_is_told(tmp_path, monkeypatch):
    bench = Workbench(folder=tmp_path / "runs")
    monkeypatch.setattr(bench.state, "set", lambda *_: 1 / 0)
    bench.panels["data"].rows["training_file"].input.value = "x"
    assert "ZeroDivisionError" in bench.foot.value
    assert "Nothing that was typed or trained is lost" in bench.foot.value


def test_one_run_can_be_shown_alone(tmp_path):
    run = make_run(tmp_path, Status(status="completed"), Metrics(step=1, values={"train_loss": 1}))
    view = run_view(run)
    assert "completed" in view.children[1].head.value


def test_rows_that_were_held_back_are_offered_as_prompts(state, files, tmp_path):
    spec = JobSpec(**files, validation_split=0.3)
    run = Run.create(Job(spec=spec, provider="local"), state.folder.folder)
    state.refresh_runs()
    state.select(run.id)
    panel = TryPanel(state)
    assert not panel.next_row.disabled
    panel.next_row.click()
    rows = Rows(Path(files["training_file"]))
    held_back = [rows[i]["messages"][-2]["content"] for i in split(rows, 0.3)[1]]
    assert panel.prompt.value == held_back[0]
