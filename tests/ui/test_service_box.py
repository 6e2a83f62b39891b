"""The box that lets the hosted service say its price."""

from __future__ import annotations

import html
import threading

import pytest
from pydantic import SecretStr

from ftlab.errors import ServiceError
from ftlab.html import escaped
from ftlab.prices import Price
from ftlab.providers.together.client import Client
from ftlab.providers.together.price import PriceQuestion
from ftlab.ui.form import JobPanel
from ftlab.ui.service_box import CANCELLED, CANCELLING, CHANGED, NO_KEY
from tests.fakes.together import REPLY, Fault, Service
from tests.small import chat_rows, write_rows
from tests.ui.test_form_boxes import until
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MODEL = "Qwen/Qwen3-8B"


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="canary-key") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "canary-key")
        yield service


@pytest.fixture
def job(tmp_path):
    train = write_rows(tmp_path / "t.jsonl", chat_rows(40))
    return {"model": MODEL, "training_file": str(train), "n_epochs": 3}


@pytest.fixture
def box(state, service, job):
    """Of a job whose data was scanned."""
    panel = JobPanel(state)
    state.update(job)
    scan(state)
    until(lambda: not panel.service.ask.disabled)  # shown by the thread that heard of it
    return panel.service


def asked(box):
    box.ask.click()
    until(lambda: not box.task.is_busy)
    return box.task.said.value


def seen(widget):
    return widget.layout.display is None


def test_what_asking_does_is_said_before(box, service):
    assert seen(box)
    assert not box.ask.disabled
    assert "Uploads t.jsonl (" in box.about.value
    assert f"to Together at {service.address}" in box.about.value
    assert "nothing is started and nothing is billed" in box.about.value
    assert service.requests == []


def test_the_answer_takes_the_place_of_the_tables_price(box, state):
    table = state.estimate.price
    said = asked(box)
    assert "Together: under $0.01 for" in said
    assert f"by the table of rates {Price(*table).in_words()}" in said
    assert "The account may spend $25.00." in said
    assert state.estimate.price == (state.answer.price.low, state.answer.price.high) != table
    assert state.table_price == Price(*table)
    price = [line for line in state.estimate.basis if line.startswith("Price: ")]
    assert "The service's own estimate" in price[0]
    assert "by the table of rates" in price[1]
    assert box.ask.description == "Ask again"


def test_the_answer_holds_for_this_job_and_comes_back_with_it(box, state):
    said = asked(box)
    table = state.table_price
    state.set("learning_rate", 1e-4)
    assert box.task.said.value == said  # the price does not hang on it
    state.set("n_epochs", 4)
    assert box.task.said.value == ""
    assert state.answer is None
    assert Price(*state.estimate.price).low > table.low
    state.undo()
    assert box.task.said.value == said


def test_an_answer_for_an_older_job_is_told_as_such(box, state, monkeypatch):
    ask = PriceQuestion.ask

    def change_meanwhile(question):
        state.set("n_epochs", 9)
        return ask(question)

    monkeypatch.setattr(PriceQuestion, "ask", change_meanwhile)
    assert asked(box) == CHANGED
    assert state.answer is None
    state.set("n_epochs", 3)
    assert "Together: " in box.task.said.value


def test_the_services_limits_are_those_of_the_form_from_then_on(box, state, service):
    lora = {**REPLY["lora_training"], "max_rank": 48}
    service.models = {MODEL: {**REPLY, "lora_training": lora}}
    assert state.info.hosted.max_lora_r == 64
    asked(box)
    assert state.info.hosted.max_lora_r == 48
    assert state.info.hosted.source.startswith("the service's own limits")
    state.set("lora_r", 50)
    assert not box.ask.disabled  # they may be others by now
    assert "lora_r is 50" in asked(box)
    assert "the service's own limits" in html.unescape(box.task.said.value)
    service.models = {MODEL: REPLY}
    assert "Together: " in asked(box)
    assert state.info.hosted.max_lora_r == 64


def test_limits_of_one_job_that_goes_on_are_not_those_of_another(box, state, service, job):
    few = {**REPLY, "max_num_epochs": 2}
    service.models = {"ft-few": few, "ft-many": REPLY}
    state.update({"model": None, "from_checkpoint": "ft-few:5", "n_epochs": 1})
    scan(state)
    until(lambda: not box.ask.disabled)
    asked(box)
    assert state.info.hosted.max_n_epochs == 2
    state.set("from_checkpoint", "ft-many")
    assert state.info.hosted is None or state.info.hosted.max_n_epochs != 2


def test_a_price_of_what_the_file_holds_by_now_is_not_taken_for_one_of_what_was_scanned(
    box, state, job, tmp_path
):
    write_rows(tmp_path / "t.jsonl", chat_rows(400))
    assert "t.jsonl: changed since the scan" in asked(box)
    assert state.answer is None
    state.set("learning_rate", 1e-4)
    assert "t.jsonl: changed since the scan" in box.task.said.value
    scan(state)
    until(lambda: not box.ask.disabled)
    assert "Together: " in asked(box)
    write_rows(tmp_path / "t.jsonl", chat_rows(40))
    scan(state)
    assert state.answer is None


def test_what_would_be_refused_is_that_of_the_job_as_it_stands(box, state):
    state.set("batch_size", 512)
    assert "batch_size is 512" in asked(box)
    state.set("batch_size", 16)
    assert "Together: " in box.task.said.value
    assert "batch_size" not in box.task.said.value
    state.set("batch_size", 900)
    assert "batch_size is 900" in box.task.said.value


def test_a_price_that_does_not_know_that_packing_is_off_leaves_the_tables(box, state):
    asked(box)
    by_service = state.estimate.price
    state.update({"packing": False, "max_seq_length": 4096})
    assert state.estimate.price == (state.table_price.low, state.table_price.high) != by_service
    assert "does not know that packing is off" in html.unescape(box.task.said.value)
    assert "does not know that packing is off" in state.estimate.basis[0]


def test_an_adapter_of_this_machine_is_not_asked_about(box, state, service, tmp_path):
    state.update({"model": None, "from_checkpoint": str(tmp_path)})
    assert box.ask.disabled
    assert "which is on this machine" in box.about.value


def test_words_about_one_job_do_not_stand_under_another(box, state, service):
    service.misbehave("GET", "/limits", Fault(status=402))
    assert "402" in asked(box)
    state.set("learning_rate", 1e-4)
    assert "402" in box.task.said.value  # the question is the same
    state.set("n_epochs", 5)
    assert box.task.said.value == ""


def test_a_refusal_after_an_answer_is_seen(box, state, service):
    answer = asked(box)
    service.misbehave("GET", "/limits", Fault(status=402))
    assert "402" in asked(box)
    state.set("n_epochs", 5)
    assert box.task.said.value == ""
    state.set("n_epochs", 3)
    assert box.task.said.value == answer


def test_the_file_that_stays_in_the_account_is_named(box):
    assert "The file stays in the account as file-0000." in asked(box)


def test_a_file_at_the_service_is_not_said_to_be_uploaded(box, state):
    state.set("training_file", "file-abc")
    scan(state)
    until(lambda: "Asks Together for its own price" in box.about.value)
    assert not box.ask.disabled


def test_without_a_key_one_line_says_how_to_give_it(state, job, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    box = JobPanel(state).service
    state.update(job)
    scan(state)
    assert seen(box)
    until(lambda: escaped(NO_KEY) in box.about.value)  # shown by the thread that heard of the scan
    assert not seen(box.ask)
    assert "TOGETHER_API_KEY" in NO_KEY


def test_without_a_key_what_is_missing_is_said_first(state, job, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    box = JobPanel(state).service
    state.set("model", MODEL)
    assert "training_file" in box.about.value or "training file" in box.about.value


def test_a_wrong_value_that_the_price_does_not_hang_on_hinders_nothing(box, state):
    state.set("learning_rate", -1)
    assert not box.ask.disabled
    assert "Together: " in asked(box)


def test_a_model_of_this_machine_is_not_asked_about(state, service, files):
    box = JobPanel(state).service
    assert not seen(box)
    state.update(files)
    scan(state)
    assert not seen(box)


def test_why_nothing_can_be_asked_is_said(box, state):
    state.set("n_epochs", 0)
    assert box.ask.disabled
    assert "n_epochs is 0" in box.about.value
    state.set("n_epochs", 2)
    state.set("training_file", "/nowhere.jsonl")
    assert box.ask.disabled
    state.scanning = True
    assert box.ask.disabled


def test_a_refusal_is_told_in_words_and_asking_goes_on(box, service):
    message = b'{"error": {"message": "<b>no</b> credit"}}'
    service.misbehave("GET", "/limits", Fault(status=402, body=message))
    said = asked(box)
    assert 'role="alert"' in said
    assert "&lt;b&gt;no&lt;/b&gt; credit" in said
    assert not box.ask.disabled
    assert "Together: " in asked(box)


def test_the_credit_that_does_not_suffice_is_a_warning(box, service):
    service.credit = 0.0
    assert "●" in asked(box)
    assert "Add credit" in box.task.said.value


def test_no_estimate_leaves_the_tables_price(box, state, service):
    table = state.estimate.price
    reply = b'{"estimation_available": false, "unavailable_reason": "multimodal_dataset"}'
    service.misbehave("POST", "/estimate-price", Fault(status=200, body=reply))
    assert "has images" in asked(box)
    assert state.estimate.price == table
    assert "no estimate" in state.estimate.basis[0]


def test_cancel_ends_the_question(box, state, monkeypatch):
    over = threading.Event()

    def ask(question):
        question._told(0.3, "uploading t.jsonl")
        assert over.wait(20)

    monkeypatch.setattr(PriceQuestion, "ask", ask)
    box.ask.click()
    until(lambda: "uploading t.jsonl" in box.task.said.value)
    assert (seen(box.cancel), seen(box.ask), box.about.value) == (True, False, "")
    monkeypatch.setattr(PriceQuestion, "cancel", lambda _: None)
    box.cancel.click()
    assert box.task.said.value == CANCELLING
    over.set()
    until(lambda: not box.task.is_busy)
    assert box.task.said.value == CANCELLED
    assert state.answer is None
    assert seen(box.ask)


def test_an_error_is_shown_in_place(box, monkeypatch):
    def fail(_):
        raise ServiceError("Together is down; it should be up. Wait.")

    monkeypatch.setattr(PriceQuestion, "ask", fail)
    assert "Together is down" in asked(box)


def test_the_key_is_in_no_widget_and_no_draft(box, state, tmp_path):
    asked(box)
    told = [widget.get_state() for widget in (box, box.ask, box.about, box.task.said)]
    assert "canary" not in str(told)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes()


def test_a_key_of_the_keyring_is_looked_for_beside_the_form(state, job, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    opened = threading.Event()
    monkeypatch.setattr("ftlab.ui.held_key.has_keyring", lambda: True)
    monkeypatch.setattr(
        "ftlab.ui.held_key.find_key",
        lambda: SecretStr("canary-key") if opened.wait(20) else None,
    )
    box = JobPanel(state).service
    state.update(job)
    assert not seen(box.ask)  # the person has not opened it yet
    opened.set()
    until(lambda: seen(box.ask))
