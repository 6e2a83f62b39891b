"""A job at the service as a run like any other, from submit() to its end."""

from __future__ import annotations

import json
import math

import pytest

import ftlab
from ftlab import attempts
from ftlab.errors import FtlabError, InvalidSpec, RunError
from ftlab.providers.together import finishing, following
from ftlab.providers.together.ledger import Ledger
from ftlab.runs import Run
from tests.fakes.together import BUSY, DROP, Fault
from tests.providers.hosted import (
    KEY,
    carried_out,
    details,
    events,
    hosted,
    in_background,
    new_run,
    spec,
    texts,
)

CREATE = "/fine-tunes"


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


def intent_of(run):
    with Ledger(run.path.parent) as ledger:
        return ledger.of(run.id)


def test_a_run_there_has_curves_like_one_here(service, tmp_path):
    service.nan_at = 3
    held = tmp_path / "held.jsonl"
    held.write_text((tmp_path / spec(tmp_path)["training_file"]).read_text())
    run = new_run(tmp_path, validation_file=str(held), n_evals=2, suffix="mine")
    assert carried_out(run) == 0
    frame = run.metrics()
    assert list(frame.index) == [1, 2, 3, 4]
    assert frame["train_loss"][[1, 2, 4]].tolist() == [2.0, 1.0, 0.5]
    assert math.isnan(frame["train_loss"][3])
    assert frame["eval_loss"].dropna().to_dict() == {2: 1.5, 4: 0.75}
    assert set(frame) == {"train_loss", "eval_loss", "learning_rate", "grad_norm", "epoch"}
    assert (run.status, run.history.n_steps, run.job_id) == ("completed", 4, "ft-0000")
    assert run.history.last_step == 4
    assert [(c.step, c.ref) for c in run.history.checkpoints] == [
        (2, "ft-0000:2"),
        (4, "ft-0000"),
        (4, "adapter"),
    ]
    assert (run.adapter / "from.txt").read_text() == "ft-0000 None"
    assert "Training started" in texts(run)


def test_the_request_is_that_of_the_spec(service, tmp_path):
    run = new_run(tmp_path, suffix="mine", lora_r=4)
    carried_out(run)
    (body,) = service.bodies
    assert body["suffix"].endswith("-mine")
    assert body["suffix"] == intent_of(run).tag == run.hosted.tag
    assert body["training_file"] == "file-0000"
    assert body["training_type"]["lora_r"] == 4
    assert (intent_of(run).state, intent_of(run).job_id) == ("bound", "ft-0000")
    assert intent_of(run).price == pytest.approx(service.jobs["ft-0000"]["price"])
    assert intent_of(run).files_sha256 == service.files["file-0000"]["checksum"]


def test_its_state_goes_with_the_services_word(service, tmp_path):
    run = new_run(tmp_path)
    carried_out(run)
    statuses = [(e.status, e.detail) for e in events(run) if e.kind == "status"]
    followed = statuses[[detail for _, detail in statuses].index("asking Together for the job") :]
    assert followed == [
        ("queued", "asking Together for the job"),
        ("queued", "pending"),
        ("queued", "queued, 1 in the queue"),
        ("running", "running"),
        ("running", "uploading"),
        ("running", "ended at Together; downloading what was tuned"),
        ("completed", "completed"),
    ]


def test_a_file_that_is_there_is_not_sent_again(service, tmp_path):
    carried_out(new_run(tmp_path))
    carried_out(new_run(tmp_path))
    assert len(service.bodies) == 2
    assert len(service.asked("PUT")) == 1


def test_a_file_at_the_service_is_used_as_it_is(service, tmp_path):
    carried_out(new_run(tmp_path))
    run = new_run(tmp_path, training_file="file-0000")
    assert carried_out(run) == 0
    assert service.bodies[1]["training_file"] == "file-0000"
    assert intent_of(run).files_sha256 == ""


def test_what_the_service_says_is_kept_word_by_word(service, tmp_path):
    service.twist = lambda _, reply: {**reply, "brand_new": {"deep": [1, None]}, "user_id": KEY}
    run = new_run(tmp_path)
    carried_out(run)
    said = run.said_file.read_text()
    lines = [json.loads(line) for line in said.splitlines()]
    assert {name for line in lines for name in line} == {"job", "event", "metrics"}
    jobs = [line["job"] for line in lines if "job" in line]
    assert jobs[0]["brand_new"] == {"deep": [1, None]}
    assert len({job["status"] for job in jobs}) == 5
    assert KEY not in said
    assert "[key]" in said
    assert run.said_file.stat().st_mode & 0o777 == 0o600


# --- money -----------------------------------------------------------------------------------


def test_without_an_agreed_price_nothing_starts_and_the_price_is_named(service, tmp_path):
    with pytest.raises(FtlabError, match=r"Together: under \$0.01 for .*pay_up_to=0.01") as caught:
        ftlab.submit(spec(tmp_path), provider="together", folder=tmp_path / "runs")
    assert "nothing was started" in str(caught.value)
    assert service.bodies == []
    assert not (tmp_path / "runs").exists()


def test_where_the_service_can_not_be_asked_it_is_the_price_of_the_table(
    service, tmp_path, monkeypatch
):
    service.misbehave("GET", "/limits", *[DROP] * 9)
    with pytest.raises(FtlabError, match=r"By the table of rates the job costs .*pay_up_to=\d"):
        ftlab.submit(spec(tmp_path), provider="together", folder=tmp_path / "runs")
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(FtlabError, match=r"By the table of rates.*No key of Together was found"):
        ftlab.submit(spec(tmp_path), provider="together", folder=tmp_path / "runs")
    assert service.bodies == []


def test_what_it_would_refuse_is_told_before_any_price(service, tmp_path):
    with pytest.raises(InvalidSpec, match="use_dora"):
        ftlab.submit(spec(tmp_path, use_dora=True), provider="together", folder=tmp_path)
    assert service.asked("POST") == []


def test_nothing_is_sent_above_the_agreed_price(service, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fakes.together.USD_PER_MILLION", 5000.0)
    run = new_run(tmp_path, {"pay_up_to": 0.5})
    assert carried_out(run) == 1
    assert run.status == "failed"
    assert "$0.50 was agreed to. Nothing was started" in run.state.detail
    assert service.bodies == []
    assert intent_of(run) is None


def test_a_run_refused_for_its_price_goes_on_once_that_is_agreed_to(service, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fakes.together.USD_PER_MILLION", 5000.0)
    run = new_run(tmp_path, {"pay_up_to": 0.5})
    assert carried_out(run) == 1
    price = float(run.hosted.price)
    assert f"--pay-up-to {run.hosted.price}" in run.state.detail
    with pytest.raises(RunError, match="only a run that was refused for its price takes it"):
        attempts.agree(new_run(tmp_path), price)
    attempts.agree(run, price)
    assert carried_out(Run(run.path)) == 0
    assert len(service.bodies) == 1
    assert Run(run.path).hosted.price == ""


def test_nothing_is_sent_that_the_service_would_not_start(service, tmp_path):
    service.credit = 0.0
    run = new_run(tmp_path)
    assert carried_out(run) == 1
    assert "Add credit" in run.state.detail
    assert service.bodies == []


def test_a_price_that_nobody_knows_takes_more_than_an_amount(service, tmp_path, monkeypatch):
    unknown = {"estimation_available": False, "unavailable_reason": "multimodal_dataset"}
    monkeypatch.setattr(service, "estimate", lambda _: unknown)
    run = new_run(tmp_path, {"pay_up_to": 0.001})
    assert carried_out(run) == 1
    assert "was agreed to" in run.state.detail
    run = new_run(tmp_path, {"pay_up_to": math.inf})
    assert Run(run.path).job.options["pay_up_to"] in (math.inf, "Infinity")
    assert carried_out(Run(run.path)) == 0


def test_packing_off_is_paid_by_the_table(service, tmp_path):
    run = new_run(tmp_path, {"pay_up_to": 0.001}, packing=False, max_seq_length=4096)
    assert carried_out(run) == 1
    assert "by the table of rates" in run.state.detail
    assert service.bodies == []


@pytest.mark.parametrize("amount", [-1, math.nan, True, "much"])
def test_an_amount_is_a_number_of_dollars(service, tmp_path, amount):
    with pytest.raises(InvalidSpec, match="pay_up_to"):
        new_run(tmp_path, {"pay_up_to": amount})


def test_a_refusal_is_told_and_final(service, tmp_path):
    said = b'{"error": {"message": "insufficient credits"}}'
    service.misbehave("POST", CREATE, Fault(status=402, body=said))
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "failed"
    assert "402 (“insufficient credits”). Nothing was started" in run.state.detail
    assert carried_out(run) == 0  # as after resume()
    assert run.status == "failed"
    assert service.bodies == []
    assert len(service.asked("POST", CREATE)) == 1


# --- what is not known -----------------------------------------------------------------------


def test_a_lost_answer_is_found_out_and_followed(service, tmp_path):
    service.lag = 2
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "completed"
    assert len(service.asked("POST", CREATE)) == 1


def test_what_stays_unknown_waits_and_is_never_sent_again(service, tmp_path):
    service.misbehave("POST", CREATE, BUSY)
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.status == "paused"
    assert "It is not known whether Together has started the job" in run.state.detail
    assert carried_out(run) == 0  # as after resume()
    assert run.status == "paused"
    assert intent_of(run).state == "unknown"
    assert len(service.asked("POST", CREATE)) == 1


def test_a_removed_ledger_buys_no_second_job(service, tmp_path, monkeypatch):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    service.misbehave("GET", CREATE, *[BUSY] * 100)
    run = new_run(tmp_path)
    carried_out(run)
    assert run.status == "paused"
    for file in run.path.parent.glob("ledger.sqlite*"):
        file.unlink()
    service.misbehave("GET", CREATE)
    assert carried_out(run) == 0
    assert (run.status, run.job_id) == ("completed", "ft-0000")
    assert len(service.bodies) == 1
    for file in run.path.parent.glob("ledger.sqlite*"):
        file.unlink()
    run.say("paused")
    assert carried_out(run) == 0
    assert intent_of(run).job_id == "ft-0000"
    assert len(service.bodies) == 1


def test_the_jobs_of_others_are_found_on_the_way(service, tmp_path):
    service.misbehave("POST", CREATE, DROP._replace(after=True))
    service.misbehave("GET", CREATE, *[BUSY] * 100)
    left = new_run(tmp_path)
    carried_out(left)
    service.misbehave("GET", CREATE)
    run = new_run(tmp_path)
    carried_out(run)
    assert f"Run {left.id} has a job at Together after all, ft-0000; resume it." in texts(run)
    assert intent_of(left).state == "bound"
    assert carried_out(left) == 0
    assert left.status == "completed"


# --- being asked -----------------------------------------------------------------------------


def test_it_is_cancelled_there(service, tmp_path):
    run = new_run(tmp_path)
    service.running = 1000.0
    process = in_background(run)
    while run.status != "running":
        pass
    run.cancel()
    process.join()
    assert run.status == "cancelled"
    assert service.jobs["ft-0000"]["cancelled_at"] is not None
    assert not run.adapter.exists()


def test_stop_keeps_the_last_checkpoint_that_is_there(service, tmp_path):
    run = new_run(tmp_path)
    service.running = 1000.0
    process = in_background(run)
    while not run.history.checkpoints:
        pass
    run.stop()
    process.join()
    assert (run.status, run.state.detail) == (
        "completed",
        "stopped; of step 2, the last that Together has kept",
    )
    assert (run.adapter / "from.txt").read_text() == "ft-0000 2"


def test_a_run_that_is_cancelled_while_it_uploads_was_never_started(service, tmp_path):
    run = new_run(tmp_path)
    service.looks_before_a_file_is_ready = 10**9
    process = in_background(run)
    while "Together checks train.jsonl" not in details(run):
        pass
    run.cancel()
    process.join()
    assert (run.status, run.state.detail) == (
        "cancelled",
        "cancelled before it was started; nothing is billed",
    )
    assert service.bodies == []


def test_cancelling_a_job_that_ended_first_shows_how(service, tmp_path, monkeypatch):
    run = new_run(tmp_path)
    seen = following.cancel
    monkeypatch.setattr(
        following, "cancel", lambda client, job_id: _ended(client, job_id) or seen(client, job_id)
    )

    def _ended(client, job_id):
        for _ in range(9):
            client.json("GET", f"/v1/fine-tunes/{job_id}", "x")

    monkeypatch.setattr(Run, "asked", lambda run: "cancel" if run.job_id else None)
    carried_out(run)
    assert run.status == "completed"
    assert "its state is completed" in " ".join(texts(run))


def test_pausing_is_not_to_be_had(service, tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(ftlab.FtlabError, match="can't pause a job"):
        run.pause()


# --- what goes wrong on the way --------------------------------------------------------------


def test_a_job_that_fails_there_says_why(service, tmp_path):
    service.ends_as = "error"
    run = new_run(tmp_path)
    assert carried_out(run) == 0
    assert run.state == ("failed", "error: the job failed: out of disk")
    assert len(run.metrics()) == 4
    assert not run.adapter.exists()
    assert "has ended at together" in run.why_not_resume
    with pytest.raises(RunError, match="Submit it again"):
        run.resume()


def test_a_service_that_does_not_answer_is_asked_again_and_that_is_told(service, tmp_path):
    run = new_run(tmp_path)
    service.misbehave("GET", "/ft-0000", *[BUSY] * 4, *[DROP] * 3)
    assert carried_out(run) == 0
    assert run.status == "completed"
    run = new_run(tmp_path)
    service.misbehave("GET", "/ft-0001/metrics", *[DROP] * 3, Fault(status=200, body=b"<html>"))
    assert carried_out(run) == 0
    assert run.status == "completed"


def test_the_last_that_is_known_is_shown_with_its_time(service, tmp_path, monkeypatch):
    run = new_run(tmp_path)
    looks = []

    def break_down(*_, **__):
        looks.append(1)
        if len(looks) == 3:
            service.misbehave("GET", "/ft-0000", *[BUSY] * 9)

    monkeypatch.setattr(following.Cadence, "wait", break_down)
    assert carried_out(run) == 0
    silent = [text for text in details(run) if "does not answer as it should (503)" in text]
    assert len(silent) == 1
    assert silent[0].endswith("it was running")
    assert run.status == "completed"


def test_without_a_right_to_look_it_waits_for_another_key(service, tmp_path):
    run = new_run(tmp_path)
    service.misbehave("GET", "/ft-0000", Fault(status=401))
    assert carried_out(run) == 1
    assert run.status == "paused"
    assert "401" in run.state.detail
    assert run.why_not_resume == ""
    assert carried_out(run) == 0
    assert run.status == "completed"
    assert len(service.bodies) == 1


def test_a_download_that_fails_is_tried_again_when_it_is_resumed(service, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise FtlabError("The disk is full; make room.")

    monkeypatch.setattr(finishing, "download_adapter", fail)
    run = new_run(tmp_path)
    carried_out(run)
    assert run.state == ("paused", "The job is done, but not here: The disk is full; make room.")
    assert len(service.bodies) == 1


def test_a_follower_that_fails_leaves_the_job_going(service, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(following.Watch, "look", fail)
    run = new_run(tmp_path)
    assert carried_out(run) == 1
    assert run.status == "paused"
    assert "goes on at Together" in run.state.detail


def test_going_on_tells_nothing_twice(service, tmp_path, monkeypatch):
    run = new_run(tmp_path)
    looks = []

    def die(*_, **__):
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(following.Cadence, "wait", die)
    with pytest.raises(KeyboardInterrupt):
        carried_out(run)
    assert run.state.status == "running"
    assert "nobody follows it" in run.state.detail
    assert run.is_left
    with pytest.raises(RunError, match="goes on at together and costs"):
        run.delete()
    monkeypatch.setattr(following.Cadence, "wait", lambda *_, **__: None)
    assert carried_out(run) == 0
    told = [(e.step, name) for e in events(run) if e.kind == "metrics" for name in e.values]
    assert len(told) == len(set(told)) == 16
    said = [t for t in texts(run) if "The job at Together is" not in t]
    assert len(said) == len(set(said))
    lines = run.said_file.read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert len(service.bodies) == 1
