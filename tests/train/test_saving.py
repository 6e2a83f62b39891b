"""How often a state is saved for the sake of resuming alone."""

from __future__ import annotations

import errno

import pytest

from ftlab.manifest import written_whole
from ftlab.spec import JobSpec
from ftlab.train.position import Position, Verdicts
from ftlab.train.saving import FIRST_SECONDS, LEAST_SECONDS, Pace, Saving


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr("ftlab.train.saving.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("cost", "step"), [(0.001, 0.01), (0.05, 0.1), (3.0, 2.0), (40.0, 9.0)])
def test_saving_takes_about_a_hundredth_of_a_run(clock, cost, step):
    pace, began, n_saved = Pace(), clock[0], 0
    while clock[0] - began < 50_000 and n_saved < 1_000:
        clock[0] += step
        if pace.is_due():
            clock[0] += cost
            pace.took(cost)
            n_saved += 1
    assert n_saved * cost < 0.0105 * (clock[0] - began) + cost
    assert n_saved >= 5


def test_the_first_comes_soon_and_none_follows_at_once(clock):
    pace = Pace()
    clock[0] += FIRST_SECONDS + 1
    assert pace.is_due()
    pace.took(0.0)
    clock[0] += LEAST_SECONDS - 1
    assert not pace.is_due()


def test_a_full_disk_puts_a_state_off_and_nothing_else_does(tmp_path):
    saving = Saving(tmp_path / "checkpoints")
    log = saving.put_off(OSError(errno.ENOSPC, "No space left on device"))
    assert "No space left on device" in log.text
    assert "Make room" in log.text
    with pytest.raises(PermissionError):
        saving.put_off(PermissionError(errno.EACCES, "no"))


def test_a_best_state_that_is_not_whole_is_told_of(tmp_path):
    saving, spec = Saving(tmp_path), JobSpec(early_stopping_enabled=True)
    verdicts = Verdicts(n_seen=5, n_worse=3, best_step=2, best_loss=0.5)
    position = Position(step=5, verdicts=verdicts)
    with written_whole(saving.path(2)) as staged:
        (staged / "weights").write_text("as it was")
    assert saving.best(spec, position)[:2] == (saving.path(2), 2)
    assert saving.best(JobSpec(), position) == (None, 5, "", "")
    (saving.path(2) / "weights").write_text("otherwise")
    best = saving.best(spec, position)
    assert best[:3] == (None, 5, "")
    assert best.problem.startswith("The checkpoint of step 2, where the validation loss was lowest")
    assert "its weights is not as it was written" in best.problem
    assert "that of step 5 now" in best.problem


def test_runs_that_take_turns_save_as_much_together_as_one_alone(clock):
    alone, together = Pace(), Pace(4)
    for pace in (alone, together):
        pace.took(3.0)
    clock[0] += 301
    assert alone.is_due()
    assert not together.is_due()
    clock[0] += 900
    assert together.is_due()
