"""Deleting and tidying: only what rests, only what is a run's own, and what is said is freed."""

from __future__ import annotations

import os

import pytest

from ftlab.errors import RunError
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.manifest import MANIFEST, manifest_of
from ftlab.runs import Run, Runs
from ftlab.spec import JobSpec
from ftlab.upkeep import tidying

LOSSES = {10: 2.0, 20: 1.0, 30: 1.5}


def make(folder, **spec):
    return Run.create(Job(spec=JobSpec(model="m", **spec), provider="local"), folder)


def report(run, *events):
    writer = run.writer()
    for event in events:
        writer.append(event)
    writer.close()


def save(run, step, n_bytes=1000):
    """A whole checkpoint, as far as its manifest tells."""
    folder = run.checkpoint(step)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"x" * n_bytes)
    (folder / MANIFEST).write_text(manifest_of(folder))
    return folder


@pytest.fixture
def run(tmp_path):
    """Completed, with three checkpoints of which the second is the best."""
    run = make(tmp_path)
    report(run, *(Metrics(step=s, values={"eval_loss": loss}) for s, loss in LOSSES.items()))
    report(run, Status(status="completed"))
    for step in LOSSES:
        save(run, step)
    return run


def test_a_run_is_deleted_whole_and_says_what_that_freed(tmp_path, run):
    other = make(tmp_path)
    n_bytes = sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file())
    assert run.bytes_on_disk == n_bytes
    assert run.delete() == n_bytes
    assert [path.name for path in tmp_path.iterdir()] == [other.id]


def test_a_live_run_is_neither_deleted_nor_tidied(run):
    lock = run.lock()
    for remove in (run.delete, run.tidy):
        with pytest.raises(RunError, match="only what no process uses can be removed"):
            remove()
    os.close(lock)
    assert run.steps_on_disk == [10, 20, 30]
    run.delete()


def test_links_are_not_followed(tmp_path, run):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    runs.mkdir()
    outside.mkdir()
    (outside / "precious").write_text("keep")
    (runs / run.id).symlink_to(run.path)
    with pytest.raises(RunError, match="is a link; ftlab deletes only"):
        Runs(runs)[run.id].delete()
    assert run.path.is_dir()
    (run.path / "notes").symlink_to(outside)
    assert run.bytes_on_disk < 10_000
    run.delete()
    assert (outside / "precious").read_text() == "keep"


@pytest.mark.parametrize("name", ["my-project", "20260101-000000-copy"])
def test_a_folder_that_ftlab_did_not_make_stays(tmp_path, run, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "job.json").write_bytes(run._job_file.read_bytes())
    with pytest.raises(RunError, match="has another name than ftlab gives"):
        Run(tmp_path / name).delete()
    assert (tmp_path / name / "job.json").exists()


def test_what_a_live_run_goes_on_from_stays(tmp_path, run):
    heir = make(tmp_path, from_checkpoint=str(run.checkpoint(20)))
    lock = heir.lock()
    with pytest.raises(RunError, match=f"Run {heir.id} goes on from {run.id}"):
        run.delete()
    os.close(lock)
    run.delete()


def test_what_a_killed_deletion_left_goes_with_the_next(tmp_path, run):
    left = tmp_path / ".gone-20260101-000000-run-0000"
    left.mkdir()
    (left / "job.json").write_text("{}")
    assert [one.id for one in Runs(tmp_path)] == [run.id]
    run.delete()
    assert not left.exists()


@pytest.mark.parametrize(("keep", "step"), [("best", 20), ("last", 30)])
def test_one_checkpoint_is_kept(run, keep, step):
    plan = tidying(run, keep)
    assert plan.kept == (step,)
    before = run.bytes_on_disk
    freed = run.tidy(keep)
    assert freed == plan.frees
    assert run.steps_on_disk == [step]
    assert os.listdir(run.checkpoints) == [f"step-{step:08}"]
    log = run.history.logs[-1].text
    assert f"2 checkpoints removed; step {step} is kept" in log
    assert before - freed <= run.bytes_on_disk < before
    assert run.status == "completed"
    assert run.tidy(keep) == 0


def test_a_run_that_can_go_on_keeps_its_best_and_its_last(run):
    report(run, Status(status="paused"))
    assert tidying(run, "last").in_words().startswith("keep the checkpoints of steps 20 and 30 and")
    run.tidy("best")
    assert run.steps_on_disk == [20, 30]
    assert run.resumes_from == "from step 30"


def test_a_damaged_checkpoint_costs_no_whole_one(run):
    (run.checkpoint(20) / "adapter_model.safetensors").write_bytes(b"y" * 1000)
    with pytest.raises(RunError, match="Nothing was removed"):
        run.tidy("best")
    assert run.steps_on_disk == [10, 20, 30]


def test_without_a_validation_loss_there_is_no_best(tmp_path):
    run = make(tmp_path)
    with pytest.raises(RunError, match="has no checkpoint"):
        run.tidy()
    save(run, 10)
    save(run, 20)
    report(run, Metrics(step=20, values={"eval_loss": float("nan")}), Status(status="completed"))
    with pytest.raises(RunError, match="Keep the last one"):
        run.tidy("best")
    run.tidy("last")
    assert run.steps_on_disk == [20]


def test_checkpoints_that_lie_elsewhere_are_left(tmp_path, run):
    elsewhere = tmp_path / "big-disk"
    run.checkpoints.rename(elsewhere)
    run.checkpoints.symlink_to(elsewhere)
    with pytest.raises(RunError, match="has no checkpoint"):
        run.tidy("last")
    assert len(list(elsewhere.iterdir())) == 3
