"""The panels without a browser: set what a person would set, read what they would see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftlab.data.rows import Rows, split
from ftlab.estimated import duration_in_words
from ftlab.events import Checkpoint, Log, Metrics, Status
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import JobSpec
from ftlab.ui.run_panel import RunPanel, seconds_left, speed
from ftlab.ui.try_panel import TryPanel, question_and_answer
from ftlab.ui.workbench import PANELS, Workbench, run_view
from tests.small import chat_rows, preference_rows, write_rows
from tests.ui.test_state import make_run, scan

# plotly 7.1 reads a trait in a way that traitlets 5.16 will no longer allow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


# --- job ------------------------------------------------------------------------------------------


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
    os.close(lock)
    state.tick()
    assert "failed" in panel.head.value
    assert shown_buttons(panel) == {"Resume"}
    assert "goes on from its beginning" in panel.buttons.reason.value


def shown_buttons(panel):
    """What can be pressed."""
    if panel.buttons.layout.display == "none":
        return set()
    bar = panel.buttons
    buttons = (bar.pause, bar.resume, bar.stop, bar.cancel)
    return {b.description for b in buttons if b.layout.display != "none" and not b.disabled}


def test_a_run_is_paused_and_resumed_by_its_buttons(state, tmp_path, monkeypatch):
    panel = RunPanel(state)
    run = make_run(tmp_path / "runs", Status(status="running", n_steps=40))
    lock = run.lock()
    state.find_run()
    assert shown_buttons(panel) == {"Pause", "Stop and keep", "Cancel"}
    panel.buttons.pause.click()
    assert run.asked() == "pause"
    assert shown_buttons(panel) == {"Stop and keep", "Cancel"}
    assert "pauses after this step" in panel.buttons.reason.value
    (run.checkpoints / "step-00000012").mkdir(parents=True)
    run.say("paused", "paused at step 12 of 40")
    os.close(lock)
    state.tick()
    assert shown_buttons(panel) == {"Resume", "Stop and keep", "Cancel"}
    assert "goes on from step 12" in panel.buttons.reason.value
    assert "paused at step 12 of 40" in panel.head.value
    assert "device is free" in state.message[1]
    started = []
    monkeypatch.setattr("ftlab.attempts.start", lambda run, **_: started.append(run.id))
    panel.buttons.resume.click()
    assert started == [run.id]


def test_a_run_of_another_provider_says_why_it_can_not_be_resumed(state, tmp_path):
    panel = RunPanel(state)
    run = Run.create(Job(spec=JobSpec(model="m"), provider="cloud"), tmp_path / "runs")
    run.say("paused")
    state.find_run()
    assert panel.buttons.resume.disabled
    assert "runs at cloud" in panel.buttons.reason.value


def test_a_run_at_the_service_that_nobody_follows_can_be_followed_again(
    state, tmp_path, monkeypatch
):
    monkeypatch.setenv("TOGETHER_API_KEY", "a-key")
    panel = RunPanel(state)
    job = Job(spec=JobSpec(model="m"), provider="together")
    run = Run.create(job, tmp_path / "runs")
    run.note_hosted(address="https://service", job_id="ft-1")
    lock = run.lock()
    run.say("running", "running")
    state.find_run()
    assert shown_buttons(panel) == {"Cancel"}  # it knows no pause
    assert "to stop it now would keep nothing" in panel.buttons.reason.value
    writer = run.writer()
    writer.append(Checkpoint(step=2, ref="there"))
    writer.close()
    state.tick()
    assert shown_buttons(panel) == {"Stop and keep", "Cancel"}
    os.close(lock)
    state.tick()
    assert shown_buttons(panel) == {"Follow again", "Stop and keep", "Cancel"}
    assert "goes on with ft-1, its job at the service" in panel.buttons.reason.value
    assert "nobody follows it now" in panel.head.value


def test_a_completed_run_has_no_buttons(state, tmp_path):
    panel = RunPanel(state)
    make_run(tmp_path / "runs", Status(status="completed"))
    state.find_run()
    assert shown_buttons(panel) == set()


def test_stop_and_cancel_ask_the_run(state, tmp_path):
    panel = RunPanel(state)
    run = make_run(tmp_path / "runs", Status(status="running"))
    lock = run.lock()
    state.find_run()
    panel.buttons.stop.click()
    assert run.asked() == "stop"
    panel.buttons.cancel.click()
    assert run.asked() == "cancel"
    os.close(lock)


def test_time_left_needs_a_few_steps():
    from ftlab.eventlog import History

    history = History()
    history.add(Status(status="running", n_steps=100))
    history.add(Metrics(step=1, values={"train_loss": 1.0}))
    assert seconds_left(history) is None


def test_a_run_without_figures_shows_no_curve_of_another(state, tmp_path):
    panel = RunPanel(state)
    losses = [Metrics(step=s, values={"train_loss": 1.0}) for s in (1, 2)]
    make_run(tmp_path / "runs", Status(status="running"), *losses, Status(status="completed"))
    state.find_run()
    state.tick()
    assert panel.plot.layout.display is None
    new = make_run(tmp_path / "runs", Status(status="queued", detail="starting"))
    state.refresh_runs()
    state.select(new.id)
    state.tick()
    assert panel.plot.layout.display == "none"


def test_time_left_is_that_of_the_newest_attempt():
    from ftlab.eventlog import History

    history = History()
    history.add(Status(status="running", n_steps=100, from_step=0))
    for step in range(1, 31):
        history.add(Metrics(step=step, time=100.0 + 9 * step, values={"train_loss": 1.0}))
    assert seconds_left(history) == 9 * 70
    history.add(Status(status="running", from_step=20, attempt=2))
    for step in range(21, 24):
        history.add(Metrics(step=step, time=9000.0 + 2 * step, values={"train_loss": 1.0}))
    assert seconds_left(history) is None
    history.add(Metrics(step=24, time=9048.0, values={"train_loss": 1.0, "memory_gib": 1.5}))
    assert seconds_left(history) == 2 * 76
    assert speed(history) == ["2 s a step", "memory 1.5 GiB"]


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
    assert bench.head.buttons["data"].description.startswith("t.jsonl · 40 rows")
    assert bench.spec is not None
    bench.state.set("n_epochs", 0)
    assert "1 error" in bench.head.buttons["error"].description
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


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (chat_rows(1)[0], ("Where is order 0?", "Order 0 left our house on Monday.")),
        (preference_rows(1)[0], ("Where is order 0?", "Order 0 left us on Monday.")),
        ({"prompt": "2 + 2 =", "completion": " 4"}, ("2 + 2 =", " 4")),
        ({"text": "once upon a time"}, None),
        ({"messages": [{"role": "user", "content": "hm"}]}, None),
    ],
)
def test_the_question_of_a_row_and_its_answer(row, found):
    assert question_and_answer(row) == found
