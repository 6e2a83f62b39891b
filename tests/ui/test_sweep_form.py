"""What a new sweep varies and takes, and how it starts."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from ftlab.errors import RunError
from ftlab.sweeps.cost import cost_of
from ftlab.ui.agree_box import AGREE, ANY
from ftlab.ui.sweep_form import NO_KEY, PLANNING, SweepForm
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
        ({"n": 0}, "1 to 64 arms"),
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


@pytest.fixture
def hosted(state, tmp_path, monkeypatch):
    """The form for three arms at the service, and a key."""
    monkeypatch.setenv("TOGETHER_API_KEY", "a-key")
    form = SweepForm(state, print)
    train = write_rows(tmp_path / "t.jsonl", chat_rows(60))
    held = write_rows(tmp_path / "v.jsonl", chat_rows(10, 100))
    files = {"training_file": str(train), "validation_file": str(held)}
    state.choose("together")
    state.update({"model": "Qwen/Qwen3-8B", "batch_size": 8, **files})
    scan(state)
    form.n.value = 3
    return form


@pytest.fixture
def sent(monkeypatch):
    """What was asked of `sweep`, of which nothing starts."""

    class Made:
        is_hosted = True

    asked = []
    monkeypatch.setattr("ftlab.ui.sweep_form.sweep", lambda **k: asked.append(k) or Made())
    return asked


@pytest.fixture
def without_price(monkeypatch):
    def unknown(plan, *scans):
        return replace(cost_of(plan, *scans), price=None)

    monkeypatch.setattr("ftlab.sweeps.ready.cost_of", unknown)


def test_a_hosted_sweep_waits_for_somebody_to_agree_to_its_price(hosted):
    form = planned(hosted)
    assert form.agree.layout.display is None
    assert form.agree.limit.layout.display == "none"
    assert "I agree to pay up to $" in form.agree.tick.description
    assert form.start.disabled
    assert AGREE in form.reason.value
    form.agree.tick.value = True
    assert not form.start.disabled


def test_a_local_sweep_asks_nobody_to_pay(form):
    planned(form)
    assert form.agree.layout.display == "none"
    assert form.key.layout.display == "none"


@pytest.mark.parametrize("change", ["arms", "epochs"])
def test_agreeing_to_one_price_is_no_agreement_to_another(hosted, state, change):
    form = planned(hosted)
    form.agree.tick.value = True
    first = form.agree.most
    if change == "arms":
        form.n.value = 9
    else:
        state.update({"n_epochs": 200})
    planned(form)
    assert form.agree.most > first
    assert not form.agree.tick.value
    assert form.start.disabled
    assert AGREE in form.reason.value


def test_agreeing_to_some_arms_is_no_agreement_to_others_at_the_same_price(hosted):
    form = hosted
    form.rates.value, form.values.value = "these", "1e-5, 1e-4"
    planned(form).agree.tick.value = True
    first = form.agree.most
    form.values.value = "1e-5, 1e-3"
    assert planned(form).agree.most == first
    assert form.start.disabled


def test_the_word_stands_while_nothing_changes(hosted):
    form = planned(hosted)
    form.agree.tick.value = True
    form.head.value = False
    assert not planned(form).start.disabled


def test_it_pays_up_to_what_was_shown_when_it_was_ticked(hosted, sent):
    form = planned(hosted)
    form.agree.tick.value = True
    shown = form.agree.tick.description
    form.start.click()
    planned(form)
    (asked,) = sent
    assert f"${asked['pay_up_to']:,.2f} " in shown
    assert asked["pay_up_to"] == round(asked["pay_up_to"], 2)
    assert asked["pay_up_to"] >= form._ready.cost.price[1]
    assert asked["n"] == 3


def test_after_a_start_a_second_one_takes_a_word_of_its_own(hosted, sent):
    form = planned(hosted)
    form.agree.tick.value = True
    form.start.click()
    form.start.click()  # before the page has heard of the first
    planned(form)
    assert len(sent) == 1
    assert form.start.disabled
    assert AGREE in form.reason.value


def test_two_clicks_start_one_sweep_on_this_machine_too(form, started, monkeypatch):
    monkeypatch.setattr("ftlab.attempts.start", lambda *_, **__: None)
    form.n.value = 3
    planned(form)
    form.start.click()
    form.start.click()
    planned(form)
    assert len(started) == 1


def test_where_nobody_knows_the_price_a_person_says_what_they_would_pay(
    hosted, sent, without_price
):
    form = planned(hosted)
    assert form.agree.layout.display is None
    assert form.agree.limit.layout.display is None
    assert form.agree.tick.description == ANY
    form.agree.tick.value = True
    form.agree.limit.value = "25"
    assert not form.agree.tick.value
    assert "$25.00" in form.agree.tick.description
    form.agree.tick.value = True
    form.start.click()
    planned(form)
    assert sent[0]["pay_up_to"] == 25


def test_any_price_may_be_agreed_to_where_nobody_knows_it(hosted, sent, without_price):
    form = planned(hosted)
    assert form.start.disabled
    form.agree.tick.value = True
    form.start.click()
    planned(form)
    assert sent[0]["pay_up_to"] == math.inf


@pytest.mark.parametrize("amount", ["much", "-1", "0", "nan"])
def test_what_is_no_amount_can_not_be_agreed_to(hosted, without_price, amount):
    form = planned(hosted)
    form.agree.limit.value = amount
    assert form.agree.tick.disabled
    form.agree.tick.value = True
    assert form.start.disabled
    assert "is no amount" in form.reason.value
    form.agree.limit.value = "$1,000.50"
    assert "$1,000.50" in form.agree.tick.description


def test_without_a_key_it_is_asked_for_where_the_sweep_starts(hosted, state, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    form = planned(hosted)
    form.agree.tick.value = True
    assert form.start.disabled
    assert NO_KEY in form.reason.value
    assert form.key.layout.display is None
    state.key.take(SecretStr("a-key-of-some-length"))
    assert not form.start.disabled
