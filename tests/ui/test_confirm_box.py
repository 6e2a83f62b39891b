"""A hosted job from the form: the choice, the key, the price, the word of a person, the request."""

from __future__ import annotations

import ipywidgets as widgets
import pytest

from ftlab.ui.confirm_box import NO_KEY
from ftlab.ui.form import AGREE, JobPanel
from ftlab.ui.state import State
from ftlab.ui.workbench import Workbench
from tests.fakes.together import REPLY, Fault
from tests.providers.hosted import KEY, MODEL, hosted, spec
from tests.ui.test_form_boxes import until
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


@pytest.fixture
def sent(monkeypatch):
    """All that the kernel sends to a page, and the runs that would have started, with their key."""
    runs = []
    monkeypatch.setattr("ftlab.ui.state.submit", _fake_submit(runs))
    messages = []
    send = widgets.Widget._send

    def noted(widget, msg, buffers=None):
        messages.append(msg)
        send(widget, msg, buffers=buffers)

    monkeypatch.setattr(widgets.Widget, "_send", noted)
    return runs, messages


def _fake_submit(runs):
    """Up to the process, which would have a service and a key of its own."""
    from ftlab.providers import submit
    from ftlab.providers.together.provider import Together

    def kept(values, provider, **given):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Together, "start", lambda _, run, key: runs.append((run, given)))
            return submit(values, provider, **given)

    return kept


@pytest.fixture
def panel(state, service, tmp_path):
    panel = JobPanel(state)
    state.update(spec(tmp_path))
    scan(state)
    panel.engine.value = "together"
    return panel


def seen(widget):
    return widget.layout.display is None


def priced(panel):
    panel.train.click()
    until(lambda: seen(panel.confirm))


def test_the_choice_is_that_of_rules_and_button(state, panel, tmp_path):
    assert panel.train.description == "Submit"
    assert state.provider == "together"
    assert state.spec is not None  # a model that is not here is no matter there
    state.update({"model": None, "from_checkpoint": str(tmp_path)})
    assert "which is on this machine" in state.why_not_train
    assert panel.train.disabled
    assert "which is on this machine" in panel.why_not.value
    panel.engine.value = "local"
    assert panel.train.description.startswith("Train")
    assert "which is on this machine" not in state.why_not_train


def test_what_is_an_option_here_is_none_there(state, panel):
    state.set("device", "cpu")
    assert state.own_options == {}
    assert not panel.train.disabled
    panel.engine.value = "local"
    assert state.own_options == {"device": "cpu"}


def test_the_choice_is_kept_beside_what_was_typed(state, panel):
    assert Workbench(folder=state.folder.folder).state.provider == "together"
    assert State(state.folder.folder).draft() == dict(state.values)
    panel.engine.value = "local"
    assert Workbench(folder=state.folder.folder).state.provider == "local"


def test_nothing_is_sent_before_a_person_agrees_to_the_price(panel, state, service, sent):
    runs, _ = sent
    priced(panel)
    assert "This job costs under $0.01, by Together" in panel.confirm.said.value
    assert panel.confirm.pay.description == "Pay up to $0.01"
    assert panel.train.disabled
    until(lambda: AGREE in panel.why_not.value)
    assert (runs, service.bodies) == ([], [])
    panel.confirm.pay.click()
    until(lambda: runs and state.tab == "run")
    ((run, given),) = runs
    assert given["pay_up_to"] == run.job.options["pay_up_to"] == 0.01
    assert run.job.provider == "together"
    assert state.run.id == run.id
    assert not seen(panel.confirm)


def test_not_now_sends_nothing(panel, sent):
    priced(panel)
    panel.confirm.refuse.click()
    assert not seen(panel.confirm)
    assert not panel.train.disabled
    panel.confirm.pay.click()  # what is out of sight does nothing
    assert sent[0] == []


def test_another_job_asks_for_another_word(panel, state):
    priced(panel)
    state.set("learning_rate", 1e-4)
    assert seen(panel.confirm)  # its price is the same
    state.set("n_epochs", 7)
    assert not seen(panel.confirm)
    assert not panel.train.disabled
    priced(panel)
    panel.engine.value = "local"
    assert not seen(panel.confirm) or not panel._is_hosted


def test_a_service_that_does_not_answer_is_told_and_sends_nothing(panel, service, sent):
    service.misbehave("GET", "/limits", Fault(status=402))
    panel.train.click()
    until(lambda: "402" in panel.service.task.said.value and not panel.train.disabled)
    assert not seen(panel.confirm)
    assert sent[0] == []


def test_a_price_above_the_credit_can_not_be_agreed_to(panel, service):
    service.credit = 0.0
    priced(panel)
    assert panel.confirm.pay.disabled
    assert "Add credit" in panel.confirm.said.value


def test_a_price_that_nobody_knows_is_said_to_be_that(panel, state, service, monkeypatch):
    service.misbehave(
        "POST", "/estimate-price", Fault(status=200, body=b'{"estimation_available": false}')
    )
    priced(panel)
    assert "by the table of rates" in panel.confirm.said.value
    monkeypatch.setattr(state, "estimate", state.estimate.__class__())
    panel.confirm.refresh()
    assert panel.confirm.pay.description == "Pay any price"


def test_the_services_own_limits_count(panel, state, service):
    lora = {**REPLY["lora_training"], "max_rank": 48}
    service.models = {MODEL: {**REPLY, "lora_training": lora}}
    priced(panel)
    state.set("lora_r", 50)
    assert "lora_r is 50" in panel.why_not.value
    assert panel.train.disabled
    assert not seen(panel.confirm)


def test_a_key_that_is_typed_is_in_no_widget_no_message_and_no_file(
    panel, state, sent, monkeypatch, tmp_path
):
    runs, messages = sent
    monkeypatch.delenv("TOGETHER_API_KEY")
    panel.refresh()
    assert panel.train.disabled
    assert NO_KEY in panel.why_not.value
    assert seen(panel.key)
    panel.key._handle_custom_msg({"key": KEY}, [])
    assert panel.key.is_held
    assert not panel.train.disabled
    priced(panel)
    panel.confirm.pay.click()
    until(lambda: runs and state.tab == "run")
    assert runs[0][1]["key"].get_secret_value() == KEY
    until(lambda: not panel.key.is_held)  # forgotten: the run's process has it
    states = [w.get_state() for w in list(widgets.widget._instances.values())]
    assert KEY not in f"{states} {messages} {state!r} {state.trait_values()}"
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_what_can_be_no_key_is_said_and_not_held(panel, state, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    panel.key._handle_custom_msg({"key": "two words"}, [])
    assert "no key has" in state.message[1]
    assert "two words" not in state.message[1]
    assert not panel.key.is_held


def test_forget_takes_it_away(panel, state, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    panel.key._handle_custom_msg({"key": KEY}, [])
    panel.key._handle_custom_msg({"forget": True}, [])
    assert state.key.typed is None
    assert panel.train.disabled


def test_the_head_says_what_it_takes_there_and_closing_forgets_the_key(
    service, monkeypatch, tmp_path
):
    monkeypatch.delenv("TOGETHER_API_KEY")
    workbench = Workbench(folder=tmp_path / "runs", **spec(tmp_path))
    scan(workbench.state)
    cost = workbench.head.buttons["cost"]
    until(lambda: " here" in cost.description)
    workbench.state.choose("together")
    assert " here" not in cost.description
    assert " hosted" in cost.description
    workbench.panels["job"].key._handle_custom_msg({"key": KEY}, [])
    assert workbench.state.key.is_typed
    workbench.close()
    assert not workbench.state.key.is_typed
