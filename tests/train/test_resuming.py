"""A run that is killed or paused, wherever that is, ends as one that never was."""

from __future__ import annotations

import random
import shutil

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ftlab.eventlog import EventReader
from ftlab.events import Checkpoint
from ftlab.providers import prepare
from ftlab.run import checkpoint_steps
from ftlab.train.checkpoints import damage, newest_whole
from tests.small import chat_rows, preference_rows, save_model, write_rows
from tests.train.warm import KILLED, damage_one, new_run, outcome

pytestmark = [
    pytest.mark.slow,
    # transformers 5.23 and peft 0.19 warn about each other's names.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SFT = {"lora_dropout": 0.1, "gradient_accumulation_steps": 2}
DPO = {"training_method": "dpo", "lora_dropout": 0.1}
WHOLE = {"lora": False, "learning_rate": 1e-3}
KINDS = {
    "sft": SFT,
    "samples": {**SFT, "sample_prompts": ("Where is order 3?", "Hello, you")},
    "packed": {**SFT, "packing": True, "max_seq_length": 96, "n_epochs": 4, "batch_size": 1},
    "dpo": DPO,
    "dora": {**SFT, "use_dora": True, "optimizer": "sgd"},
    "all weights": WHOLE,
    "dpo of all weights": {**DPO, **WHOLE, "lora_dropout": 0.0},
    "early stopping": {
        **SFT,
        **{"n_evals": 8, "early_stopping_enabled": True, "early_stopping_patience": 3},
        **{"early_stopping_min_delta": 0.5, "n_checkpoints": 4},
    },
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_model(folder / "model")
    write_rows(folder / "sft.jsonl", chat_rows(20))
    write_rows(folder / "sft-valid.jsonl", chat_rows(6, start=500))
    write_rows(folder / "dpo.jsonl", preference_rows(12))
    write_rows(folder / "dpo-valid.jsonl", preference_rows(4, start=500))
    return folder


@pytest.fixture(scope="module")
def job(files):
    """A job of a kind; the steps of an epoch don't come out even."""

    def make(kind="sft", **changes):
        values = {**KINDS[kind], **changes}
        data = values.get("training_method", "sft")
        common = {
            "model": str(files / "model"),
            "training_file": str(files / f"{data}.jsonl"),
            "validation_file": str(files / f"{data}-valid.jsonl"),
            **{"batch_size": 3, "n_epochs": 2, "learning_rate": 1e-2, "n_evals": 3},
        }
        return prepare({**common, **values}).job

    return make


@pytest.fixture(scope="module")
def unkilled(warm, job, tmp_path_factory):
    """What a run of a kind comes to that nobody disturbs; it saves no state on the way."""
    known = {}

    def of(kind):
        if kind not in known:
            run = new_run(job(kind), tmp_path_factory.mktemp("whole"), "run")
            assert warm.carry_out(run) == 0, run.log_file.read_text()
            known[kind] = outcome(run)
        return known[kind]

    return of


@pytest.fixture
def run(job, tmp_path):
    return new_run(job(), tmp_path, "runs")


POINTS = {
    "step": 6,
    "evaluation": 4,
    "event": 12,
    "sync": 17,
    "manifest": 2,
    "weights": 2,
    "optimizer": 2,
    "rename": 3,
    "removal": 2,
}


@pytest.mark.parametrize("at", POINTS)
def test_a_run_killed_anywhere_ends_as_if_it_had_not_been(warm, unkilled, run, at):
    assert warm.carry_out(run, every=1, kill={"at": at, "n": POINTS[at]}) == KILLED
    assert run.status == "failed"
    assert warm.carry_out(run, every=1) == 0, run.log_file.read_text()
    assert outcome(run) == unkilled("sft")
    assert not [*run.checkpoints.glob(".*")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sft"])
def test_every_kind_of_training_goes_on_bit_by_bit(warm, unkilled, job, tmp_path, kind):
    run = new_run(job(kind), tmp_path, "runs")
    plans = (
        {"kill": {"at": "step", "n": 4}},
        {"pause": 2},
        {"kill": {"at": "loading", "n": 1}},
        {"kill": {"at": "evaluation", "n": 1}},
    )
    ends = [warm.carry_out(run, every=1, **plan) for plan in plans]
    assert ends == [KILLED, 0, KILLED, KILLED], run.log_file.read_text()
    assert warm.carry_out(run) == 0, run.log_file.read_text()
    assert outcome(run) == unkilled(kind)


def test_kills_at_random_times(warm, unkilled, job, tmp_path):
    draw = random.Random(3)
    for trial in range(4):
        run, n_kills = new_run(job(), tmp_path, f"{trial}"), 0
        while True:
            plan = {"kill": {"after": draw.uniform(0.0, 0.6)}} if n_kills < 3 else {}
            if warm.carry_out(run, every=1, **plan) == 0:
                break
            n_kills += 1
        assert outcome(run) == unkilled("sft")


def test_a_step_counts_once_and_the_curve_is_whole(warm, run):
    for n in (4, 2, 3):
        warm.carry_out(run, every=2, kill={"at": "event", "n": 4 + n})
    warm.carry_out(run, every=2)
    assert list(run.history.series["train_loss"]) == list(range(1, run.history.n_steps + 1))
    events = EventReader(run.path / "events.jsonl").new_events()
    assert [*dict.fromkeys(event.attempt for event in events)] == [1, 2, 3, 4]


def test_a_pause_between_evaluations_and_a_signal_are_alike(warm, unkilled, run):
    assert warm.carry_out(run, pause=2) == 0
    assert run.state == ("paused", "paused at step 2 of 8")
    assert checkpoint_steps(run.checkpoints) == [2]
    assert warm.carry_out(run, signal=3) == 0
    assert run.state == ("paused", "paused at step 5 of 8")
    assert warm.carry_out(run) == 0
    assert outcome(run) == unkilled("sft")


def test_a_damaged_checkpoint_is_named_and_passed_over(warm, unkilled, run):
    warm.carry_out(run, every=1, kill={"at": "step", "n": 5})
    newest = run.checkpoints / "step-00000004"
    assert not damage(newest)
    shutil.copytree(newest, run.checkpoints / "step-00000007")  # of a step that it is not of
    (newest / "optimizer.safetensors").write_bytes(b"")
    shutil.rmtree(run.checkpoints / "step-00000003", ignore_errors=True)
    (run.checkpoints / "step-00000003").mkdir()
    shutil.copytree(run.checkpoints / "step-00000007", run.checkpoints / "step-00000002")
    warm.carry_out(run)
    said = " ".join(log.text for log in run.history.logs)
    assert "step-00000004 is damaged (its optimizer.safetensors is not as it was written)" in said
    assert "step-00000003 is damaged (its manifest.json is missing)" in said
    assert "step-00000007 is damaged" in said
    assert "begins at step 0 again" in said
    assert outcome(run) == unkilled("sft")


def test_no_damage_is_taken_for_whole(warm, run, tmp_path):
    warm.carry_out(run, every=1, kill={"at": "step", "n": 3})
    newest = run.checkpoints / "step-00000002"
    assert newest_whole(run.checkpoints).folder == newest
    draw, accepted = random.Random(5), []
    for _ in range(100):
        folder = tmp_path / "damaged"
        shutil.copytree(run.checkpoints, folder)
        what = damage_one(folder / newest.name, draw)
        found = newest_whole(folder)
        if found.folder is not None or not found.problems:
            accepted.append(what)
        shutil.rmtree(folder)
    assert accepted == []


def test_a_checkpoint_is_an_adapter_that_peft_loads(warm, job, files, tmp_path):
    run = new_run(job(n_checkpoints=4), tmp_path, "runs")
    warm.carry_out(run)
    assert checkpoint_steps(run.checkpoints)[:3] == [2, 4, 6]
    base = AutoModelForCausalLM.from_pretrained(files / "model")
    PeftModel.from_pretrained(base, run.checkpoints / "step-00000004")
    saved = [event for event in run.new_events() if isinstance(event, Checkpoint)]
    steps = [event.step for event in saved if event.ref != "adapter"]
    assert {2, 4, 6, *best(run)} <= {*steps}
    assert steps == sorted(steps)
    assert (run.path / saved[0].ref / "adapter_model.safetensors").exists()


def best(run):
    """The step of the lowest validation loss, where its state is one of its own."""
    losses = run.history.series["eval_loss"]
    found = min((step for step in losses if step), key=lambda step: losses[step])
    return {found} - {run.history.n_steps}


def test_only_what_is_wanted_stays(warm, job, tmp_path):
    run = new_run(job(n_checkpoints=2), tmp_path, "runs")
    warm.carry_out(run, every=1, kill={"at": "step", "n": 8})
    assert set(checkpoint_steps(run.checkpoints)) == {4, 7, *best(run)}
    warm.carry_out(run, every=1)
    assert set(checkpoint_steps(run.checkpoints)) == {4, *best(run)}


def test_early_stopping_ends_the_run_and_keeps_the_best(warm, job, tmp_path):
    run = new_run(job("early stopping"), tmp_path, "runs")
    warm.carry_out(run)
    losses = run.history.series["eval_loss"]
    assert run.history.last_step < run.history.n_steps
    assert run.status == "completed"
    judged = {step: loss for step, loss in losses.items() if step > 1}
    lowest = min(judged, key=lambda step: judged[step])
    kept = run.history.checkpoints[-1]
    assert (kept.ref, kept.step) == ("adapter", lowest)
    assert not damage(run.adapter)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(warm, unkilled, run):
    assert warm.carry_out(run, every=1, room=8_000) in (0, 1)
    assert run.status == "failed"
    assert "There is no room" in run.state.detail
    steps = list(run.history.series["train_loss"])
    assert steps == list(range(1, len(steps) + 1))
    assert warm.carry_out(run) == 0
    assert outcome(run) == unkilled("sft")


def test_where_not_even_an_event_fits_the_reason_is_known(warm, unkilled, run):
    assert warm.carry_out(run, every=1, room=4_200) == 1
    assert run.status == "failed"
    assert "There is no room" in run.state.detail
    assert warm.carry_out(run) == 0
    assert outcome(run) == unkilled("sft")


def test_a_run_whose_folder_is_removed_ends(warm, run):
    assert warm.carry_out(run, every=1, remove=3) == 1
    assert not run.path.exists()


def test_a_clock_that_jumps_changes_nothing(warm, unkilled, run):
    warm.carry_out(run, every=2, clock=1, kill={"at": "step", "n": 6})
    assert warm.carry_out(run, every=2, clock=2) == 0
    assert outcome(run) == unkilled("sft")


def test_what_was_cancelled_keeps_nothing(warm, run):
    warm.carry_out(run, pause=3)
    run.cancel()
    assert run.status == "cancelled"
    assert not run.checkpoints.exists()


def test_a_paused_run_can_be_ended_with_what_it_learned(warm, run, files):
    warm.carry_out(run, pause=3)
    run.stop()
    assert run.wait(60) == ("completed", f"stopped at step 3 of {run.history.n_steps}")
    base = AutoModelForCausalLM.from_pretrained(files / "model")
    PeftModel.from_pretrained(base, run.adapter)
