"""A run is its folder: its state comes from the log and the lock alone."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from ftlab import attempts
from ftlab.errors import RunError
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.run_folder import new_folder
from ftlab.runs import Run, Runs, attach
from ftlab.spec import JobSpec


@pytest.fixture
def run(tmp_path):
    return Run.create(
        Job(spec=JobSpec(model="m", suffix="My Run".replace(" ", "-")), provider="local"), tmp_path
    )


def report(run, *events):
    writer = run.writer()
    for event in events:
        writer.append(event)
    writer.close()


HOLDER = """
import sys
from ftlab.runs import Run
run = Run(sys.argv[1])
run.lock()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(run):
    """Another process that holds the run's lock, as a trainer does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_job_is_saved_whole(run):
    again = Run(run.path)
    assert again.job == run.job
    assert again.id == run.id
    assert run.id.startswith(run.job.created_at.astimezone().strftime("%Y%m%d"))
    assert "my-run" in run.id


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        Run(tmp_path)


def test_a_live_run_is_what_its_log_says(run, holder):
    assert run.state == ("queued", "")
    report(run, Status(status="running", n_steps=3))
    assert run.status == "running"
    report(run, Status(status="completed"))
    assert run.status == "completed"


def test_a_run_whose_process_died_has_failed(run, holder):
    report(run, Status(status="running"))
    run.log_file.write_text("the last words")
    holder.kill()
    holder.wait()
    assert run.status == "failed"
    assert "the last words" in run.state.detail


def test_an_ended_run_stays_what_it_was(run):
    report(run, Status(status="cancelled", detail="by a person"))
    assert run.state == ("cancelled", "by a person")


def test_two_processes_can_not_run_one_run(run, holder):
    with pytest.raises(RunError, match="another process"):
        run.lock()


def test_metrics_come_as_a_frame(run):
    events = [Metrics(step=s, values={"train_loss": 1 / s}) for s in (1, 2, 3)]
    report(run, *events, Metrics(step=3, values={"eval_loss": 0.5}))
    frame = run.metrics()
    assert list(frame.index) == [1, 2, 3]
    assert frame["eval_loss"].dropna().to_dict() == {3: 0.5}


def test_new_events_come_once_and_history_has_all(run):
    report(run, Metrics(step=1, values={"train_loss": 1.0}))
    assert len(run.new_events()) == 1
    assert run.new_events() == []
    assert run.history.last_step == 1


def test_requests_are_kept_for_the_process(run, holder):
    report(run, Status(status="running"))
    assert run.asked() is None
    run.stop()
    assert run.asked() == "stop"
    run.cancel()
    assert run.asked() == "cancel"


def test_a_pause_is_weaker_than_the_others_and_a_new_process_forgets_them(run, holder):
    report(run, Status(status="running"))
    run.pause()
    assert run.asked() == "pause"
    run.stop()
    run.pause()
    assert run.asked() == "stop"
    holder.kill()
    holder.wait()
    os.close(run.begin())
    assert run.asked() is None


def test_each_process_is_an_attempt(run):
    for attempt in (1, 2):
        os.close(run.begin())
        report(run, Metrics(step=attempt, values={}))
        assert run.history.attempt == attempt
    assert {event.attempt for event in run.new_events()[-2:]} == {2}


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_what_is_over_does_not_go_on(run, status):
    report(run, Status(status=status))
    assert f"is {status} already; paused and failed runs can go on. Start" in run.why_not_resume
    with pytest.raises(RunError, match="paused and failed runs"):
        run.resume()
    with pytest.raises(RunError, match="runs once"):
        run.begin()


def test_what_runs_is_not_resumed(run, holder):
    report(run, Status(status="running"))
    with pytest.raises(RunError, match=r"is running; paused and failed runs can go on\. Pause it"):
        run.resume()


def test_a_run_of_another_provider_is_not_resumed_here(tmp_path):
    run = Run.create(Job(spec=JobSpec(model="m"), provider="cloud"), tmp_path)
    report(run, Status(status="paused"))
    with pytest.raises(RunError, match="runs at cloud"):
        run.resume()


def test_waiting_ends_when_a_run_has_paused(run):
    report(run, Status(status="paused", detail="paused at step 3"))
    assert run.wait(1) == ("paused", "paused at step 3")
    assert run.resumes_from == "from its beginning"
    (run.checkpoints / "step-00000003").mkdir(parents=True)
    assert run.resumes_from == "from step 3"


def test_waiting_too_long_says_what_can_be_done(run, holder):
    report(run, Status(status="running"))
    with pytest.raises(TimeoutError, match=r"is running after 0 s; .* wait longer, or stop it"):
        run.wait(0)


def test_an_ended_run_takes_no_requests(run):
    report(run, Status(status="completed"))
    with pytest.raises(RunError, match="completed already"):
        run.stop()


def test_a_run_that_can_not_be_cancelled_for_want_of_room_is_free_again(run, monkeypatch):
    report(run, Status(status="paused"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Run, "say", full)
    with pytest.raises(OSError, match="No space left"):
        run.cancel()
    assert run.status == "paused"
    assert not run.is_alive


def test_what_completes_while_it_is_being_cancelled_stays_completed(run, monkeypatch):
    report(run, Status(status="paused"))
    state = run.checkpoint(3)
    state.mkdir(parents=True)
    lock = attempts.lock

    def late(run, *patience):
        report(run, Status(status="completed"))
        return lock(run, *patience)

    monkeypatch.setattr(attempts, "lock", late)
    with pytest.raises(RunError, match="is completed already"):
        run.cancel()
    assert run.status == "completed"
    assert state.exists()
    assert not run.is_alive


def test_attach_finds_the_run_that_lives(tmp_path, run, holder):
    newer = Run.create(
        Job(spec=JobSpec(model="m"), provider="local", created_at="2999-01-01T00:00:00Z"), tmp_path
    )
    assert [r.id for r in Runs(tmp_path)] == [newer.id, run.id]
    assert attach(folder=tmp_path).id == run.id
    assert attach(newer.id, folder=tmp_path).id == newer.id
    assert attach(newer.path).id == newer.id


def test_attach_without_runs_says_where_it_looked(tmp_path):
    with pytest.raises(RunError, match="There is no run in"):
        attach(folder=tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "-x", "x" * 65])
def test_ids_can_not_leave_the_folder(tmp_path, name):
    with pytest.raises(RunError):
        Runs(tmp_path)[name]


def test_the_folder_is_for_its_owner_alone(run):
    assert run.path.stat().st_mode & 0o077 == 0
    report(run, Status(status="running"))
    assert all(os.stat(file).st_mode & 0o077 == 0 for file in run.path.glob("*.jsonl"))


def test_what_a_saved_notebook_shows_has_a_curve_and_no_script(run):
    report(run, *(Metrics(step=s, values={"train_loss": 1 / s}) for s in range(1, 5)))
    html = run._repr_html_()
    assert "<svg" in html
    assert "<script" not in html


def test_following_ends_with_the_process(run):
    report(run, Status(status="running"), Status(status="completed"))
    assert [event.status for event in run.follow()] == ["running", "completed"]


def test_a_loss_that_became_no_number_is_shown(run):
    for step, loss in enumerate([2.0, float("inf"), float("nan")], start=1):
        report(run, Metrics(step=step, values={"train_loss": loss}))
    assert "2 → nan" in run._repr_html_()


@pytest.mark.parametrize(
    "job", ["", "[]", '{"spec": {"of_a_newer_ftlab": 1}, "provider": "local"}']
)
def test_a_damaged_job_is_said_and_hurts_no_other_run(tmp_path, run, job):
    (tmp_path / "z-damaged").mkdir()
    (tmp_path / "z-damaged" / "job.json").write_text(job)
    damaged = Runs(tmp_path)["z-damaged"]
    assert "can&#x27;t be read" in damaged._repr_html_()
    with pytest.raises(RunError, match="z-damaged"):
        damaged.job.spec  # noqa: B018
    assert [r.id for r in Runs(tmp_path)] == ["z-damaged", run.id]
    assert run.id in Runs(tmp_path)._repr_html_()


def test_a_folder_with_another_kind_of_name_is_no_run(tmp_path, run):
    shutil.copytree(run.path, tmp_path / f"{run.id} (copy)")
    assert [r.id for r in Runs(tmp_path)] == [run.id]
    assert attach(folder=tmp_path).id == run.id


def test_a_torn_request_is_passed_over(run, holder):
    report(run, Status(status="running"))
    (run.path / "requests.jsonl").write_text('{"requ')
    assert run.asked() is None
    run.stop()
    assert run.asked() == "stop"


def test_an_empty_id_is_no_run(tmp_path, run):
    with pytest.raises(RunError, match="no id"):
        attach("", folder=tmp_path)


def test_a_name_that_is_taken_is_drawn_again(tmp_path, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("ftlab.run_folder.secrets.token_hex", lambda _: next(drawn))
    now = datetime.now(UTC)
    names = [new_folder(tmp_path, "run", now).name[-4:] for _ in range(2)]
    assert names == ["aaaa", "bbbb"]
