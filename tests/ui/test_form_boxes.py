"""What stands around the form: the course, the probe, the two engines, other tools' words."""

from __future__ import annotations

import json
import threading
import time

import pytest

from ftlab.course import course
from ftlab.exchange import FORMS
from ftlab.measured import Measurement
from ftlab.probing import Probe
from ftlab.rules import resolve
from ftlab.spec import JobSpec, parse
from ftlab.ui.course_svg import CHECKPOINT, EVALUATION, course_html
from ftlab.ui.exchange_box import NOTHING, content_of, file_name
from ftlab.ui.form import JobPanel
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def panel(state):
    return JobPanel(state)


def opened(fold):
    fold.head.value = True
    return fold


# --- the course ------------------------------------------------------------------------------


def test_the_course_marks_evaluations_and_the_checkpoint():
    spec = JobSpec(model="m", training_file="t", validation_file="v", learning_rate=2e-4, n_evals=4)
    drawn = course_html(spec, 40)
    assert drawn.count(f">{EVALUATION}<") == len(course(spec, 40).evaluations) == 5
    assert drawn.count(f">{CHECKPOINT}<") == 1
    assert "5 evaluations" in drawn
    assert ">40<" in drawn  # the last step, on the axis
    assert "2e-4" in drawn


def test_a_course_without_data_is_drawn_in_percent():
    spec = JobSpec(model="m", learning_rate=1e-4, warmup_ratio=0.1)
    drawn = course_html(spec, None)
    assert "% of the run" in drawn
    assert "warm-up 10 %" in drawn
    assert "warm-up 4 steps" in course_html(spec, 40)
    assert course_html(JobSpec(model="m"), 40) == ""


# --- the probe -------------------------------------------------------------------------------


def measured(**changes):
    found = {"at": "2026-01-01", "n_steps": 5, "peak_bytes": 3 << 30, "start_seconds": 1.0}
    return Measurement(**{**found, "step_seconds": 1.25, "step_tokens": 500.0, **changes})


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_probe_waits_for_a_job_that_could_start(panel, state, files):
    assert panel.probe.measure.layout.display == "none"
    state.update(files)
    scan(state)
    assert panel.probe.measure.layout.display is None
    assert not panel.probe.measure.disabled
    state.set("n_epochs", 0)
    assert panel.probe.measure.disabled


def test_what_was_measured_is_told_and_the_figures_are_made_anew(panel, state, files, monkeypatch):
    state.update(files)
    scan(state)
    monkeypatch.setattr(Probe, "measure", lambda self: measured())
    before = state.checked
    panel.probe.measure.click()
    until(lambda: not panel.probe.task.is_busy)
    assert "1.2 s per step, 3 GiB" in panel.probe.task.said.value
    assert state.checked > before


def test_a_probe_can_be_cancelled(panel, state, files, monkeypatch):
    state.update(files)
    scan(state)
    over = threading.Event()
    monkeypatch.setattr(Probe, "measure", lambda self: None if over.wait(20) else measured())
    monkeypatch.setattr(Probe, "cancel", lambda self: over.set())
    panel.probe.measure.click()
    assert panel.probe.cancel.layout.display is None
    assert panel.probe.measure.layout.display == "none"
    panel.probe.cancel.click()
    until(lambda: not panel.probe.task.is_busy)
    assert "Cancelled" in panel.probe.task.said.value
    assert panel.probe.measure.layout.display is None


# --- one spec, two engines -------------------------------------------------------------------


def test_the_engines_are_compared_only_while_one_looks(panel, state, files):
    state.update({**files, "use_dora": True})
    assert panel.engines.table.value == ""
    shown = opened(panel.engines).table.value
    first, *others = shown.split("<details>")
    assert "use_dora" in first
    assert "not taken" in first
    assert "early_stopping_patience" not in first
    assert "early_stopping_patience" in "".join(others)
    assert "&quot;training_method&quot;" in shown
    state.set("use_dora", None)
    assert "use_dora" not in panel.engines.table.value.split("<details>")[0]
    panel.engines.head.value = False
    shown = panel.engines.table.value
    state.update({"use_dora": True})
    assert panel.engines.table.value == shown


# --- other tools' words ----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_and_saved_beside_older_ones(
    panel, state, files, form, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    state.update(files)
    box = opened(panel.exchange)
    box.form.value = form
    assert box.text.value
    for _ in range(2):
        box.save.click()
    saved = sorted(tmp_path.glob(f"{file_name(form).rpartition('.')[0]}*"))
    assert len(saved) == 2
    assert all(path.read_text() == box.text.value.removesuffix("\n") + "\n" for path in saved)
    assert saved[0].name in box.saved.value or saved[1].name in box.saved.value


def test_the_text_follows_the_form(panel, state, files):
    state.update(files)
    box = opened(panel.exchange)
    assert json.loads(box.text.value) == files
    state.set("n_epochs", 4)
    assert json.loads(box.text.value)["n_epochs"] == 4


def test_what_is_read_is_looked_at_before_it_is_set(panel, state, files):
    state.update({**files, "lora_r": 4})
    box = opened(panel.exchange)
    box.pasted.value = json.dumps({"per_device_train_batch_size": 4, "lora_r": 8, "fancy": 1})
    box.look.click()
    assert "fancy" in box.understood.value
    assert "per_device_train_batch_size" in box.understood.value
    assert set(panel.review.choices) == {"batch_size", "lora_r"}
    assert panel.review.ticked == ["batch_size"]  # lora_r was typed
    panel.review.apply.click()
    assert (state.values["batch_size"], state.values["lora_r"]) == (4, 4)
    assert "batch_size" in state.typed
    state.undo()
    assert "batch_size" not in state.values


@pytest.mark.parametrize(("text", "said"), [("{}", NOTHING), ("", "empty"), ("{'a': ", "no JSON")])
def test_what_holds_no_job_is_told(panel, text, said):
    box = opened(panel.exchange)
    box.pasted.value = text
    box.look.click()
    assert said in box.understood.value
    assert not panel.review.choices


def test_a_path_stands_for_the_text_of_its_file(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("model: demo\n")
    assert content_of(f" {file} ") == "model: demo\n"
    assert content_of("model: demo") == "model: demo"
    assert content_of(str(tmp_path)) == str(tmp_path)
    assert content_of("x" * 5000) == "x" * 5000


def test_what_was_written_is_read_again(panel, state, files):
    state.update({**files, "n_epochs": 3, "lora_trainable_modules": ("q_proj", "v_proj")})
    box = opened(panel.exchange)
    box.form.value = "toml"
    box.pasted.value = box.text.value
    state.replace({})
    box.look.click()
    panel.review.apply.click()
    wanted = {**files, "n_epochs": 3, "lora_trainable_modules": ("q_proj", "v_proj")}
    assert resolve(parse(state.values)[0]).spec == resolve(parse(wanted)[0]).spec
