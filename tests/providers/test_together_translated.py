"""What the service says of a job, in ftlab's words; whatever it says."""

from __future__ import annotations

import math

import pytest

from ftlab.providers.together.following import LONGEST_WAIT, Cadence
from ftlab.providers.together.translated import (
    logs_of,
    metrics_of,
    n_steps_in,
    reason_in,
    tells_of_checkpoints,
    word_of,
)

AT = "2026-11-21T10:00:00Z"
SECONDS = 1795255200.0


def word(**job):
    return word_of(job, str)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("pending", "queued"),
        ("QUEUED", "queued"),
        ("running", "running"),
        ("compressing", "running"),
        ("uploading", "running"),
        ("cancel_requested", "running"),
        ("Completed", "completed"),
        ("error", "failed"),
        ("user_error", "failed"),
        ("cancelled", "cancelled"),
        ("paused_by_admin", "running"),
    ],
)
def test_the_services_words_are_ours(said, status):
    assert (word(status=said).status, word(status=said).detail) == (status, said.lower())


def test_a_job_without_a_state_goes_on():
    assert (word().status, word().detail) == ("running", "no state said")
    assert word(status=None, total_steps=None).n_steps is None
    assert word(status="queued", queue_depth=3).detail == "queued, 3 in the queue"
    assert word(status="running", total_steps=120).n_steps == 120


def test_events_are_lines_in_the_order_of_time():
    events = [
        {"created_at": "2026-11-21T11:00:00+01:00", "level": "Info", "message": "a", "type": "X"},
        {"created_at": "2026-11-21T09:00:00Z", "level": "legacy_iwarning", "message": "b"},
        {"created_at": "2026-11-21T12:00:00", "level": "LEGACY_IERROR", "message": "c"},
        {"created_at": AT, "level": None, "message": "", "type": "BILLING_LIMIT"},
        {"created_at": "soon", "level": 3, "message": None, "type": "job_error"},
        {"created_at": AT, "message": "", "type": ""},
        "odd",
    ]
    assert [(log.time, log.level, log.text) for log in logs_of(events, str)] == [
        (0.0, "error", "job error"),
        (SECONDS - 3600, "warning", "b"),
        (SECONDS, "info", "a"),
        (SECONDS, "warning", "billing limit"),
        (SECONDS + 7200, "error", "c"),
    ]
    assert reason_in(events, str) == "c"
    assert reason_in([], str) == reason_in(None, str) == ""


def test_steps_and_checkpoints_are_told_of_by_events():
    events = [{"type": "CHECKPOINT_SAVE"}, {"type": "checkpoint_save", "total_steps": 40}, {}]
    assert (n_steps_in(events), tells_of_checkpoints(events)) == (40, 2)
    assert (n_steps_in(None), tells_of_checkpoints({})) == (None, 0)


def test_metrics_have_our_names_and_the_others_theirs():
    rows = [
        {"train/global_step": 2, "eval/loss": 0.5, "train/epoch": 0.2, "eval/rewards/margin": 1},
        {
            **{"timestamp": 1795255200_000000001, "train/global_step": 1, "train/epoch": 0.1},
            **{"train/loss": math.nan, "train/learning_rate": 1e-4, "train/grad_norm": "Infinity"},
            **{"train/tokens": None, "train/ok": True, "train/kind": "7", "train/new/one": 3},
        },
        {"train/loss": 1.0},
        {"train/global_step": 1.5, "train/loss": 1.0},
        {"train/global_step": "1", "train/loss": 1.0},
        {"train/global_step": 10**400, "train/loss": 1.0},
        {"eval/global_step": 3, "eval/loss": 10**400},
        {"global_step": 4, "train/loss": -math.inf, "eval/loss": 2},
        None,
    ]
    found = [(row.step, row.values) for row in metrics_of(rows)]
    assert [step for step, _ in found] == [1, 2, 4]
    first, second, last = (values for _, values in found)
    assert math.isnan(first.pop("train_loss"))
    assert first == {
        **{"epoch": 0.1, "learning_rate": 1e-4, "grad_norm": math.inf, "train_new_one": 3.0}
    }
    assert second == {"eval_loss": 0.5, "eval_rewards_margin": 1.0}
    assert last == {"train_loss": -math.inf, "eval_loss": 2.0}
    assert metrics_of(rows)[0].time == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    "odd", [None, 3, "x", {}, {"metrics": 1}, [[]], [{"train/global_step": {}}]]
)
def test_what_is_no_list_of_rows_says_nothing(odd):
    assert metrics_of(odd) == []
    assert logs_of(odd, str) == []


# --- when to look again ----------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def test_looks_come_soon_at_first_and_after_a_change_and_later_less_often():
    clock = Clock()
    cadence, times = Cadence(lambda: clock.now, clock.sleep), []
    for number in range(60):
        before = clock.now
        cadence.wait(lambda: None, changed=number == 50)
        times.append(clock.now - before)
    assert times[0] == pytest.approx(1.1)
    assert max(times) == pytest.approx(LONGEST_WAIT)
    assert times[:36] == sorted(times[:36])
    assert times[49] == pytest.approx(LONGEST_WAIT)
    assert times[50] == pytest.approx(1.0)
    assert sum(times[:36]) < 360  # half a minute apart after six minutes
    before = clock.now
    cadence.wait(lambda: None, changed=False, at_least=100.0)
    assert clock.now - before == pytest.approx(100.0)


def test_who_asks_something_is_heard_at_once():
    clock, wanted = Clock(), []
    cadence = Cadence(lambda: clock.now, clock.sleep)
    for _ in range(50):
        cadence.wait(lambda: None, changed=False)
    before = clock.now

    def sleep(seconds):
        clock.now += seconds
        wanted.append("cancel")

    cadence._sleep = sleep
    cadence.wait(lambda: "cancel" if wanted else None, changed=False)
    assert clock.now - before <= 0.5
