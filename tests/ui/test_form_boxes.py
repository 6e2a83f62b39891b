"""What stands around the form: the course, the probe, the two engines, other tools' words."""

from __future__ import annotations

import json
import threading
import time

import pytest

from ftlab.course import course
from ftlab.errors import FtlabError
from ftlab.exchange import FORMS
from ftlab.measured import Measurement
from ftlab.probing import Probe
from ftlab.rules import resolve
from ftlab.spec import JobSpec, parse
from ftlab.ui.course_svg import CHECKPOINT, EVALUATION, MARKS, course_html
from ftlab.ui.exchange_box import LARGEST, NOTHING, content_of, file_name
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


def test_so_many_marks_that_they_run_into_each_other_are_thinned():
    spec = JobSpec(
        model="m", training_file="t", validation_file="v", learning_rate=1e-4, n_evals=5000
    )
    drawn = course_html(spec, 10**6)
    assert len(drawn) < 40_000
    assert drawn.count(f">{EVALUATION}<") <= MARKS + 1
    assert "5,001 evaluations" in drawn
    assert "evaluations" in course_html(spec, None)
    assert "101" not in course_html(spec, None)


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
    found = measured()
    monkeypatch.setattr(Probe, "measure", lambda self: found)
    monkeypatch.setattr("ftlab.cost.find", lambda _: found)  # as remembered
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


def test_a_second_click_starts_nothing_and_cancel_ends_what_goes_on(
    panel, state, files, monkeypatch
):
    state.update(files)
    scan(state)
    over, measuring = threading.Event(), []

    def measure(probe):
        measuring.append(probe)
        return None if over.wait(20) else measured()

    monkeypatch.setattr(Probe, "measure", measure)
    monkeypatch.setattr(Probe, "cancel", lambda probe: probe in measuring and over.set())
    panel.probe.measure.click()
    until(lambda: measuring)
    panel.probe.measure.click()
    panel.probe.cancel.click()
    until(lambda: not panel.probe.task.is_busy)
    assert len(measuring) == 1


def test_what_is_waited_for_is_said(panel, state, files, monkeypatch):
    state.update(files)
    scan(state)
    over = threading.Event()

    def measure(probe):
        probe._told(0.0, "waiting for cpu, used by a run")
        over.wait(20)

    monkeypatch.setattr(Probe, "measure", measure)
    panel.probe.measure.click()
    until(lambda: "waiting for cpu" in panel.probe.task.said.value)
    over.set()
    until(lambda: not panel.probe.task.is_busy)


def test_a_result_goes_when_the_form_holds_another_job(panel, state, files, monkeypatch):
    state.update(files)
    scan(state)
    found = measured()
    monkeypatch.setattr(Probe, "measure", lambda self: found)
    monkeypatch.setattr("ftlab.cost.find", lambda _: found if state.values["lora_r"] == 4 else None)
    state.set("lora_r", 4)
    panel.probe.measure.click()
    until(lambda: not panel.probe.task.is_busy)
    assert "GiB at the peak" in panel.probe.task.said.value
    assert panel.probe.measure.description == "Measure again"
    state.set("n_epochs", 2)
    assert "GiB at the peak" in panel.probe.task.said.value
    state.set("lora_r", 8)
    assert panel.probe.task.said.value == ""


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
    known = set()
    for _ in range(2):
        box.save.click()
        (new,) = {*tmp_path.glob(f"{file_name(form).rpartition('.')[0]}*")} - known
        known.add(new)
        assert new.name in box.saved.value
        assert new.read_text() == box.text.value.removesuffix("\n") + "\n"


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
    assert set(panel.exchange.review.choices) == {"batch_size", "lora_r"}
    assert sorted(panel.exchange.review.ticked) == [
        "batch_size",
        "lora_r",
    ]  # both are a person's own
    panel.exchange.review.choices["lora_r"].value = False
    panel.exchange.review.apply.click()
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
    assert not panel.exchange.review.choices


def test_a_path_stands_for_the_text_of_its_file(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("model: demo\n")
    assert content_of(f" {file} ") == "model: demo\n"
    assert content_of("model: demo") == "model: demo"
    assert content_of(str(tmp_path)) == str(tmp_path)
    for text in (
        "x" * 300,
        "x" * 5000,
        "~nobody-of-that-name/a",
        '{"a": "' + "b" * 400 + '"}',
        "\0",
    ):
        assert content_of(text) == text
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (LARGEST + 1))
    with pytest.raises(FtlabError, match="larger than 1 MiB"):
        content_of(str(large))


def test_a_long_line_of_json_is_read_and_never_told_to_the_foot(panel, state, files):
    state.update(files)
    box = opened(panel.exchange)
    box.pasted.value = json.dumps({"n_epochs": 2, "suffix": "s", "note": "x" * 400})
    box.look.click()
    assert set(panel.exchange.review.choices) == {"n_epochs", "suffix"}
    assert "went wrong" not in state.message[1]


def test_another_text_closes_the_offer_of_the_one_before(panel, state, files):
    state.update(files)
    box = opened(panel.exchange)
    box.pasted.value = '{"n_epochs": 7}'
    box.look.click()
    assert panel.exchange.review.layout.display is None
    box.pasted.value = "{'n_epochs': "
    box.look.click()
    assert panel.exchange.review.layout.display == "none"
    assert "n_epochs" not in state.values


def test_what_was_written_is_read_again(panel, state, files):
    state.update({**files, "n_epochs": 3, "lora_trainable_modules": ("q_proj", "v_proj")})
    box = opened(panel.exchange)
    box.form.value = "toml"
    box.pasted.value = box.text.value
    state.replace({})
    box.look.click()
    panel.exchange.review.apply.click()
    wanted = {**files, "n_epochs": 3, "lora_trainable_modules": ("q_proj", "v_proj")}
    assert resolve(parse(state.values)[0]).spec == resolve(parse(wanted)[0]).spec
