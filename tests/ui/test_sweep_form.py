"""What a new sweep varies and takes, and how it starts."""

from __future__ import annotations

import time

import pytest

from ftlab.errors import RunError
from ftlab.ui.sweep_form import AGREE, PLANNING, SweepForm
from tests.small import chat_rows, save_model, write_rows
from tests.ui.test_state import scan

DEMO = {"model": "demo", "n_epochs": 1, "batch_size": 16}


@pytest.fixture
def started():
    return []


@pytest.fixture
def form(state, tmp_path, started):
    from ftlab import demo

    form = SweepForm(state, started.append)
    state.update({**DEMO, "training_file": str(demo.TRAIN)})
    scan(state)
    return form


def planned(form):
    """The form after it has worked out what the sweep takes."""
    form.head.value = True
    form.refresh()
    end = time.monotonic() + 60
    while form._is_planning or form._is_starting or PLANNING in form.reason.value:
        assert time.monotonic() < end
        time.sleep(0.01)
    return form


def test_nothing_is_planned_while_it_is_shut(form):
    assert form.plan.value == ""


def test_the_arms_and_what_they_take_are_said_before_anything_starts(form):
    planned(form)
    assert [arm.name for arm in form._ready.plan.arms][3] in form.plan.value
    assert "7: " in form.plan.value
    assert "% of a full grid" in form.plan.value
    assert "compared after" in form.plan.value
    assert not form.start.disabled


def test_own_rates_and_another_field_make_all_combinations(form):
    form.rates.value, form.values.value = "these", "1e-4, 1e-3"
    form.field.value, form.others.value = "lora_r", "8, 64"
    arms = planned(form)._ready.plan.arms
    assert [arm.changes for arm in arms] == [
        {"learning_rate": rate, "lora_r": rank, "lora_alpha": 2 * rank}
        for rate in (1e-4, 1e-3)
        for rank in (8, 64)
    ]


def test_another_field_alone_and_fewer_rows(form):
    form.rates.value = "as in the form"
    form.field.value, form.others.value = "weight_decay", "0, 0.1"
    form.rows.value = "200"
    ready = planned(form)._ready
    assert ready.plan.varied == ("weight_decay",)
    assert ready.plan.job.spec.max_train_rows == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rates": "as in the form"}, "Nothing is varied"),
        ({"rates": "these"}, "learning_rate has no values"),
        ({"rates": "these", "values": "fast"}, "learning_rate"),
        ({"rows": "many"}, "'many' rows"),
        ({"rows": "0"}, "'0' rows"),
        ({"field": "lora_r", "others": "8, x"}, "lora_r"),
        ({"n": 0}, "at least one arm"),
    ],
)
def test_what_is_wrong_is_said_beside_the_button(form, settings, said):
    for name, value in settings.items():
        getattr(form, name).value = value
    planned(form)
    assert form.start.disabled
    assert said in form.reason.value.replace("&#x27;", "'")
    form.rates.value, form.field.value = "around the recommended one", "nothing else"
    form.rows.value, form.n.value = "", 3
    assert not planned(form).start.disabled
    assert form.reason.value == ""


def test_a_job_that_could_not_start_makes_no_sweep(state, tmp_path):
    form = SweepForm(state, print)
    state.update({"model": str(save_model(tmp_path / "model"))})
    planned(form)
    assert form.start.disabled
    assert "No training file is given" in form.reason.value


def test_it_starts_with_what_stands_in_the_form(form, state, started, monkeypatch):
    asked = []
    monkeypatch.setattr("ftlab.attempts.start", lambda sweep, **_: asked.append(sweep.id))
    form.n.value = 3
    planned(form).start.click()
    planned(form)
    (sweep,) = started
    assert asked == [sweep.id]
    assert sweep.path.parent == state.folder.folder
    assert len(sweep.plan.arms) == 3
    assert "The sweep has started" in state.message[1]


def test_one_that_can_not_start_says_why_and_keeps_what_was_typed(form, state, monkeypatch):
    def refuse(*_, **__):
        raise RunError("The folder is full.")

    monkeypatch.setattr("ftlab.attempts.start", refuse)
    form.n.value = 3
    planned(form).start.click()
    planned(form)
    assert "The folder is full." in form.reason.value
    assert form.n.value == 3
    assert not form.start.disabled


def test_a_hosted_sweep_waits_for_somebody_to_agree_to_its_price(state, tmp_path, monkeypatch):
    monkeypatch.setenv("TOGETHER_API_KEY", "a-key")
    form = SweepForm(state, print)
    train = write_rows(tmp_path / "t.jsonl", chat_rows(60))
    held = write_rows(tmp_path / "v.jsonl", chat_rows(10, 100))
    files = {"training_file": str(train), "validation_file": str(held)}
    state.choose("together")
    state.update({"model": "Qwen/Qwen3-8B", **files})
    scan(state)
    form.n.value = 3
    planned(form)
    assert form.agree.layout.display is None
    assert "I agree to pay up to $" in form.agree.description
    assert form.start.disabled
    assert AGREE in form.reason.value
    form.agree.value = True
    assert not form.start.disabled
