"""One click buys one job at most, and for no more than was agreed to: whatever became of the
folder, of its files, and of the service's answers in between."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime

import pytest

import ftlab
from ftlab.errors import FtlabError, InvalidSpec
from ftlab.providers.together import starting
from ftlab.providers.together.client import Client
from ftlab.providers.together.ledger import Ledger, mark_of, tag_of
from ftlab.runs import Run
from tests.fakes import together_jobs
from tests.fakes.together import DROP, Fault, Service
from tests.fakes.together_jobs import add_job
from tests.providers.hosted import MODEL, carried_out, hosted, new_run, spec

CREATE = "/fine-tunes"


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


@pytest.fixture
def prepared(service, tmp_path, monkeypatch):
    """A run whose process died right before it asked for the job."""

    def die(*_, **__):
        raise KeyboardInterrupt

    run = new_run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(starting, "send", die)
        with pytest.raises(KeyboardInterrupt):
            carried_out(run)
    return run


def without_ledger(run):
    for file in run.path.parent.glob("ledger.sqlite*"):
        file.unlink()


def test_a_ledger_from_a_backup_buys_no_second_job(service, prepared, tmp_path):
    backup = shutil.copy(prepared.path.parent / "ledger.sqlite", tmp_path / "backup")
    assert carried_out(prepared) == 0
    without_ledger(prepared)
    shutil.copy(backup, prepared.path.parent / "ledger.sqlite")
    prepared.say("paused")
    assert carried_out(Run(prepared.path)) == 0
    assert len(service.bodies) == 1
    with Ledger(prepared.path.parent) as ledger:
        intent = ledger.of(prepared.id)
        assert intent is not None
        assert (intent.state, intent.job_id) == ("bound", "ft-0000")


def test_of_a_folder_and_its_copy_one_buys_a_job(service, prepared, tmp_path):
    shutil.copytree(prepared.path.parent, tmp_path / "elsewhere")
    copy = Run(tmp_path / "elsewhere" / prepared.id)
    assert carried_out(prepared) == carried_out(copy) == 0
    assert copy.job_id == prepared.job_id == "ft-0000"
    assert len(service.bodies) == 1


def test_a_copy_from_before_anything_was_written_down_buys_no_second_job(
    service, tmp_path, monkeypatch
):
    run = new_run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(starting, "quote", lambda *_: 1 / 0)
        assert carried_out(run) == 1
    shutil.copytree(run.path.parent, tmp_path / "elsewhere")
    copy = Run(tmp_path / "elsewhere" / run.id)
    assert carried_out(run) == carried_out(copy) == 0
    assert len(service.bodies) == 1


def test_a_note_of_the_job_that_is_damaged_is_no_leave_to_buy_one(service, tmp_path):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    service.lag = 10_000
    run = new_run(tmp_path)
    carried_out(run)
    (run.path / "hosted.json").write_bytes(b"\0" * 50)
    without_ledger(run)
    assert carried_out(Run(run.path)) == 1
    assert run.status == "paused"
    assert "can't be read" in run.state.detail
    assert len(service.bodies) == 1


def test_a_suffix_with_the_mark_of_another_job_does_not_carry_it():
    other = tag_of("mine", "run-1")
    found = tag_of(f"{other}-b", "run-2")
    assert found == f"{mark_of(found)}-mine-b"
    assert tag_of(f"mine-{mark_of(other)}-b", "run-2") == found  # as older ones were


# --- whose job it is -------------------------------------------------------------------------


def unknown(service, tmp_path, **values):
    """A run whose job was started, which nobody answered."""
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    run = new_run(tmp_path, **values)
    carried_out(run)
    return run


@pytest.mark.parametrize("length", [10, 14, 18, 40])
def test_a_job_whose_suffix_is_cut_is_found_by_itself(service, tmp_path, length):
    service.longest_suffix = length
    run = unknown(service, tmp_path, suffix="mine")
    assert (run.status, run.job_id) == ("completed", "ft-0000")
    assert len(service.asked("POST", CREATE)) == 1


def test_a_job_whose_name_says_nothing_is_shown_among_those_that_it_may_be(
    service, tmp_path, monkeypatch
):
    monkeypatch.setattr(together_jobs, "EPOCH", datetime.now(UTC))
    done = new_run(tmp_path)
    carried_out(done)
    other = {"model": "Qwen/Qwen3-14B", "training_file": "file-0000"}
    for body in (other, {"model": MODEL, "training_file": "file-9"}):
        add_job(service, body)
    service.longest_suffix = 3
    run = unknown(service, tmp_path, suffix="mine")
    assert run.status == "paused"
    said = run.state.detail
    assert "not known whether Together has started the job" in said
    assert "it may be one of these all the same: ft-0003 (pending, Qwen/Qwen3-8B, file-0000" in said
    assert said.count("ft-000") == 1  # not that of the other run, nor of other data or models


@pytest.mark.parametrize(("suffix", "fits"), [("x" * 25, True), ("x" * 26, False)])
def test_what_is_left_of_a_suffix_is_never_cut(service, tmp_path, suffix, fits):
    if fits:
        carried_out(new_run(tmp_path, suffix=suffix))
        assert service.bodies[0]["suffix"].endswith(f"-{suffix}")
        return
    with pytest.raises(InvalidSpec, match="suffix has 26 characters; at Together 25 are yours"):
        new_run(tmp_path, suffix=suffix)


# --- what was agreed to ----------------------------------------------------------------------


def answering(monkeypatch, **reply):
    monkeypatch.setattr(Service, "estimate", lambda *_: reply)


def test_the_service_may_be_dearer_than_the_table_where_packing_is_off(
    service, tmp_path, monkeypatch
):
    answering(monkeypatch, estimated_total_price=900.0, allowed_to_proceed=True)
    run = new_run(tmp_path, {"pay_up_to": 2.0}, packing=False)
    assert carried_out(run) == 1
    assert "costs $900 " in run.state.detail
    assert service.bodies == []
    with pytest.raises(FtlabError, match=r"pay_up_to=900\.00"):
        ftlab.submit(spec(tmp_path, packing=False), "together", folder=tmp_path)


NO_PRICES = (None, "900", math.nan, -1, 1e12, {})


@pytest.mark.parametrize("price", NO_PRICES)
def test_what_is_no_price_is_agreed_to_with_inf_alone(service, tmp_path, monkeypatch, price):
    answering(monkeypatch, estimated_total_price=price)
    run = new_run(tmp_path, {"pay_up_to": 2.0})
    assert carried_out(run) == 1
    assert "costs unknown" in run.state.detail
    assert "pay_up_to=inf" in run.state.detail
    assert service.bodies == []
    with pytest.raises(FtlabError, match="pay_up_to=inf to agree to any price"):
        ftlab.submit(spec(tmp_path), "together", folder=tmp_path)
    assert carried_out(new_run(tmp_path, {"pay_up_to": math.inf})) == 0


@pytest.mark.parametrize("price", [None, 0.01])
@pytest.mark.parametrize("allowed", [False, "false", 0, "no"])
def test_only_a_yes_of_the_service_is_one(service, tmp_path, monkeypatch, allowed, price):
    answering(monkeypatch, estimated_total_price=price, allowed_to_proceed=allowed)
    run = new_run(tmp_path, {"pay_up_to": math.inf})
    assert carried_out(run) == 1
    assert "says that it would not start it" in run.state.detail
    assert service.bodies == []


def test_after_a_long_wait_the_price_is_asked_again(service, tmp_path, monkeypatch):
    busy = Fault(status=429, headers=(("Retry-After", "3600"),))
    service.misbehave("POST", CREATE, busy)
    answering(monkeypatch, estimated_total_price=0.5)
    dearer = {"estimated_total_price": 500.0}

    def pause(_, seconds):
        if seconds == 3600:
            answering(monkeypatch, **dearer)

    monkeypatch.setattr(Client, "pause", pause)
    run = new_run(tmp_path)
    assert carried_out(run) == 1
    assert "costs $500 " in run.state.detail
    assert len(service.asked("POST", "/estimate-price")) == 2
    assert service.bodies == []
