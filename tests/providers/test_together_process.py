"""The process that starts and follows a hosted run: it may die at any moment, and knows no key that
anybody else can read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

import ftlab
from ftlab.errors import FtlabError, RunError
from ftlab.providers.together.ledger import Ledger
from ftlab.runs import Run, Runs
from tests.fakes.together import HANG, Service
from tests.providers.archive_makers import adapter_archive
from tests.providers.hosted import KEY, spec

pytestmark = pytest.mark.slow
PATIENCE = 120  # seconds; a process starts in one, on a machine with nothing else to do
CREATE = "/fine-tunes"


@pytest.fixture
def service(monkeypatch):
    with Service(key=KEY, clock=time.monotonic, tick=0.2) as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        service.artefacts.archives["ft-0000"] = adapter_archive()
        yield service


@pytest.fixture
def submit(service, tmp_path):
    """Runs whose processes end with the test."""
    folder = tmp_path / "runs"

    def start(**options):
        options = {"pay_up_to": 1.0, **options}
        return ftlab.submit(spec(tmp_path), "together", folder=folder, **options)

    yield start
    for run in Runs(folder):
        until(lambda run=run: is_ended(run))


def pid_of(run):
    """The process that holds the run's lock."""
    return json.loads(run.lock_file.read_bytes())["pid"]


def is_ended(run):
    """Whether no process has the run; one that has is killed as soon as it has said who it is."""
    with contextlib.suppress(ProcessLookupError, ValueError):  # it has not said so yet
        if run.is_alive:
            os.kill(pid_of(run), signal.SIGKILL)
    return not run.is_alive


def until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill(run):
    until(lambda: run.lock_file.read_bytes().strip())
    pid = pid_of(run)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not run.is_alive)
    return pid


def test_a_run_goes_on_without_who_submitted_it_and_ends(submit, service):
    run = submit()
    assert run.is_alive  # from birth
    assert run.wait(PATIENCE) == ("completed", "completed")
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert run.job_id == "ft-0000"
    assert run.metrics()["train_loss"].tolist() == [2.0, 1.0, 2 / 3, 0.5]
    assert len(service.bodies) == 1


def test_no_key_is_in_its_arguments_or_its_environment(submit, service, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary-wandb")
    service.running = 1000.0
    run = submit(key=KEY, wandb_project_name="mine")
    until(lambda: run.job_id)
    process = Path(f"/proc/{pid_of(run)}")
    for file in ("cmdline", "environ"):
        assert KEY.encode() not in (process / file).read_bytes()
        assert b"canary-wandb" not in (process / file).read_bytes()
    assert service.bodies[0]["wandb_key"] == "canary-wandb"
    assert service.bodies[0]["wandb_project_name"] == "mine"
    for file in run.path.parent.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
            assert b"canary-wandb" not in file.read_bytes(), file


def test_a_job_goes_on_when_its_process_dies_and_is_followed_again(submit, service):
    service.running = 1000.0
    run = submit()
    until(lambda: run.history.last_step == 0 and run.status == "running")
    kill(run)
    assert (run.status, run.is_left, run.why_not_resume) == ("running", True, "")
    assert run.state.detail.startswith("nobody follows it now; resume it, with the key")
    assert "<" not in repr(run.state)
    run.resume()
    with pytest.raises(RunError, match="another process"):
        run.lock()
    service.running = 1.0
    assert run.wait(PATIENCE).status == "completed"
    assert run.history.last_step == 4
    assert len(service.bodies) == 1


def test_a_process_that_dies_while_it_asks_for_the_job_buys_no_second_one(submit, service):
    service.misbehave("POST", CREATE, HANG._replace(after=True))
    run = submit()
    until(lambda: service.bodies)
    kill(run)
    with Ledger(run.path.parent) as ledger:
        assert ledger.of(run.id).state == "sent"
    assert run.status == "queued"
    run.resume().wait(PATIENCE)
    assert run.job_id == "ft-0000"
    assert len(service.asked("POST", CREATE)) == 1


def test_a_run_that_nobody_follows_is_cancelled_with_a_key(submit, service, monkeypatch):
    service.running = 1000.0
    run = submit()
    until(lambda: run.status == "running")
    kill(run)
    monkeypatch.delenv("TOGETHER_API_KEY")
    run.cancel(KEY)
    assert run.wait(PATIENCE).status == "cancelled"
    assert service.jobs["ft-0000"]["cancelled_at"] is not None


def test_without_a_key_nothing_starts(submit, tmp_path, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(FtlabError, match="No key of Together was found"):
        submit()
    assert not list(Runs(tmp_path / "runs"))


def test_a_key_that_is_found_goes_to_no_other_place(submit, service, monkeypatch):
    service.running = 1000.0
    run = submit()
    until(lambda: run.job_id)
    kill(run)
    monkeypatch.delenv("TOGETHER_BASE_URL")
    with pytest.raises(FtlabError, match=r"is at http://127.0.0.1.*goes to https://api.together"):
        run.resume()
    assert not run.is_alive
    assert Run(run.path).resume(KEY).is_alive
