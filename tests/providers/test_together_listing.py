"""What an account has at the service, as it is listed, shown, fetched and deleted."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest

import ftlab
from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.listing import HostedFile, HostedJob, hosted_files, hosted_jobs
from tests.fakes.together import BUSY, DROP, Fault, Service
from tests.fakes.together_artefacts import add_job_as
from tests.providers.archive_makers import ADAPTER, adapter_archive

KEY = "tgp_v1_canary-0123456789"
JOBS = "/v1/fine-tunes"


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key=KEY) as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        yield service


def add_job(service, status="completed", **more):
    return add_job_as(service, status, **more)


def add_file(service, name="rows.jsonl", content=b"rows"):
    file_id = service.add_file(name)
    service.take_content(file_id, content)
    return file_id


def client(service):
    return Client(secret(KEY), service.address)


def listed(service, entries, path=JOBS):
    """How a client lists these entries of a reply."""
    body = json.dumps({"data": entries}).encode()
    service.misbehave("GET", path, Fault(status=200, body=body))
    with client(service) as ours:
        return hosted_jobs(ours) if path == JOBS else hosted_files(ours)


def test_jobs_are_listed_with_state_cost_and_age(service):
    now = time.time()
    made = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(now - 7200))
    (job,) = listed(
        service,
        [
            {
                "id": "ft-1",
                "status": "COMPLETED",
                "model": "Qwen/Qwen3-8B",
                "model_output_name": "me/mine",
                "suffix": "mine",
                "total_price": 3_120_000_000,
                "created_at": made,
                "training_file": "file-1",
                "validation_file": "",
                "new": {"unknown": [None]},
            }
        ],
    )
    assert job.created_at == pytest.approx(now - 7200, abs=3)
    assert job._replace(created_at=None) == HostedJob(
        "ft-1", "completed", "Qwen/Qwen3-8B", "me/mine", 3.12, None, ("file-1",), "mine"
    )
    assert job.cells() == ("ft-1", "completed", "Qwen/Qwen3-8B", "me/mine", "$3.12", "2.0 h")


@pytest.mark.parametrize(
    ("amount", "dollars"),
    [
        (3_120_000_000, 3.12),  # as the official SDK reads it
        (1_500_000, 0.0015),
        (12.5, 12.5),
        (0, None),
        (None, None),
        (True, None),
        ("4", None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_price_is_in_nano_dollars_unless_it_can_be_none(service, amount, dollars):
    (job,) = listed(service, [{"id": "ft-1", "total_price": amount}])
    assert job.price == (None if dollars is None else pytest.approx(dollars))


@pytest.mark.parametrize("value", [None, "", "yesterday", "2026-99-99", -1, 1e300, [], True])
def test_a_time_that_is_none_is_unknown(service, value):
    (job,) = listed(service, [{"id": "ft-1", "created_at": value}])
    assert job.created_at is None
    assert job.cells()[-1] == ""


def test_ages_are_those_of_the_services_clock(service, monkeypatch):
    theirs = time.time() + 5 * 3600  # this machine's clock is five hours late
    date = formatdate(theirs, usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: date)
    entry = {"id": "file-1", "created_at": int(theirs - 90), "bytes": 5}
    (file,) = listed(service, [entry], "/v1/files")
    assert file.created_at == pytest.approx(time.time() - 90, abs=3)


def test_what_is_odd_in_a_list_is_shown_or_left(service):
    entries = [
        None,
        "ft-0",
        {"id": 5},
        {"id": "ft-1", "status": None, "model": ["x"]},
        {"id": "ft-2", "status": "Defragmenting\x1b[31m", "created_at": 5},
        {"id": "ft-1", "status": "running"},
    ]
    found = listed(service, entries)
    assert [(job.id, job.status) for job in found] == [
        ("ft-2", "defragmenting[31m"),
        ("ft-1", "running"),
    ]
    assert not any(job.has_ended for job in found)


@pytest.mark.parametrize("body", [b"{}", b'{"data": null}', b'{"data": {}}'])
def test_no_list_is_an_empty_one(service, body):
    service.misbehave("GET", JOBS, Fault(status=200, body=body))
    with client(service) as ours:
        assert hosted_jobs(ours) == []


def test_an_account_of_thousands_of_jobs_is_listed(service):
    filler = "x" * 1000
    entries = [{"id": f"ft-{n}", "created_at": n + 1, "new": filler} for n in range(5000)]
    found = listed(service, entries)
    assert len(found) == 5000
    assert found[0].id == "ft-4999"


def test_files_are_listed_with_their_size_and_state(service):
    add_file(service, content=b"x" * 1500)
    with client(service) as ours:
        (file,) = hosted_files(ours)
    assert file[:4] == ("file-0000", "rows.jsonl", "pending", 1500)
    assert file == HostedFile(*file)


# --- account() -------------------------------------------------------------------------------


def test_the_account_shows_its_jobs_and_files(service):
    add_job(service, "running", suffix="<script>alert(1)</script>")
    add_file(service)
    here = ftlab.account()
    assert repr(here).startswith("1 job and 1 file at Together\nft-0000  running  Qwen/Qwen3-8B")
    page = here._repr_html_()
    assert "<script>" not in page
    assert "file-0000" in page
    assert KEY not in repr(here) + page + repr(vars(here))


def test_an_empty_account_says_so(service):
    here = ftlab.account()
    assert repr(here) == "0 jobs and 0 files at Together"
    assert "No job at Together" in here._repr_html_()


def test_the_wrong_key_is_told(service):
    with pytest.raises(ServiceError, match="401 when the jobs were listed"):
        ftlab.account(key="another")


def test_deleting_says_what_is_lost_and_asks_first(service):
    job, file = add_job(service), add_file(service)
    here = ftlab.account()
    with pytest.raises(FtlabError, match="can't be undone") as caught:
        here.delete(job, file)
    assert "1 job with what it tuned and 1 file would be deleted" in str(caught.value)
    assert "for_good=True" in str(caught.value)
    assert service.asked("DELETE") == []
    here.delete(job, file, for_good=True)
    assert (service.jobs, service.files) == ({}, {})
    assert (here.jobs, here.files) == ([], [])


@pytest.mark.parametrize("status", ["running", "pending", "cancel_requested", "defragmenting"])
def test_what_has_not_ended_is_not_deleted(service, status):
    file = add_file(service)
    job = add_job(service, status, training_file=file)
    here = ftlab.account()
    with pytest.raises(FtlabError, match=f"{job} is {status}; only what has ended"):
        here.delete(job, for_good=True)
    with pytest.raises(FtlabError, match=f"{job} still uses {file}"):
        here.delete(file, for_good=True)
    assert service.asked("DELETE") == []


def test_whether_a_job_has_ended_is_asked_anew(service):
    job = add_job(service)
    here = ftlab.account()
    service.ends_as = "running"  # somebody restarted it
    with pytest.raises(FtlabError, match="only what has ended"):
        here.delete(job, for_good=True)


@pytest.mark.parametrize("one", ["ft-9", "file-9", "", "../files"])
def test_only_what_is_there_can_be_asked_for(service, one):
    here = ftlab.account()
    for deed in (here.download, here.cancel, here.adopt):
        with pytest.raises(FtlabError, match="The account has no"):
            deed(one)
    with pytest.raises(FtlabError, match="The account has no"):
        here.delete(one, for_good=True)
    assert {request.method for request in service.requests} == {"GET"}


@pytest.mark.parametrize("fault", [BUSY, DROP])
def test_a_deletion_that_was_lost_on_the_way_is_asked_again(service, fault):
    job = add_job(service)
    service.misbehave("DELETE", job, fault)
    ftlab.account().delete(job, for_good=True)
    assert service.jobs == {}


def test_a_deletion_whose_answer_was_lost_is_no_error(service):
    job = add_job(service)
    here = ftlab.account()
    service.misbehave("DELETE", job, Fault(status=404, body=b'{"message": "no such job"}'))
    here.delete(job, for_good=True)


def test_a_file_that_the_service_keeps_is_told(service):
    file = add_file(service)
    body = json.dumps({"id": file, "deleted": False}).encode()
    service.misbehave("DELETE", file, Fault(status=200, body=body))
    with pytest.raises(ServiceError, match="did not delete file-0000"):
        ftlab.account().delete(file, for_good=True)


def test_what_a_job_tuned_is_downloaded(service, tmp_path, monkeypatch):
    job = add_job(service, training_type={"type": "Lora"})
    service.artefacts.archives[job] = adapter_archive()
    service.artefacts.archives[f"{job}:5"] = adapter_archive()
    monkeypatch.chdir(tmp_path)
    here = ftlab.account()
    assert {file.name for file in here.download(job).iterdir()} == set(ADAPTER)
    assert here.download(job, tmp_path / "fifth", step=5) == tmp_path / "fifth"
    assert {place.name for place in tmp_path.iterdir()} == {job, "fifth"}
    with pytest.raises(FtlabError, match="is there already"):
        here.download(job)


def test_the_content_of_a_file_is_downloaded(service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_file(service, "../../rows.jsonl", b'{"text": "a"}\n')
    here = ftlab.account()
    place = here.download("file-0000")
    assert place.name == "file-0000.jsonl"
    assert place.read_bytes() == b'{"text": "a"}\n'
    with pytest.raises(FtlabError, match="is there already"):
        here.download("file-0000")


def test_an_id_of_the_service_is_no_path(service, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    file_id = add_file(service)
    service.files["../evil"] = {**service.files[file_id], "id": "../evil"}
    with pytest.raises(FtlabError, match="can't name a folder"):
        ftlab.account().download("../evil")
    assert not list(tmp_path.glob("evil*"))


def test_a_job_is_cancelled(service):
    job = add_job(service, "running")
    here = ftlab.account()
    assert here.cancel(job) == "cancel_requested"
    here.refresh()
    assert here.jobs[0].status == "cancel_requested"


def test_adopting_follows_with_the_accounts_key_and_address(service, monkeypatch):
    job, heard = add_job(service, "running"), []
    monkeypatch.setattr(
        "ftlab.providers.together.adopting.adopt",
        lambda *given, **more: heard.append((*given, more)) or "a run",
    )
    here = ftlab.account(KEY, f"{service.address}/v1")
    assert here.adopt(job, "runs") == "a run"
    ((given, more),) = heard
    assert given == job
    assert more.pop("key").get_secret_value() == KEY
    assert more == {"folder": "runs", "base_url": f"{service.address}/v1"}
