"""A job is asked for once, whatever happens to the answer; against a service on a real socket."""

from __future__ import annotations

import json
import threading

import pytest

from ftlab.errors import RunError, ServiceError
from ftlab.providers.together import sending
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.jobs import cancel
from ftlab.providers.together.ledger import Intent, Ledger, tag_of
from ftlab.providers.together.listing import HostedJob
from ftlab.providers.together.recognised import tagged
from ftlab.providers.together.sending import reconcile, send, sweep
from tests.ambiguous_creates import CREATE, FAULTS, ambiguous_creates
from tests.fakes.together import BUSY, DROP, Fault, Service

N_CREATES = 44


@pytest.fixture
def service(monkeypatch):
    with Service(key="the-key") as service:
        yield service


@pytest.fixture
def waits(monkeypatch):
    """How long was waited, without waiting."""
    waited = []
    monkeypatch.setattr(Client, "pause", lambda _, seconds: waited.append(seconds))
    return waited


@pytest.fixture
def client(service, waits):
    with Client(secret("the-key"), service.address) as client:
        yield client


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path) as ledger:
        yield ledger


def prepared(ledger, service, run="run-1"):
    return ledger.prepare(Intent(run, tag_of("mine", run), "prepared", service.address))


def body_of(intent):
    return {"model": "m", "training_file": "file-0", "suffix": intent.tag}


def ask(client, ledger, service, told=lambda _: None):
    return send(client, ledger, "run-1", body_of(prepared(ledger, service)), told)


def test_a_job_is_asked_for_and_bound(client, ledger, service):
    intent = ask(client, ledger, service)
    assert (intent.state, intent.job_id) == ("bound", "ft-0000")
    (request,) = service.asked("POST", CREATE)
    assert json.loads(request.body) == body_of(intent)
    assert request.headers["Idempotency-Key"] == intent.tag
    assert request.headers["Content-Type"] == "application/json"


def test_the_intent_is_written_down_before_the_request(client, ledger, service, monkeypatch):
    seen = []
    monkeypatch.setattr(service, "estimate", lambda _: seen.append(ledger_of(ledger)) or {})

    def ledger_of(own):
        with Ledger(own.file.parent) as other:
            return other.of("run-1").state

    ask(client, ledger, service)
    assert seen == ["sent"]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_a_refusal_is_an_answer(client, ledger, service, status):
    said = json.dumps({"error": {"message": "no credit; key tgp_abcdefgh12"}}).encode()
    service.misbehave("POST", CREATE, Fault(status=status, body=said))
    intent = ask(client, ledger, service)
    assert (intent.state, intent.said) == ("rejected", f"{status} (“no credit; key [key]”)")
    assert len(service.asked("POST", CREATE)) == 1


def test_who_is_asked_to_wait_waits_so_long_and_asks_again(client, ledger, service, waits):
    busy = BUSY._replace(status=429)
    asked = (busy._replace(headers=(("Retry-After", "50"),)), busy)
    service.misbehave("POST", CREATE, *asked)
    told = []
    assert ask(client, ledger, service, told.append).state == "bound"
    assert [seconds for seconds in waits if seconds] == [50.0, 2.0]
    assert told[0] == "the service is busy (429); nothing was started. Asking again in 50 s"
    assert len(service.bodies) == 1


@pytest.mark.parametrize("after", ["0", "-5", "Sat, 01 Jan 2000 00:00:00 GMT"])
def test_who_is_asked_to_come_back_at_once_waits_all_the_same(
    client, ledger, service, waits, after
):
    busy = BUSY._replace(status=429, headers=(("Retry-After", after),))
    service.misbehave("POST", CREATE, *[busy] * 4)
    assert ask(client, ledger, service).state == "bound"
    assert [seconds for seconds in waits if seconds] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("after", ["99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_who_is_asked_to_wait_for_ages_waits_a_day(client, ledger, service, waits, after):
    busy = BUSY._replace(status=429, headers=(("Retry-After", after),))
    service.misbehave("POST", CREATE, busy)
    assert ask(client, ledger, service).state == "prepared"
    assert [seconds for seconds in waits if seconds] == [86400.0]


def test_where_nobody_listens_nothing_was_started(ledger, tmp_path, waits):
    with Service(key="the-key") as service:
        intent = prepared(ledger, service)
    told = []

    def come_back(text):
        told.append((text, ledger.of("run-1").state))
        if len(told) == 2:
            service.__enter__()

    with Client(secret("the-key"), service.address) as client:
        found = send(client, ledger, "run-1", body_of(intent), come_back)
    service.__exit__()
    assert found.state == "bound"
    assert [state for _, state in told] == ["prepared", "prepared"]
    assert [seconds for seconds in waits if seconds] == [1.0, 2.0]


def test_giving_up_while_the_service_is_busy_leaves_nothing(ledger, service):
    stop = threading.Event()
    service.misbehave("POST", CREATE, *[BUSY._replace(status=429)] * 9)
    with (
        Client(secret("the-key"), service.address, stop=stop) as client,
        pytest.raises(Cancelled),
    ):
        send(client, ledger, "run-1", body_of(prepared(ledger, service)), lambda _: stop.set())
    assert ledger.of("run-1").state == "prepared"
    assert service.bodies == []


def test_what_was_sent_is_not_sent_again(client, ledger, service):
    intent = ask(client, ledger, service)
    with pytest.raises(RunError, match="is bound in the ledger"):
        send(client, ledger, "run-1", body_of(intent), print)
    assert len(service.bodies) == 1


def test_a_request_that_is_no_json_is_not_sent(client, ledger, service):
    prepared(ledger, service)
    with pytest.raises(ValueError, match="Out of range"):
        send(client, ledger, "run-1", {"learning_rate": float("nan")}, print)
    assert ledger.of("run-1").state == "prepared"
    assert service.asked("POST") == []


# --- answers that say nothing ----------------------------------------------------------------


@pytest.mark.slow
def test_of_ambiguous_requests_none_is_repeated_and_each_is_found_out(tmp_path):
    with ambiguous_creates(tmp_path) as ask:
        outcomes = [ask(list(FAULTS)[n % len(FAULTS)]) for n in range(N_CREATES)]
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    assert wrong == []
    assert {outcome.is_started for outcome in outcomes} == {True, False}


@pytest.mark.parametrize("is_started", [True, False])
def test_an_answer_that_is_lost_is_looked_for(client, ledger, service, waits, is_started):
    service.lag = 3
    service.misbehave("POST", CREATE, DROP._replace(after=is_started))
    intent = ask(client, ledger, service)
    assert intent.state == "unknown"
    told = []
    found = reconcile(client, ledger, intent, told.append)
    if is_started:
        assert (found.state, found.job_id) == ("bound", "ft-0000")
        assert [seconds for seconds in waits if seconds] == [1.0, 2.0, 4.0]
    else:
        assert (found.state, found.said) == ("unknown", "the list of the account names no such job")
        assert sum(waits) == sum(sending.LOOKS) == 120.0
    assert len(service.asked("POST", CREATE)) == 1
    assert "not known yet" in told[0]


def test_a_list_that_can_not_be_read_leaves_it_unknown(client, ledger, service):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    intent = ask(client, ledger, service)
    service.misbehave("GET", CREATE, *[BUSY] * 100)
    found = reconcile(client, ledger, intent, print)
    assert (found.state, found.said) == ("unknown", "the list of jobs could not be read (503)")
    service.misbehave("GET", CREATE)
    assert reconcile(client, ledger, found, print).state == "bound"


def test_a_list_that_is_odd_names_no_job(client, ledger, service):
    intent = prepared(ledger, service)
    intent = ledger.move("run-1", "sent")
    odd = [None, 3, {}, {"id": None, "suffix": intent.tag}, {"id": "../x", "suffix": intent.tag}]
    for reply in ({"data": odd}, {"data": None}, {"data": {}}, {}):
        body = json.dumps(reply).encode()
        service.misbehave("GET", CREATE, *[Fault(status=200, body=body)] * 100)
        intent = reconcile(client, ledger, intent, print)
        assert (intent.state, intent.job_id) == ("unknown", "")


def job(**names):
    """As it is listed."""
    return HostedJob("ft-7", "queued", "m", "", None, None, (), "")._replace(**names)


def test_a_job_is_known_by_the_name_of_its_model_too(ledger, service):
    intent = prepared(ledger, service)
    jobs = [job(output=f"me/Qwen3-8B-{intent.tag}-1a2b".upper())]
    assert tagged(jobs, intent) == ["ft-7"]
    assert tagged([job(suffix="mine-ftl-000")], intent) == []
    assert tagged(jobs, intent._replace(tag=None)) == []


@pytest.mark.parametrize("dash", ["_", "", ".", " "])
def test_a_job_is_known_however_the_service_writes_its_name(ledger, service, dash):
    intent = prepared(ledger, service)
    assert tagged([job(suffix=intent.tag.replace("-", dash))], intent) == ["ft-7"]


@pytest.mark.parametrize("length", range(20))
def test_a_job_is_known_however_short_its_suffix_is_cut(ledger, service, length):
    intent = prepared(ledger, service)
    found = tagged([job(suffix=intent.tag[:length])], intent)
    assert found == (["ft-7"] if length >= len("ftl-000000") else [])


def test_a_job_is_known_by_the_mark_of_older_tags(ledger, service):
    intent = prepared(ledger, service)._replace(tag="mine-ftl-0123456789")
    assert tagged([job(suffix="mine-ftl-0123456789")], intent) == ["ft-7"]


def test_more_jobs_than_were_asked_for_are_told(client, ledger, service):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    intent = ask(client, ledger, service)
    client.request("POST", "/v1/fine-tunes", "x", json=body_of(intent))
    found = reconcile(client, ledger, intent, print)
    assert found.job_id == "ft-0000"
    assert "2 jobs of the account carry the tag" in found.said
    assert "cancel ft-0001 there" in found.said


def test_without_the_right_to_look_it_stays_unknown(client, ledger, service):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    intent = ask(client, ledger, service)
    service.misbehave("GET", CREATE, Fault(status=401))
    with pytest.raises(ServiceError, match="401"):
        reconcile(client, ledger, intent, print)
    assert ledger.of("run-1").state == "unknown"


def test_what_others_left_behind_is_found_with_one_look(client, ledger, service):
    for run in ("left", "lives", "elsewhere"):
        intent = prepared(ledger, service, run)
        service.misbehave("POST", CREATE, DROP._replace(after=True))
        send(client, ledger, run, body_of(intent), print)
    ledger._do("UPDATE intents SET address = 'https://other' WHERE run = 'elsewhere'")
    found = sweep(client, ledger, lambda intent: intent.run != "lives")
    assert [(intent.run, intent.state) for intent in found] == [("left", "bound")]
    assert [intent.run for intent in ledger.open()] == ["lives", "elsewhere"]
    assert len(service.asked("GET", CREATE)) == 1
    assert sweep(client, ledger, lambda _: False) == []
    assert len(service.asked("GET", CREATE)) == 1


# --- cancelling ------------------------------------------------------------------------------


def test_a_job_is_cancelled(client, ledger, service):
    job_id = ask(client, ledger, service).job_id
    assert cancel(client, job_id) == "cancel_requested"
    assert cancel(client, job_id) == "cancel_requested"


def test_a_job_that_ended_first_stays_what_it_was(client, ledger, service):
    job_id = ask(client, ledger, service).job_id
    for _ in range(6):
        client.json("GET", f"/v1/fine-tunes/{job_id}", "x")
    assert cancel(client, job_id) == "completed"


def test_a_cancelling_that_is_lost_is_repeated(client, ledger, service):
    job_id = ask(client, ledger, service).job_id
    service.misbehave("POST", "/cancel", DROP, BUSY)
    assert cancel(client, job_id) == "cancel_requested"


@pytest.mark.parametrize("name", ["../files/file-1", "ft/../..", "", "..", "ft-1?x=1"])
def test_what_is_no_id_is_not_asked_for(client, service, name):
    with pytest.raises(ServiceError, match="is no id of a job"):
        cancel(client, name)
    assert service.requests == []
