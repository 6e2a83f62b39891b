"""While a job is looked at, and when it has ended: how far it is, and who is still heard."""

from __future__ import annotations

import time

import pytest

from ftlab.origin import going_on
from ftlab.providers.together import finishing, following
from ftlab.providers.together.downloads import download_adapter
from ftlab.providers.together.wire import wait
from ftlab.units import duration
from tests.fakes.together import BUSY
from tests.providers.archive_makers import archive
from tests.providers.hosted import carried_out, details, download, hosted, new_run, texts


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


@pytest.mark.parametrize(("after", "waits"), [("300", 300.0), ("99999", 900.0), ("20", 0.0)])
def test_a_wish_not_to_be_looked_at_is_kept_within_bounds_and_told(
    service, tmp_path, monkeypatch, after, waits
):
    busy = BUSY._replace(status=429, headers=(("Retry-After", after),))
    service.misbehave("GET", "/ft-0000", busy)
    asked = []
    monkeypatch.setattr(
        following.Cadence, "wait", lambda *_, at_least, **__: asked.append(at_least)
    )
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert max(asked) == waits
    told = [text for text in details(run) if "wants to be left alone" in text]
    assert len(told) == bool(waits)
    assert all(f"the next look is in {duration(waits)}" in text for text in told)


def test_a_download_says_how_far_it_is(service, tmp_path, monkeypatch):
    monkeypatch.setattr(finishing, "TELL_EVERY", 0.0)
    monkeypatch.setattr(finishing, "LISTEN_EVERY", 0.01)
    shares, told = [0.25, 0.5, 0.75], []

    def slow(client, job, into, note, **more):
        for share in shares:
            note(share)
            while run.state.detail != f"{finishing.COMES}: {share:.0%}":
                time.sleep(0.01)
            told.append(run.state.detail)
        return download(client, job, into, note, **more)

    monkeypatch.setattr(finishing, "download_adapter", slow)
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert told == [f"{finishing.COMES}: {share:.0%}" for share in shares]


def test_a_download_is_given_up_when_somebody_cancels(service, tmp_path, monkeypatch):
    monkeypatch.setattr(finishing, "LISTEN_EVERY", 0.01)

    def endless(client, *_, **__):
        run.cancel()
        while True:
            wait(client._stop, 0.01)

    monkeypatch.setattr(finishing, "download_adapter", endless)
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "cancelled"
    assert "its download was given up" in run.state.detail
    assert service.jobs["ft-0000"]["cancelled_at"] is None


def test_what_a_service_sends_is_kept_as_what_it_is(service, tmp_path, monkeypatch):
    model = {"config.json": b"{}", "model.safetensors": b"weights"}
    service.artefacts.archives["ft-0000"] = archive(model)
    monkeypatch.setattr(finishing, "download_adapter", download_adapter)
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "completed"
    assert (run.adapter, run.is_whole_model) == (run.path / "model", True)
    assert run.history.checkpoints[-1].ref == "model"
    assert "a whole model and no adapter" in " ".join(texts(run))
    assert going_on(run, "sft") == {
        "model": str(run.adapter),
        "lora": False,
        "training_method": "sft",
    }
