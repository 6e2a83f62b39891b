"""A job that was started elsewhere becomes a run, and no second job."""

from __future__ import annotations

import pytest

from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together.adopting import adopt
from ftlab.providers.together.ledger import Ledger
from ftlab.runs import Run, Runs
from tests.providers.hosted import KEY, carried_out, hosted

BODY = {
    "model": "Qwen/Qwen3-8B",
    "training_file": "file-abc",
    "n_epochs": 5,
    "batch_size": 8,
    "learning_rate": 1e-4,
    "training_method": {"method": "sft", "train_on_inputs": "auto"},
    "training_type": {"type": "Lora", "lora_r": 4, "lora_alpha": 8},
    "brand_new": {"deep": 1},
    "suffix": "theirs",
}


@pytest.fixture
def service(monkeypatch):
    """One with a job of somebody else; no process is started."""
    monkeypatch.setattr(Run, "start", lambda run, key: started.append((run.id, key)))
    started = []
    with hosted(monkeypatch) as service:
        from tests.fakes.together_jobs import add_job

        add_job(service, dict(BODY))
        service.started = started
        yield service


def test_a_job_becomes_a_run_with_its_settings_and_curves(service, tmp_path):
    run = adopt("ft-0000", tmp_path)
    spec = run.job.spec
    assert (spec.model, spec.training_file, spec.n_epochs) == ("Qwen/Qwen3-8B", "file-abc", 5)
    assert (spec.lora_r, spec.batch_size, spec.learning_rate) == (4, 8, 1e-4)
    assert run.job.created_at.isoformat() == "2026-11-21T10:00:00+00:00"
    assert [run_id for run_id, _ in service.started] == [run.id]
    assert carried_out(run) == 0
    assert (run.status, run.job_id) == ("completed", "ft-0000")
    assert run.metrics()["train_loss"].tolist() == [2.0, 1.0, 2 / 3, 0.5]
    assert len(service.bodies) == 1  # theirs


def test_a_job_is_adopted_once(service, tmp_path):
    run = adopt("ft-0000", tmp_path)
    carried_out(run)
    assert adopt("ft-0000", tmp_path).id == run.id
    assert len(service.started) == 1
    run.delete()
    assert adopt("ft-0000", tmp_path).id != run.id
    assert len(list(Runs(tmp_path))) == 1


def test_a_run_that_nobody_follows_is_followed_again(service, tmp_path):
    run = adopt("ft-0000", tmp_path)
    run.say("running")
    adopt("ft-0000", tmp_path)
    assert [run_id for run_id, _ in service.started] == [run.id, run.id]


def test_what_the_account_does_not_have_is_told(service, tmp_path):
    with pytest.raises(ServiceError, match="404 when ft-9 was looked up"):
        adopt("ft-9", tmp_path)
    with pytest.raises(ServiceError, match="is no id of a job"):
        adopt("../files", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_made_and_not_noted_starts_nothing(service, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "note_hosted", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        adopt("ft-0000", tmp_path)
    monkeypatch.undo()
    (run,) = Runs(tmp_path)
    monkeypatch.setattr("ftlab.providers.together.files.PAUSES", (0.0,))
    service.files["file-abc"] = {"id": "file-abc", "processing_status": "COMPLETED", "looks": 9}
    service.files["file-abc"] |= {"is_told": True, "checksum": ""}
    assert carried_out(run) == 1
    assert "nothing was agreed to" in run.state.detail
    assert len(service.bodies) == 1


def test_it_takes_a_key(service, tmp_path, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(FtlabError, match="No key of Together"):
        adopt("ft-0000", tmp_path)
    assert adopt("ft-0000", tmp_path, key=KEY).job_id == "ft-0000"
    with Ledger(tmp_path) as ledger:
        assert ledger.of_job("ft-0000").state == "bound"
