"""The folder of a sweep: what lies in it is all that is known of it."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from ftlab.errors import RunError
from ftlab.events import Decision, Metrics, Status
from ftlab.manifest import MANIFEST, manifest_of
from ftlab.runs import Runs
from ftlab.sweeps.folder import Sweep, Sweeps, find
from ftlab.sweeps.shown import rows_of
from tests.sweeps.worlds import plan, tell


@pytest.fixture
def sweep(tmp_path):
    return Sweep.of(plan(3), tmp_path)


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


def end(run, status, *losses) -> None:
    """Let the run of an arm have these losses, and this end."""
    metrics = (Metrics(step=s, values={"train_loss": v, "eval_loss": v}) for s, v in losses)
    tell(run, Status(status="running", n_steps=240), *metrics, Status(status=status))


@pytest.fixture
def finished(sweep):
    first, second, third = (run for _, run in sweep.arms)
    end(first, "completed", (20, 3.0), (240, 2.2))
    end(second, "paused", (20, 2.5), (120, 2.0))
    end(third, "completed", (20, 3.1))
    tell(
        sweep,
        Decision(rung=-1, step=30, kept=(0, 1, 2)),
        Decision(rung=0, step=20, kept=(0, 1), stopped={2: "behind at step 20"}),
        Status(status="paused"),
    )
    return sweep


def test_the_answer_counts_the_steps_of_a_range_test_too(finished):
    assert finished.answer.steps == 240 + 120 + 20 + 30
    assert finished.answer.best == 1
    assert finished.winner.path == finished.path / "arms" / "02"


def test_an_arm_whose_folder_is_gone_does_not_move_the_others(finished):
    before = finished.answer
    shutil.rmtree(finished.path / "arms" / "01")
    for one in (finished, Sweep(finished.path)):
        assert one.answer.best == before.best == 1
        assert one.winner.path.name == "02"
        assert one.winning_spec.learning_rate == one.winner.job.spec.learning_rate
        assert [*one.answer.regrets] == [1, 2]
        assert [row[-1] for row in rows_of(one).values()] == [
            *("its run was deleted", "paused", "ended: behind at step 20")
        ]


def test_the_winning_spec_is_what_the_person_gave_with_the_winning_rate(tmp_path):
    given = {"model": "demo", "training_file": "train.jsonl", "n_epochs": 2}
    of = Sweep.of(plan(3, given=given), tmp_path)
    end(of.arms[2][1], "completed", (240, 2.0))
    spec = of.winning_spec
    assert spec.model_dump(exclude_unset=True) == {**given, "learning_rate": 3.2e-3}


def test_before_the_first_loss_there_is_no_winner(sweep):
    assert sweep.winner is None
    with pytest.raises(RunError, match="Wait for the first evaluations"):
        _ = sweep.winning_spec


def test_the_winner_becomes_a_run_of_its_own_that_can_go_on(finished, tmp_path):
    (finished.winner.path / "checkpoints" / "step-00000120").mkdir(parents=True)
    run = finished.promote()
    assert [found.id for found in Runs(tmp_path)] == [run.id]
    assert run.status == "paused"
    assert run.why_not_resume == ""
    assert run.resumes_from == "from step 120"
    assert run.job.spec.learning_rate == 1e-3
    assert run.history.series == finished.winner.history.series
    assert run.name == f"1e-3, best of {finished.id}"


def test_the_winner_is_copied_once(finished, tmp_path):
    run = finished.promote()
    assert finished.promote().id == run.id
    assert run.tags == (finished.id,)
    assert len(list(Runs(tmp_path))) == 1


def test_an_arm_that_goes_on_is_not_copied(finished):
    handle = finished.winner.lock()
    try:
        with pytest.raises(RunError, match="only one that no process trains is copied"):
            finished.promote()
    finally:
        os.close(handle)


def whole_checkpoint(run, step):
    """A checkpoint that is as it was written."""
    folder = run.checkpoint(step)
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(b"its state")
    (folder / MANIFEST).write_text(manifest_of(folder))


@pytest.fixture
def overtaken(sweep):
    """The winner was ended at a rung, because another one was as good there."""
    first, second, third = sweep.runs.values()
    end(first, "completed", (20, 2.9), (120, 2.1), (240, 2.2))
    end(second, "completed", (20, 2.5), (120, 2.0))
    end(third, "completed", (20, 3.1))
    tell(sweep, Status(status="completed"))
    return sweep


def test_a_winner_that_was_ended_at_a_rung_goes_on_from_there(overtaken):
    whole_checkpoint(overtaken.winner, 120)
    run = overtaken.promote()
    assert (run.status, run.why_not_resume) == ("paused", "")
    assert run.resumes_from == "from step 120"
    assert run.history.series == overtaken.winner.history.series
    assert overtaken.winner.status == "completed"


def test_without_a_checkpoint_its_model_is_copied_and_it_says_how_to_train_it(overtaken):
    overtaken.winner.adapter.mkdir()
    run = overtaken.promote()
    assert run.status == "completed"
    assert run.adapter.exists()
    assert "submit the sweep's winning_spec" in run.history.logs[-1].text


def test_a_winner_of_which_nothing_is_left_is_told_of(overtaken):
    with pytest.raises(RunError, match="neither its model nor a checkpoint is there any more"):
        overtaken.promote()


def test_a_winner_that_was_cancelled_is_told_of(sweep, tmp_path):
    for number, run in sweep.runs.items():
        end(run, "cancelled", (20, 2.0 + number))
    with pytest.raises(RunError, match=r"has kept nothing; .* Train the sweep's winning_spec"):
        sweep.promote()
    assert list(Runs(tmp_path)) == []


def test_an_arm_that_failed_is_best_only_where_all_have(sweep):
    first, second, third = sweep.runs.values()
    end(first, "completed", (20, 2.5), (240, 2.2))
    end(second, "completed", (20, 2.5), (240, 2.1))
    end(third, "failed", (20, 1.5))
    assert sweep.winner.path == second.path
    assert sweep.answer.headline.startswith("1e-3")
    assert min(sweep.answer.regrets.values()) == 0
    assert sweep.promote().job.spec.learning_rate == 1e-3
    for run in (first, second):
        tell(run, Status(status="failed", detail="The loss became nan at step 61."))
    with pytest.raises(RunError, match="has failed, as all others"):
        sweep.promote()


def test_a_copy_for_which_there_is_no_room_leaves_nothing(finished, tmp_path, monkeypatch):
    def full(_, to, **__):
        (to / "half.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(OSError, match="No space left"):
        finished.promote()
    assert [path for path in tmp_path.iterdir() if path != finished.path] == []


def test_cancelling_a_sweep_that_is_paused_cancels_its_arms(finished):
    finished.cancel()
    assert finished.status == "cancelled"
    assert [run.status for _, run in finished.arms] == ["completed", "cancelled", "completed"]


def test_it_shows_itself_in_words_and_as_html(finished):
    assert "1e-3 (8e-4 to 1.2e-3) leads at step 120 of 240" in repr(finished)
    html = finished._repr_html_()
    assert "ended: behind at step 20" in html
    assert "1e-3 (best)" in html
    assert "<script" not in html


def test_without_a_name_the_one_that_is_alive_is_found(finished, tmp_path):
    run = finished.promote()
    assert find(folder=tmp_path).id == run.id
    handle = finished.lock()
    try:
        assert find(folder=tmp_path).id == finished.id
    finally:
        os.close(handle)
    assert isinstance(find(str(finished.path)), Sweep)
    assert find(finished.id, tmp_path).id == finished.id
    assert not isinstance(find(run.id, tmp_path), Sweep)


def test_a_sweep_is_deleted_with_its_arms(finished, tmp_path):
    finished.promote()
    finished.cancel()
    finished.delete()
    assert list(Sweeps(tmp_path)) == []
    assert len(list(Runs(tmp_path))) == 1
