"""Sweeps at the service: one price, agreed to once, and jobs that fall behind are ended."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from ftlab.asking import ask
from ftlab.cli import main
from ftlab.errors import FtlabError, InvalidSpec, RunError
from ftlab.events import Status
from ftlab.providers.together import finishing, following
from ftlab.providers.together.account import secret
from ftlab.providers.together.piped import Secrets
from ftlab.run import Run
from ftlab.runs import Runs
from ftlab.sweeps import hosted as process
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.shown import rows_of
from ftlab.sweeps.start import prepare_sweep, sweep
from tests.providers.hosted import KEY, hosted, in_background, spec
from tests.small import chat_rows, write_rows
from tests.sweeps.worlds import tell

N_STEPS, TICKS = 48, 8
RATES = [1e-4, 3e-4, 1e-3]


class World:
    """A service whose time goes on when the sweep's process rests, and all have seen it."""

    def __init__(self, service, folder):
        self.service, self.folder, self.now = service, folder, 0.0
        self.threads: list[threading.Thread] = []
        service.clock = lambda: self.now
        service.running = TICKS
        service.n_steps = N_STEPS
        service.eval_loss = lambda job, step: 4 - step / 100 - _gain(job["learning_rate"]) * step

    def start(self, run):
        self.threads.append(in_background(run))

    def rest(self):
        self.now += len(self.service.jobs) == len(RATES)  # it waits while they are started
        end = time.monotonic() + 30
        while time.monotonic() < end and not all(self._has_seen(run) for run in Runs(self.folder)):
            time.sleep(0.02)

    def _has_seen(self, run):
        job = self.service.jobs.get(run.job_id or "")
        if job is None or run.state.ended or job["cancelled_at"] is not None:
            return True
        if run.asked() is not None:
            return False
        share = min(max(self.now - 2, 0) / TICKS, 1)
        return run.history.last_step >= int(share * N_STEPS)

    def carry_out(self, of):
        handle = of.begin()
        try:
            return process.carry_out(of, Secrets(secret(KEY)))
        finally:
            os.close(handle)

    def end(self):
        self.now += 1000
        for thread in self.threads:
            thread.join(20)


def _gain(rate):
    return {1e-4: 0.0, 3e-4: 0.02, 1e-3: 0.01}[rate]


@pytest.fixture
def world(monkeypatch, tmp_path):
    with hosted(monkeypatch) as service:
        found = World(service, tmp_path / "runs")
        monkeypatch.setattr(following.Cadence, "wait", lambda *_, **__: time.sleep(0.02))
        monkeypatch.setattr(Sweep, "start", lambda sweep, key=None: None)
        monkeypatch.setattr(Run, "start", lambda run, key=None: found.start(run))
        monkeypatch.setattr(process, "rest", found.rest)
        yield found
        found.end()


@pytest.fixture
def job(tmp_path):
    held_out = write_rows(tmp_path / "held_out.jsonl", chat_rows(10))
    return spec(tmp_path, validation_file=str(held_out))


def test_three_arms_unless_more_are_asked_for(world, job):
    assert len(prepare_sweep(job, "together").plan.arms) == 3
    assert len(prepare_sweep(job, "together", n=5).plan.arms) == 5


def test_the_whole_price_is_named_once_before_anything_starts(world, job):
    with pytest.raises(FtlabError, match="3 such jobs cost") as caught:
        sweep(job, "together", folder=world.folder)
    assert "Give pay_up_to=" in str(caught.value)
    assert world.service.bodies == []
    assert not list(Runs(world.folder))


def test_each_arm_may_cost_its_share(world, job):
    plan = prepare_sweep(job, "together", pay_up_to=3.0).plan
    assert plan.job.options["pay_up_to"] == 1.0
    assert plan.most_added == 0


def test_without_a_validation_file_it_says_what_to_give(world, tmp_path):
    with pytest.raises(InvalidSpec, match="Give a validation_file"):
        prepare_sweep(spec(tmp_path), "together")


def test_jobs_that_fall_behind_are_ended_after_their_evaluation(world, job):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    assert world.carry_out(found) == 0
    assert found.status == "completed"
    assert [sorted(decision.kept) for decision in found.decisions] == [[1, 2], [1]]
    jobs = list(world.service.jobs.values())
    assert [body["learning_rate"] for body in world.service.bodies] == RATES
    assert [job["cancelled_at"] is None for job in jobs] == [False, True, False]
    assert jobs[0]["cancelled_at"] < jobs[2]["cancelled_at"] < TICKS
    assert found.answer.best == 1
    assert found.winner.status == "completed"
    assert found.promote().id == found.winner.id
    assert {run.id for run in Runs(world.folder)} == {run.id for _, run in found.arms}


def test_what_can_not_be_fetched_does_not_hold_the_sweep_up(world, job, monkeypatch):
    def damaged(*_, **__):
        raise FtlabError("The archive is not taken.")

    monkeypatch.setattr(finishing, "download_adapter", damaged)
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    assert world.carry_out(found) == 0
    assert found.status == "completed"
    assert found.winner.status == "paused"
    assert found.state.detail.startswith("the best arm, 3e-4, is paused: ")
    assert "The archive is not taken." in found.state.detail
    assert len(world.service.bodies) == 3


def test_when_the_first_job_is_refused_no_other_is_asked_for(world, job):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=0.0001)
    assert world.carry_out(found) == 1
    assert found.state.status == "paused"
    assert "The first arm was not started" in found.state.detail
    assert world.service.bodies == []
    assert len(found.arms) == 1


def test_another_process_goes_on_where_the_first_was_killed(world, job, monkeypatch):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    decide = process.decide
    monkeypatch.setattr(process, "decide", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        world.carry_out(found)
    monkeypatch.setattr(process, "decide", decide)
    again = Sweep(found.path)
    assert world.carry_out(again) == 0
    assert len(world.service.bodies) == 3
    assert again.answer.best == 1


def test_cancelling_the_sweep_cancels_its_jobs(world, job, monkeypatch):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    monkeypatch.setattr(process._Arms, "_decided", lambda arms: _cancelled(arms, found))
    assert world.carry_out(found) == 0
    assert found.status == "cancelled"
    assert all(job["cancelled_at"] is not None for job in world.service.jobs.values())


@pytest.fixture
def killed(world, job, monkeypatch):
    """A sweep whose process died when a decision was written, and nobody asked to end."""
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "stop", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            world.carry_out(found)
    return Sweep(found.path)


def test_jobs_that_were_decided_against_are_ended_by_the_next_process(world, killed):
    assert [*killed.decisions[0].stopped] == [0]
    assert world.carry_out(killed) == 0
    jobs = list(world.service.jobs.values())
    assert [job["cancelled_at"] is None for job in jobs] == [False, True, False]


def test_cancelling_reaches_jobs_that_were_decided_against(world, killed):
    ask(killed.request_file, "cancel")
    world.carry_out(killed)
    assert killed.status == "cancelled"
    assert all(job["cancelled_at"] is not None for job in world.service.jobs.values())


def test_an_arm_that_can_not_be_asked_at_once_holds_nothing_up(world, job, monkeypatch):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    stop, calls = Run.stop, []

    def once(run, key=None):
        calls.append(run)
        if len(calls) == 1:
            raise RunError(f"Run {run.id} is completed already")
        stop(run, key)

    monkeypatch.setattr(Run, "stop", once)
    assert world.carry_out(found) == 0
    jobs = list(world.service.jobs.values())
    assert [job["cancelled_at"] is None for job in jobs] == [False, True, False]


@pytest.fixture
def begun(world, job, monkeypatch):
    """A sweep whose process died at the first rung, before anything was decided."""
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(process, "decide", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            world.carry_out(found)
    return Sweep(found.path)


def test_a_run_that_was_deleted_does_not_move_the_others(world, job):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    assert world.carry_out(found) == 0
    world.end()
    found.runs[0].delete()
    after = Sweep(found.path)
    assert after.winning_spec.learning_rate == RATES[1]
    assert after.winner.id == found.winner.id
    assert rows_of(after)[0][-1] == "its run was deleted"


def test_a_sweep_goes_on_without_an_arm_that_was_deleted(world, begun):
    shutil.rmtree(begun.runs[2].path)
    again = Sweep(begun.path)
    assert world.carry_out(again) == 0
    assert len(world.service.bodies) == 3
    assert [*again.runs] == [0, 1]
    assert again.answer.best == 1
    assert "was deleted" in again.history.logs[-1].text


@pytest.mark.parametrize("where", [(Run, "at"), (Path, "symlink_to")])
def test_no_run_is_made_that_the_sweep_does_not_know(world, job, monkeypatch, where):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(*where, lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            world.carry_out(found)
    assert world.carry_out(Sweep(found.path)) == 0
    assert len(list(Runs(world.folder))) == 3


def test_a_sweep_whose_jobs_go_on_is_not_deleted(world, begun):
    with pytest.raises(RunError, match="costs what it costs"):
        begun.delete()
    assert world.carry_out(begun) == 0
    world.end()
    begun.delete()
    assert not begun.path.exists()


@pytest.mark.parametrize("request_", ["cancel", "stop"])
def test_what_is_ended_before_anything_started_is_cancelled(world, job, request_):
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    ask(found.request_file, request_)
    assert world.carry_out(found) == 0
    assert found.status == "cancelled"
    assert world.service.bodies == []


def test_after_a_first_job_of_unknown_outcome_no_other_is_asked_for(world, job, monkeypatch):
    def unknown(run, key=None):
        asked.append(run.id)
        run.note_hosted(address="x", tag="ftl-0123456789")
        tell(run, Status(status="paused", detail="It is not known whether there is a job."))

    asked, resumed = [], []
    monkeypatch.setattr(Run, "start", unknown)
    monkeypatch.setattr(Run, "resume", lambda run, key=None: resumed.append(run.id))
    found = sweep(job, "together", learning_rate=RATES, folder=world.folder, pay_up_to=3.0)
    assert world.carry_out(found) == 1
    assert "It is not known whether there is a job. No other arm" in found.state.detail
    assert world.carry_out(Sweep(found.path)) == 1
    assert asked == resumed
    assert len(asked) == 1


def _cancelled(arms, found):
    if found.asked() is None:
        Run.cancel(found)
    return iter(())


def test_in_a_terminal_the_price_of_all_arms_is_asked_about_once(world, job, monkeypatch, capsys):
    file = world.folder.parent / "spec.json"
    file.write_text(json.dumps(job))
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    assert main(["sweep", str(file), "--on", "together"]) == 1
    (question,) = asked
    assert question.startswith("Start it at Together, for up to $")
    printed = capsys.readouterr().out
    assert "3 such jobs cost" in printed
    assert "Nothing was started." in printed
    assert world.service.bodies == []
