"""Requests to a service that misbehaves: what is repeated, what is told, what is never shown."""

from __future__ import annotations

import email.utils
import gzip
import json
import logging
import time
from threading import Event, Timer

import pytest
from IPython.core.ultratb import VerboseTB

from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import TIMEOUT, TRIES, Cancelled, Client
from ftlab.providers.together.wire import CERTIFICATES, PROXIES
from tests.fakes.together import BUSY, DRIP, DRIP_HEADERS, DROP, HANG, Fault, Service

KEY = "tgp_v1_canary-0123456789"
FILES = "/v1/files"


@pytest.fixture
def service():
    with Service(key=KEY) as service:
        yield service


def client(service, **more):
    return Client(secret(KEY), service.address, **more)


def look(client):
    return client.json("GET", FILES, "files were listed")


def test_the_key_and_the_name_of_the_program_go_along(service):
    with client(service) as ours:
        assert look(ours) == {"data": []}
    (request,) = service.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["User-Agent"].startswith("ftlab/")


@pytest.mark.parametrize("fault", [BUSY, DROP, Fault(status=429), Fault(status=500)])
def test_what_passes_is_asked_again(service, waits, fault):
    service.misbehave("GET", FILES, fault, fault)
    told = []
    with client(service, told=told.append) as ours:
        assert look(ours) == {"data": []}
    assert len(service.requests) == TRIES == 3
    assert [0.375 <= waits[0] <= 0.5, 0.75 <= waits[1] <= 1.0] == [True, True]
    assert len(told) == 2
    assert "asking again" in told[0]


def test_a_service_that_stays_busy_is_told_as_such(service, waits):
    service.misbehave("GET", FILES, *[BUSY] * 9)
    with client(service) as ours, pytest.raises(ServiceError) as caught:
        look(ours)
    assert len(service.requests) == TRIES
    assert caught.value.status == 503
    assert "503 when files were listed (“come back later”)" in str(caught.value)
    assert "ask again in a few minutes" in str(caught.value)


def after(value):
    return Fault(status=429, headers=(("Retry-After", value),))


def test_the_service_says_how_long_to_wait(service, waits):
    in_half_a_minute = email.utils.formatdate(time.time() + 30, usegmt=True)
    service.misbehave("GET", FILES, after("7"), after(in_half_a_minute))
    with client(service) as ours:
        look(ours)
    assert waits[0] == 7
    assert 25 < waits[1] <= 30


def test_longer_than_a_minute_is_not_waited(service, waits):
    service.misbehave("GET", FILES, after("3600"))
    with client(service) as ours, pytest.raises(ServiceError, match="429"):
        look(ours)
    assert waits == []


def test_a_service_that_forbids_repeating_is_heard(service, waits):
    service.misbehave("GET", FILES, Fault(status=503, headers=(("x-should-retry", "false"),)))
    with client(service) as ours, pytest.raises(ServiceError, match="503"):
        look(ours)
    assert len(service.requests) == 1


@pytest.mark.parametrize("fault", [BUSY, DROP, Fault(status=500), Fault(status=408)])
def test_what_may_have_been_done_is_not_repeated(service, waits, fault):
    service.misbehave("POST", FILES, fault)
    with client(service) as ours, pytest.raises(ServiceError):
        ours.request("POST", FILES, "a file was announced", once=True)
    assert len(service.requests) == 1


def test_what_was_certainly_not_done_is_repeated(service, waits):
    service.misbehave("POST", "/preprocess", after("1"))
    file_id = service.add_file("a.jsonl")
    with client(service) as ours:
        ours.request("POST", f"{FILES}/{file_id}/preprocess", "it was sent", once=True)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": {"message": "Invalid API key"}}', "Invalid API key”); it answers to a v"),
        (402, b'{"message": "no credit"}', "(“no credit”); the account must have credit"),
        (403, b'{"error": "not yours"}', "(“not yours”); the account must be allowed"),
        (404, b'{"detail": [1]}', "[1]}”); it answers for what it has"),
        (418, b"a teapot\n  and   more", "(“a teapot and more”)"),
        (400, b"", "400 when files were listed; it takes"),
        (400, b"x" * 5000, "xxx…”)"),
        (400, b"\xff\xfe", "400"),
        (400, b'{"error":' * 5000, "400"),
        (400, b"[]", "(“[]”)"),
    ],
)
def test_refusals_are_told_in_the_services_words(service, status, body, said):
    service.misbehave("GET", FILES, Fault(status=status, body=body, headers=()))
    with client(service) as ours, pytest.raises(ServiceError) as caught:
        look(ours)
    assert caught.value.status == status
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<!doctype html><html><body>sign in</body></html>", "a web page"),
        (b"", "can't be understood; a JSON object"),
        (b"[1, 2]", "[1, 2]"),
        (b'{"a": ', "can't be understood"),
    ],
)
def test_a_success_that_is_no_object_is_told(service, body, said):
    service.misbehave("GET", FILES, Fault(status=200, body=body))
    with client(service) as ours, pytest.raises(ServiceError, match="JSON object") as caught:
        look(ours)
    assert said in str(caught.value)


def test_a_redirect_takes_the_key_nowhere(service):
    with Service() as elsewhere:
        to = (("Location", f"{elsewhere.address}/v1/files?s=s3cret"),)
        service.misbehave("GET", FILES, Fault(status=307, headers=to))
        with client(service) as ours, pytest.raises(ServiceError, match="nowhere else") as caught:
            look(ours)
    assert elsewhere.requests == []
    assert "s3cret" not in str(caught.value)


def test_no_answer_in_time_is_told(service, waits, monkeypatch):
    monkeypatch.setattr("ftlab.providers.together.client.TIMEOUT", 0.05)
    service.misbehave("GET", FILES, *[HANG] * TRIES)
    with client(service) as ours, pytest.raises(ServiceError, match="no answer in time"):
        look(ours)
    assert len(service.requests) == TRIES


def test_a_client_waits_as_long_as_the_official_one():
    assert (TIMEOUT.read, TIMEOUT.connect) == (60, 5)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_a_wait_that_is_no_number_of_seconds_is_as_if_none_was_given(service, waits, value):
    service.misbehave("GET", FILES, after(value))
    with client(service) as ours:
        look(ours)
    assert 0.375 <= waits[0] <= 0.5


def test_nobody_at_the_address_is_told(waits):
    with Service() as gone:
        pass
    with client(gone) as ours, pytest.raises(ServiceError, match="ConnectError") as caught:
        look(ours)
    assert gone.address in str(caught.value)


def test_cancelling_ends_a_wait(service):
    stop = Event()
    service.misbehave("GET", FILES, after("50"))
    Timer(0.05, stop.set).start()
    with client(service, stop=stop) as ours, pytest.raises(Cancelled):
        look(ours)


@pytest.mark.parametrize("fault", [HANG, DRIP])
def test_cancelling_does_not_wait_for_a_service_that_says_nothing_or_little(service, fault):
    stop = Event()
    service.misbehave("GET", FILES, fault)
    Timer(0.05, stop.set).start()
    with client(service, stop=stop) as ours, pytest.raises(Cancelled):
        look(ours)


@pytest.mark.parametrize("fault", [DRIP, DRIP_HEADERS])
def test_a_reply_that_does_not_end_is_left(service, waits, monkeypatch, fault):
    monkeypatch.setattr("ftlab.providers.together.client.LONGEST_REPLY", 0.2)
    service.misbehave("GET", FILES, *[fault] * TRIES)
    with client(service) as ours, pytest.raises(ServiceError, match="no answer in time"):
        look(ours)


def test_no_more_of_a_reply_is_kept_than_is_of_use(service, monkeypatch):
    monkeypatch.setattr("ftlab.providers.together.wire.LARGEST_REPLY", 100_000)
    service.misbehave("GET", FILES, Fault(status=200, body=b'{"a": "' + b"x" * 10**7 + b'"}'))
    with client(service) as ours:
        reply = ours.request("GET", FILES, "files were listed")
        assert 100_000 < len(reply.content) < 1_000_000


def test_a_packed_reply_is_read(service):
    body = gzip.compress(b'{"data": [1]}')
    headers = (("Content-Encoding", "gzip"),)
    service.misbehave("GET", FILES, Fault(status=200, body=body, headers=headers))
    with client(service) as ours:
        assert look(ours) == {"data": [1]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://me:s3cret@127.0.0.1:1"),
        ("HTTPS_PROXY", "foo://me:s3cret@127.0.0.1:1"),
        ("SSL_CERT_FILE", "/nonexistent/s3cret"),
    ],
)
def test_a_proxy_or_certificates_of_no_use_are_named_without_their_value(monkeypatch, name, value):
    for other in (*PROXIES, *CERTIFICATES):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(FtlabError, match=f"{name} in the environment is of no use") as caught:
        Client(secret(KEY), "https://api.example")
    assert "s3cret" not in str(caught.value)
    assert "it takes a" in str(caught.value)


# --- secrets ---------------------------------------------------------------------------------

FAULTS = {
    "refused": Fault(status=401, body=f'{{"message": "bad key {KEY}"}}'.encode()),
    "echoed": Fault(status=400, body=f"Authorization: Bearer {KEY}".encode()),
    "unreadable": Fault(status=200, body=KEY.encode()),
    "dropped": DROP,
    "signed": Fault(status=400, body=b"see https://store.example/a?signature=s3cret now"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_key_is_in_an_error_or_its_fullest_traceback(service, waits, fault):
    service.misbehave("GET", FILES, *[fault] * TRIES)
    with client(service) as ours, pytest.raises(ServiceError) as caught:
        look(ours)
    within = caught.tb.tb_next.tb_next  # without the lines of this test, which name them
    shown = VerboseTB().text(caught.type, caught.value, within)
    assert "client.py" in shown
    for secret_text in (KEY, "s3cret"):
        assert secret_text not in str(caught.value)
        assert secret_text not in shown
    assert caught.value.__context__ is None


def test_no_key_and_no_signature_is_in_the_logs_or_a_repr(service, caplog):
    caplog.set_level(logging.DEBUG)
    with client(service) as ours:
        look(ours)
        ours.storage.put(
            secret("/storage/x?signature=s3cret"), lambda: iter([b"ab"]), 2, "x was sent"
        )
        shown = caplog.text + repr(vars(ours)) + repr(vars(ours._service)) + repr(ours)
    assert KEY not in shown
    assert "s3cret" not in shown
    assert "storage" not in caplog.text


def test_what_goes_to_this_machine_goes_through_no_proxy(service, monkeypatch):
    with Service() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.setenv("NO_PROXY", "")
        with client(service) as ours:
            assert look(ours) == {"data": []}
            ours.storage.put(
                secret("/storage/x?signature=s3cret"), lambda: iter([b"a"]), 1, "x was sent"
            )
        assert proxy.requests == []


def test_what_the_service_says_can_steer_no_terminal(service):
    said = "red \x1b[31m tgp_v1\u200b_canary-0123456789 \u202eback\nline"
    service.misbehave("GET", FILES, Fault(status=400, body=json.dumps({"message": said}).encode()))
    with client(service) as ours, pytest.raises(ServiceError) as caught:
        look(ours)
    assert str(caught.value).isprintable()
    assert "canary" not in str(caught.value)
    assert "back line" in str(caught.value)


def test_a_storages_signed_address_is_in_no_traceback(service):
    service.misbehave("PUT", "/x", Fault(status=403, body=b"signature=s3cret is over"))
    to = secret(f"{service.address}/storage/x?signature=s3cret")
    with (
        client(service) as ours,
        pytest.raises(ServiceError, match="storage refused") as caught,
    ):
        ours.storage.put(to, lambda: iter([b"a"]), 1, "x was sent")
    shown = VerboseTB().text(caught.type, caught.value, caught.tb.tb_next)
    assert "storage.py" in shown
    assert "s3cret" not in shown + str(caught.value)


def test_an_interrupt_shows_neither_the_key_nor_a_signed_address(service, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ftlab.providers.together.wire.waited_for", interrupt)
    to = secret(f"{service.address}/storage/x?signature=s3cret")
    with client(service) as ours, pytest.raises(KeyboardInterrupt) as caught:
        ours.storage.put(to, lambda: iter([b"a"]), 1, "x was sent")
    shown = VerboseTB().text(caught.type, caught.value, caught.tb.tb_next)
    assert "storage.py" in shown
    assert "s3cret" not in shown
    assert KEY not in shown
    with pytest.raises(Cancelled):
        ours.pause(0)  # nothing goes on by itself


def test_other_peoples_requests_stay_in_the_logs(service, caplog):
    import httpx

    caplog.set_level(logging.INFO)
    with client(service) as ours:
        look(ours)
    httpx.get(f"{service.address}/theirs")
    assert [r.getMessage() for r in caplog.records if "theirs" in r.getMessage()]
    assert not [r for r in caplog.records if FILES in r.getMessage()]


# --- storage ---------------------------------------------------------------------------------


def test_the_storage_gets_the_bytes_and_no_key(service):
    with client(service) as ours:
        ours.storage.put(secret("/storage/file-9"), lambda: iter([b"a", b"b"]), 2, "x was sent")
    (request,) = service.requests
    assert (request.method, request.body) == ("PUT", b"ab")
    assert "Authorization" not in request.headers
    assert request.headers["Content-Length"] == "2"


def test_a_redirect_of_the_storage_gets_the_whole_content_again(service):
    with Service() as elsewhere:
        to = (("Location", f"{elsewhere.address}/storage/file-1"),)
        service.misbehave("PUT", "/a", Fault(status=307, headers=to))
        with client(service) as ours:
            ours.storage.put(secret("/storage/a"), lambda: iter([b"whole"]), 5, "x was sent")
        assert elsewhere.contents == {"file-1": b"whole"}


def test_a_storage_that_goes_in_circles_is_left(service):
    to = (("Location", "/storage/a"),)
    service.misbehave("PUT", "/a", *[Fault(status=307, headers=to)] * 20)
    with client(service) as ours, pytest.raises(ServiceError, match="307"):
        ours.storage.put(secret("/storage/a"), lambda: iter([b"a"]), 1, "x was sent")
    assert len(service.requests) < 10


@pytest.mark.parametrize("where", ["http://store.example/a", "ftp://127.0.0.1/a", "https://[::1"])
def test_data_goes_over_https_only(service, where):
    with client(service) as ours, pytest.raises(ServiceError, match="https only"):
        ours.storage.put(secret(where), lambda: iter([b"a"]), 1, "x was sent")


def test_a_service_on_the_net_names_no_storage_on_this_machine():
    far = Client(secret(KEY), "https://api.example")
    with far, pytest.raises(ServiceError, match="https only"):
        far.storage.put(secret("http://127.0.0.1:1/a"), lambda: iter([b"a"]), 1, "x was sent")
