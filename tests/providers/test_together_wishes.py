"""What is asked of a job at the service holds until the job has ended, and a job that may cost is
not lost from sight."""

from __future__ import annotations

import pytest

from ftlab.asking import ask
from ftlab.errors import FtlabError, RunError, ServiceError
from ftlab.providers.together import finishing, following
from ftlab.providers.together.downloads import download_adapter
from tests.fakes.together import BUSY, DROP, Fault
from tests.providers.archive_makers import adapter_archive
from tests.providers.hosted import carried_out, details, events, hosted, new_run, texts

CREATE = "/fine-tunes"


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


def asking(patch, run, request, at, dies_at=0):
    """Ask this after so many looks, and let the process die after so many."""
    looks = []

    def wait(*_, **__):
        looks.append(1)
        if len(looks) == at:
            ask(run.request_file, request)
        if len(looks) == dies_at:
            raise KeyboardInterrupt

    patch.setattr(following.Cadence, "wait", wait)


def test_stop_is_known_to_the_next_process(service, tmp_path, monkeypatch):
    service.running = 8.0
    run = new_run(tmp_path)
    with monkeypatch.context() as patch:
        asking(patch, run, "stop", at=8, dies_at=9)
        with pytest.raises(KeyboardInterrupt):
            carried_out(run)
    assert carried_out(run) == 0
    assert (run.status, run.state.detail.split(";")[0]) == ("completed", "stopped")
    assert run.adapter.exists()


def test_stop_before_the_first_checkpoint_says_why_nothing_is_left(service, tmp_path, monkeypatch):
    service.running = 1000.0
    run = new_run(tmp_path)
    with monkeypatch.context() as patch:
        asking(patch, run, "stop", at=4)
        carried_out(run)
    assert run.status == "cancelled"
    assert run.state.detail.startswith("stopped before Together had kept a checkpoint")


def test_stop_outlives_a_download_that_fails(service, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ServiceError("It broke off.", 503)

    service.running = 8.0
    run = new_run(tmp_path)
    with monkeypatch.context() as patch:
        asking(patch, run, "stop", at=8)
        patch.setattr(finishing, "download_adapter", fail)
        carried_out(run)
    assert run.status == "paused"
    assert carried_out(run) == 0
    assert run.status == "completed"


def test_cancel_of_a_job_that_is_looked_for_is_carried_out_once_it_is_found(service, tmp_path):
    service.running = 1000.0
    service.lag = 10_000
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    run = new_run(tmp_path)
    carried_out(run)
    assert run.status == "paused"
    ask(run.request_file, "cancel")
    carried_out(run)
    service.jobs["ft-0000"]["shown_from"] = 0
    carried_out(run)
    assert run.status == "cancelled"
    assert service.jobs["ft-0000"]["cancelled_at"] is not None


@pytest.mark.parametrize("fault", [BUSY, Fault(status=403), Fault(status=422)])
def test_a_cancel_that_fails_blinds_nobody(service, tmp_path, monkeypatch, fault):
    service.misbehave("POST", "/cancel", *[fault] * 1000)
    run = new_run(tmp_path)
    asking(monkeypatch, run, "cancel", at=2)
    assert carried_out(run) == 0
    assert run.status == "completed"
    assert run.history.last_step == 4
    said = [text for text in texts(run) if f"answered {fault.status}" in text]
    assert len(said) == 1
    n = len(service.asked("POST", "/cancel"))
    assert (n > 3) if fault is BUSY else (n == 1)


@pytest.mark.parametrize("n", [1, 20])
def test_a_job_that_is_not_known_yet_is_looked_for(service, tmp_path, n):
    service.misbehave("GET", "/ft-0000", *[Fault(status=404)] * n)
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "completed"
    assert details(run).count("Together does not answer as it should (404)") == 1


def test_a_job_that_is_not_there_is_told(service, tmp_path):
    service.misbehave("GET", "/ft-0000", *[Fault(status=404)] * 1000)
    run = new_run(tmp_path)
    assert carried_out(run) == 1
    assert run.status == "paused"
    assert "404" in run.state.detail


@pytest.mark.parametrize("twisted", [{}, {"id": "ft-9999"}])
def test_what_is_downloaded_is_that_of_the_job_whatever_a_reply_calls_it(
    service, tmp_path, monkeypatch, twisted
):
    def twist(_, reply):
        is_job = "job_id" in reply
        return {**{n: v for n, v in reply.items() if n != "id"}, **twisted} if is_job else reply

    monkeypatch.setattr(finishing, "download_adapter", download_adapter)
    service.artefacts.archives["ft-0000"] = adapter_archive("checkpoint/")
    service.twist = twist
    run = new_run(tmp_path)
    carried_out(run)
    assert run.status == "completed"
    assert {request.query["ft_id"] for request in service.asked("GET", "download")} == {"ft-0000"}


# --- deleting --------------------------------------------------------------------------------


def test_a_run_that_may_have_a_job_is_not_deleted(service, tmp_path):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    service.lag = 10_000
    run = new_run(tmp_path)
    carried_out(run)
    with pytest.raises(RunError, match=r"ftl-\w+ of run .*may go on at together and costs"):
        run.delete()


def test_a_run_whose_job_goes_on_is_not_deleted_until_it_has_ended(service, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise FtlabError("The disk is full; make room.")

    service.misbehave("GET", "/ft-0000", Fault(status=402))
    run = new_run(tmp_path)
    carried_out(run)
    assert run.status == "paused"
    with pytest.raises(RunError, match=r"job ft-0000 .*goes on at together and costs"):
        run.delete()
    monkeypatch.setattr(finishing, "download_adapter", fail)
    carried_out(run)
    assert run.status == "paused"
    assert run.delete() > 0


@pytest.mark.parametrize("fault", [None, Fault(status=402)])
def test_a_run_that_was_never_started_is_deleted(service, tmp_path, monkeypatch, fault):
    if fault:
        service.misbehave("POST", CREATE, fault)
    else:
        service.credit = 0.0
    run = new_run(tmp_path)
    carried_out(run)
    assert [event.status for event in events(run) if event.kind == "status"][-1] == "failed"
    assert run.delete() > 0
