"""Files that go up in parts: all of them, or nothing that stays."""

from __future__ import annotations

import hashlib
import random
from threading import Event

import pytest
from IPython.core.ultratb import VerboseTB

from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together import files, multipart
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.files import upload
from ftlab.providers.together.multipart import parts_of
from tests.fakes.together import BUSY, DROP, HANG, Fault, Service

GIB, MIB = 2**30, 2**20
COMPLETE, ABORT = "/multipart/complete", "/multipart/abort"


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    monkeypatch.setattr(files, "IN_PARTS_ABOVE", 1000)
    monkeypatch.setattr(multipart, "PART", 20_000)
    monkeypatch.setattr(multipart, "LEAST_PART", 100)
    with Service(key="k") as service:
        yield service


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    text = "".join(random.Random(0).choices("abcdefgh ", k=150))
    file.write_text("".join(f'{{"text": "{n} {text}"}}\n' for n in range(1000)))
    return file


def uploaded(service, file, told=lambda _: None, **more):
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    with Client(secret("k"), service.address, **more) as client:
        return upload(client, file, checksum, told)


@pytest.mark.parametrize(
    ("size", "n_parts", "each"),
    [
        (1, 1, 1),
        (250 * MIB, 1, 250 * MIB),
        (250 * MIB + 1, 2, 125 * MIB + 1),
        (5_379_446_538, 21, 256_164_121),  # 5.01 GiB; what the official SDK makes of it
        (50 * GIB, 205, 261_888_250),
        (100 * GIB, 250, 429_496_730),
    ],
)
def test_a_file_is_cut_as_the_official_sdk_cuts_it(size, n_parts, each):
    assert parts_of(size) == (n_parts, each)


def test_a_large_file_arrives_in_its_parts(service, rows):
    told = []
    file_id = uploaded(service, rows, told.append)
    assert service.contents == {file_id: rows.read_bytes()}
    assert service.artefacts.completed == [file_id]
    n_parts = parts_of(rows.stat().st_size)[0]
    assert len(service.asked("PUT")) == n_parts == 9
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert service.artefacts.aborted == []
    assert service.asked("POST", "/preprocess") == []


def test_no_part_is_told_the_key(service, rows):
    service.artefacts.part_headers = {"x-amz-meta-of": "mine"}  # signed, so each must have it
    uploaded(service, rows)
    for request in service.asked("PUT"):
        assert "Authorization" not in request.headers
        assert request.headers["x-amz-meta-of"] == "mine"


def test_a_large_file_that_is_there_is_not_sent_again(service, rows):
    assert uploaded(service, rows) == uploaded(service, rows)
    assert len(service.asked("PUT")) == 9
    assert len(service.artefacts.completed) == 1


def test_a_smaller_file_goes_up_in_one_piece(service, tmp_path):
    small = tmp_path / "small.jsonl"
    small.write_text('{"text": "a"}\n' * 10)
    uploaded(service, small)
    assert len(service.asked("PUT")) == 1
    assert service.asked("POST", "/multipart/initiate") == []


@pytest.mark.parametrize("seed", range(20))
def test_parts_that_are_lost_are_sent_again(service, rows, seed):
    draw = random.Random(seed)
    lost = {part: draw.randrange(3) for part in range(1, 10)}
    for part, n_times in lost.items():
        faults = draw.choices([BUSY, DROP, Fault(status=500), Fault(status=429)], k=n_times)
        service.misbehave("PUT", f"/{part}", *faults)
    file_id = uploaded(service, rows)
    assert service.contents[file_id] == rows.read_bytes()
    assert {n: len(service.asked("PUT", f"/{n}")) - 1 for n in lost} == lost


def test_progress_does_not_go_back_when_a_part_is_sent_again(service, rows, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    service.misbehave("PUT", "/3", DROP, DROP)
    told = []
    uploaded(service, rows, told.append)
    assert told == sorted(set(told))
    assert told[-1] == 1.0


def dropped(service):
    """Whether the service was told to drop the parts, and keeps none."""
    return len(service.artefacts.aborted) == 1 and not service.artefacts.uploads


def test_a_part_that_is_refused_ends_the_upload(service, rows):
    service.misbehave("PUT", "/5", Fault(status=403, body=b"signature=s3cret is over"))
    with pytest.raises(ServiceError, match=r"storage refused it \(403\)") as caught:
        uploaded(service, rows)
    assert "s3cret" not in str(caught.value)
    assert dropped(service)
    assert not service.contents


@pytest.mark.parametrize("ending", ["/5", COMPLETE, "/initiate"])
def test_no_signature_is_in_a_traceback(service, rows, ending):
    service.artefacts.part_headers = {"x-signed": "s3cret"}
    body = b'{"upload_id": "u", "file_id": "f", "parts": [{"URL": "https://x/?s=s3cret"}]}'
    status = 200 if ending == "/initiate" else 403
    service.misbehave("PUT" if ending == "/5" else "POST", ending, Fault(status=status, body=body))
    with pytest.raises(ServiceError) as caught:
        uploaded(service, rows)
    shown = VerboseTB().text(caught.type, caught.value, caught.tb.tb_next)
    assert "multipart.py" in shown
    assert "s3cret" not in shown


def test_a_part_without_a_tag_is_not_taken_for_stored(service, rows):
    service.artefacts.has_tags = False
    with pytest.raises(ServiceError, match="named no tag for part"):
        uploaded(service, rows)
    assert dropped(service)


def test_a_part_that_never_arrives_ends_the_upload(service, rows):
    service.misbehave("PUT", "/2", *[DROP] * 9)
    with pytest.raises(ServiceError, match="connection failed"):
        uploaded(service, rows)
    assert len(service.asked("PUT", "/2")) == 3
    assert dropped(service)


@pytest.mark.parametrize("status", [400, 404])
def test_a_whole_that_is_refused_is_dropped(service, rows, status):
    service.misbehave("POST", COMPLETE, Fault(status=status, body=b'{"message": "no"}'))
    with pytest.raises(ServiceError, match=f"{status} when rows.jsonl was uploaded"):
        uploaded(service, rows)
    assert dropped(service)


def test_that_all_is_there_is_said_again_when_it_was_not_heard(service, rows):
    service.misbehave("POST", COMPLETE, BUSY, DROP)
    assert uploaded(service, rows) in service.contents


def test_a_service_that_does_not_drop_it_changes_nothing_about_the_error(service, rows):
    service.misbehave("PUT", "/5", Fault(status=403))
    service.misbehave("POST", ABORT, DROP)
    with pytest.raises(ServiceError, match="403"):
        uploaded(service, rows)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"upload_id": "u", "file_id": "file-1", "parts": []}',
        b'{"upload_id": "u", "file_id": "file-1", "parts": null}',
        b'{"upload_id": "u", "file_id": "../x", "parts": []}',
        b'{"upload_id": "u", "file_id": "file-1", "parts": [{"PartNumber": 1, "URL": 5}, 7]}',
        b'{"file_id": "file-1", "parts": [{"part_number": 1, "URL": "https://x.example"}]}',
    ],
)
def test_a_reply_without_places_is_told(service, rows, body):
    service.misbehave("POST", "/initiate", Fault(status=200, body=body))
    with pytest.raises(ServiceError, match="ask again later"):
        uploaded(service, rows)
    assert service.asked("PUT") == []


def test_parts_go_over_https_only(service, rows):
    place = '{"PartNumber": %d, "URL": "http://store.example/a?signature=s3cret"}'
    parts = ", ".join(place % n for n in range(1, 10))
    body = f'{{"upload_id": "u", "file_id": "file-1", "parts": [{parts}]}}'.encode()
    service.misbehave("POST", "/initiate", Fault(status=200, body=body))
    with pytest.raises(ServiceError, match="https only") as caught:
        uploaded(service, rows)
    assert "s3cret" not in str(caught.value)


def test_cancelling_drops_the_parts_at_once(service, rows, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    stop = Event()
    service.misbehave("PUT", "/1", HANG)
    with pytest.raises(Cancelled):
        uploaded(service, rows, lambda share: share > 0.3 and stop.set(), stop=stop)
    assert service.artefacts.aborted == ["up-file-0000"]
    assert not service.contents


def test_a_file_that_becomes_shorter_meanwhile_is_told(service, rows, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)

    def shorten(share):
        if share > 0.2:
            with rows.open("r+b") as file:
                file.truncate(100)

    with pytest.raises(FtlabError, match="became shorter"):
        uploaded(service, rows, shorten)
    assert dropped(service)


def test_no_more_than_four_parts_go_at_once(service, rows, monkeypatch):
    going, most = [], []

    def put(storage, url, content, *more):
        going.append(url)
        most.append(len(going))
        try:
            return original(storage, url, content, *more)
        finally:
            going.remove(url)

    original = type(Client(secret("k"), service.address).storage).put
    monkeypatch.setattr("ftlab.providers.together.storage.Storage.put", put)
    uploaded(service, rows)
    assert 2 <= max(most) <= multipart.AT_ONCE == 4
