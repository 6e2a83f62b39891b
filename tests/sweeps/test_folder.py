"""The folder of a sweep: what lies in it is all that is known of it."""

from __future__ import annotations

import pytest

from ftlab.errors import RunError
from ftlab.eventlog import EventWriter
from ftlab.events import Decision, Metrics, Status
from ftlab.runs import Runs
from ftlab.sweeps.folder import Sweep, Sweeps
from tests.sweeps.worlds import plan


@pytest.fixture
def sweep(tmp_path):
    return Sweep.of(plan(3), tmp_path)


def tell(run, *events) -> None:
    writer = EventWriter(run.event_file)
    for event in events:
        writer.append(event)
    writer.close()


def test_each_arm_is_an_ordinary_run_and_none_of_the_list(sweep, tmp_path):
    assert [arm.name for arm, _ in sweep.arms] == ["3.2e-4", "1e-3", "3.2e-3"]
    assert [run.job.spec.learning_rate for _, run in sweep.arms] == [3.2e-4, 1e-3, 3.2e-3]
    assert list(Runs(tmp_path)) == []
    assert [found.id for found in Sweeps(tmp_path)] == [sweep.id]
    assert "-sweep-" in sweep.id


def test_another_process_reads_the_same(sweep):
    tell(sweep.arms[1][1], Metrics(step=24, values={"eval_loss": 2.0}))
    tell(sweep, Decision(rung=0, step=24, kept=(1,), stopped={0: "behind", 2: "behind"}))
    other = Sweep(sweep.path)
    assert other.plan == sweep.plan
    assert other.curves() == {0: {}, 1: {24: 2.0}, 2: {}}
    assert other.decisions[0].stopped == {0: "behind", 2: "behind"}


def test_an_arm_that_was_added_counts_once_its_folder_is_there(sweep):
    new = {"name": "1e-2", "changes": {"learning_rate": 0.01}}
    tell(sweep, Decision(rung=0, step=24, kept=(0, 1, 2), added=(new,)))
    assert [arm.name for arm in sweep.all_arms][3:] == ["1e-2"]
    assert len(sweep.arms) == 3
    sweep.run_of(3, sweep.all_arms[3])
    assert sweep.arms[3][1].job.spec.learning_rate == 0.01


def test_the_rungs_follow_the_steps_that_the_arms_really_have(sweep):
    tell(sweep.arms[0][1], Status(status="running", n_steps=100))
    assert sweep.plan.n_steps == 100
    assert sweep.plan.rungs == plan(3).over(100).rungs


def test_a_sweep_without_a_process_has_failed_and_says_so(sweep):
    assert sweep.state.status == "failed"


def test_a_folder_without_a_plan_is_no_sweep(tmp_path):
    with pytest.raises(RunError, match=r"a sweep is a folder with a sweep\.json"):
        Sweep(tmp_path)


def test_a_damaged_plan_is_told_of(sweep):
    (sweep.path / "sweep.json").write_text("{")
    with pytest.raises(RunError, match="can't be read"):
        _ = Sweep(sweep.path).plan
