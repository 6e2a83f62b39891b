"""The doctor beside the curves: what it says of a run, and what its buttons do."""

from __future__ import annotations

import math
import os
import time

import pytest

from ftlab.diagnosis import curve_of_run
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.doctor_box import FALLING, FELL, DoctorBox


def falling(step):
    return 1.5 + 2.5 * math.exp(-step / 25) + 0.05 * math.sin(12.9898 * step)


def flat(step):
    return 4.0 - 0.0002 * step + 0.03 * math.sin(12.9898 * step)


def broken(step):
    return math.nan if step > 20 else 3.0


@pytest.fixture
def made(state, tmp_path):
    """Makes a run with such losses, and shows it."""

    locks = []

    def make(loss, n=200, status="completed", **spec):
        spec = JobSpec(model="m", training_file="t.jsonl", **spec)
        job = Job(spec=spec, provider="local", reasons={"lora_r": "usual"})
        run = Run.create(job, tmp_path / "runs")
        tell(run, Status(status="running", n_steps=200, from_step=0))
        tell(run, *points(loss, range(1, n + 1)))
        if status == "running":
            locks.append(run.lock())
        else:
            tell(run, Status(status=status))
        state.refresh_runs()
        state.select(run.id)
        return run

    yield make
    for lock in locks:
        os.close(lock)


def points(loss, steps):
    return [
        Metrics(step=s, values={"train_loss": loss(s), "grad_norm": 1.0, "learning_rate": 1e-4})
        for s in steps
    ]


def tell(run, *events):
    writer = run.writer()
    for event in events:
        writer.append(event)
    writer.close()


def looked(box):
    """The box after it has looked at all that there is."""
    end = time.monotonic() + 60
    box.refresh()
    while box._is_busy:
        assert time.monotonic() < end
        time.sleep(0.01)
    return box


def buttons(box):
    lines = [line.children for line in box.findings.children if hasattr(line, "children")]
    return {line[1].description: line[1] for line in lines if len(line) > 1}


def test_a_healthy_run_needs_nothing(state, made):
    box = DoctorBox(state)
    made(falling)
    assert FELL in looked(box).verdict.value


def test_a_look_shares_nothing_that_grows_meanwhile(state, made, monkeypatch):
    seen = []
    look = lambda run: seen.append(run) or curve_of_run(run)  # noqa: E731
    monkeypatch.setattr("ftlab.ui.doctor_box.curve_of_run", look)
    box = DoctorBox(state)
    run = made(falling, n=60, status="running")
    looked(box)
    tell(run, *points(falling, range(61, 120)))
    looked(box)
    assert len(seen) >= 2
    assert {found.path for found in seen} == {run.path}
    assert all(found.history is not state.run.history for found in seen)
    assert seen[-1].history.last_step == 119


def test_while_it_goes_on_it_is_falling(state, made):
    box = DoctorBox(state)
    run = made(falling, status="running", n=180)
    looked(box)  # what it says must be seen twice
    tell(run, *points(falling, range(181, 191)))
    state.tick()
    assert FALLING in looked(box).verdict.value


def test_too_few_steps_are_no_verdict(state, made):
    box = DoctorBox(state)
    made(falling, n=20, status="running")
    assert "No verdict yet: it needs" in looked(box).verdict.value
    assert "more steps" in box.verdict.value


def test_a_finding_has_meaning_evidence_advice_and_a_button(state, made):
    box = DoctorBox(state)
    made(flat, learning_rate=1e-5)
    assert "Learning rate too low" in looked(box).verdict.value
    assert "sure" in box.verdict.value
    assert "what shows it" in box.verdict.value
    assert any(name.startswith("learning_rate = ") for name in buttons(box))


def test_a_button_puts_the_fix_into_the_form_of_the_same_job(state, made):
    box = DoctorBox(state)
    made(flat, learning_rate=1e-5)
    state.update({"model": "m", "training_file": "t.jsonl", "n_epochs": 7, "learning_rate": 1e-5})
    state.tab = "run"
    name, button = next(pair for pair in buttons(looked(box)).items() if "learning_rate" in pair[0])
    button.click()
    assert state.values["learning_rate"] > 1e-5
    assert f"learning_rate = {state.values['learning_rate']:g}".split("e")[0] in name
    assert state.values["n_epochs"] == 7  # what was typed meanwhile stays
    assert state.tab == "job"
    assert "Undo takes it back" in state.message[1]
    state.undo()
    assert state.values["learning_rate"] == 1e-5


def test_into_the_form_of_another_job_it_comes_with_the_runs_own(state, made):
    box = DoctorBox(state)
    made(flat, learning_rate=1e-5, lora_r=8, n_epochs=2)
    state.update({"model": "other", "training_file": "other.jsonl", "n_epochs": 7})
    next(b for name, b in buttons(looked(box)).items() if "learning_rate" in name).click()
    assert (state.values["model"], state.values["n_epochs"]) == ("m", 2)
    assert state.values["learning_rate"] > 1e-5
    assert "lora_r" not in state.values  # nobody gave it
    assert "the job of this run" in state.message[1]


def test_a_loss_that_is_no_number_is_told_at_once(state, made):
    box = DoctorBox(state)
    made(broken, n=25, status="failed")
    assert "Diverged" in looked(box).verdict.value


def test_another_run_has_a_verdict_of_its_own(state, made):
    box = DoctorBox(state)
    made(flat, learning_rate=1e-5)
    looked(box)
    made(falling)
    assert FELL in looked(box).verdict.value
    assert not any("× 5" in getattr(part, "value", "") for part in box.findings.children)


def test_without_curves_there_is_no_doctor(state, made):
    box = DoctorBox(state)
    assert box.layout.display == "none"
    made(falling, n=0, status="running")
    assert looked(box).layout.display == "none"
