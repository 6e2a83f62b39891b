"""A sweep in one process: each arm is the run that it would be by itself, whatever happens."""

from __future__ import annotations

import random
from itertools import chain, repeat

import pytest

from ftlab.events import Status
from ftlab.providers import prepare
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import planned
from ftlab.train.shared import Shared
from ftlab.train.sweep import CROWD
from ftlab.train.sweeping import Sweeping
from tests.small import chat_rows, preference_rows, save_architecture, save_model, write_rows
from tests.sweeps.worlds import tell
from tests.train.warm import KILLED, new_run, outcome

pytestmark = [
    pytest.mark.slow,
    # transformers 5.23 and peft 0.19 warn about each other's names.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

RATES = {"learning_rate": [1e-3, 3e-3, 1e-2]}
DPO = {"training_method": "dpo"}
PACKED = {"packing": True, "max_seq_length": 96, "batch_size": 1}
KINDS = {
    "rates": ({"neftune_noise_alpha": 5.0}, RATES),
    "ranks": ({}, {"learning_rate": [1e-3, 1e-2], "lora_r": [4, 8]}),
    "modules": ({"lora_trainable_modules": ("q_proj",)}, {"use_dora": [False, True], **RATES}),
    "dpo": (DPO, RATES),
    "dpo of other batches": (DPO, {"batch_size": [3, 4]}),
    "packed": (PACKED, RATES),
    "samples": ({"sample_prompts": ("Where is order 3?",)}, RATES),
    "all weights": ({"lora": False, "lora_dropout": 0.0}, RATES),
    "dpo of all weights": ({**DPO, "lora": False, "lora_dropout": 0.0}, RATES),
    "early stopping": (
        {"n_evals": 6, "early_stopping_enabled": True, "early_stopping_patience": 2}
        | {"early_stopping_min_delta": 0.5},
        RATES,
    ),
}
HALVED = {"learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]}
EXPLODING = {"lora": False, "lora_dropout": 0.0, "n_evals": 7}
LONG = {"batch_size": 1, "n_epochs": 2}
ENDLESS = 1e300  # noise beyond the largest number of float32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_model(folder / "model")
    for family in ("gpt2", "qwen3_moe"):
        save_architecture(folder / family, family)
    write_rows(folder / "sft.jsonl", chat_rows(20))
    write_rows(folder / "sft-valid.jsonl", chat_rows(6, start=500))
    write_rows(folder / "dpo.jsonl", preference_rows(12))
    write_rows(folder / "dpo-valid.jsonl", preference_rows(4, start=500))
    return folder


@pytest.fixture(scope="module")
def plan(files):
    def make(varied, *, halving=False, range_test=False, model="model", **values):
        data = values.get("training_method", "sft")
        common = {
            "model": str(files / model),
            "training_file": str(files / f"{data}.jsonl"),
            "validation_file": str(files / f"{data}-valid.jsonl"),
            **{"batch_size": 3, "n_epochs": 2, "learning_rate": 1e-2, "n_evals": 3},
        }
        job = prepare({**common, "lora_dropout": 0.1, **values}).job
        rows = len((files / f"{data}.jsonl").read_text().splitlines())
        n_steps = -(-rows // int(job.spec.batch_size)) * job.spec.n_epochs
        return planned(job, varied, n_steps, halving=halving, range_test=range_test)

    return make


def comes_to(sweep: Sweep) -> dict:
    """What must be the same to the last bit, however often a sweep was interrupted."""
    decided = [(d.rung, d.step, d.kept, d.stopped, d.added) for d in sweep.decisions]
    return {
        "state": sweep.state,
        "decisions": decided,
        "arms": [outcome(run) for _, run in sweep.arms],
        "said": [run.state.detail for _, run in sweep.arms],
    }


@pytest.fixture(scope="module")
def halved(plan):
    """A plan with rungs, at which arms end and one is added."""
    return plan(HALVED, halving=True, **LONG)


@pytest.fixture(scope="module")
def undisturbed(warm, halved, tmp_path_factory):
    sweep = Sweep.of(halved, tmp_path_factory.mktemp("whole"))
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    return comes_to(sweep)


def alone(warm, sweep: Sweep, number: int, folder) -> Run:
    run = new_run(sweep.plan.job_of(sweep.all_arms[number]), folder, f"alone {number}")
    assert warm.carry_out(run) == 0, run.log_file.read_text()
    return run


# --- arms do not notice each other -----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_arm_is_to_the_last_bit_what_it_is_alone(warm, plan, tmp_path, kind):
    values, varied = KINDS[kind]
    sweep = Sweep.of(plan(varied, **values), tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert sweep.status == "completed"
    for number, (_, run) in enumerate(sweep.arms):
        assert outcome(run) == outcome(alone(warm, sweep, number, tmp_path)), number


@pytest.mark.parametrize("model", ["gpt2", "qwen3_moe"])
def test_other_architectures_share_their_weights_too(warm, plan, tmp_path, model):
    sweep = Sweep.of(plan({"learning_rate": [1e-3, 1e-2]}, model=model, lora_dropout=0.0), tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert outcome(sweep.arms[1][1]) == outcome(alone(warm, sweep, 1, tmp_path))


@pytest.mark.parametrize("at_once", [1, 2])
def test_arms_that_the_memory_has_no_room_for_rest_meanwhile(
    warm, halved, undisturbed, tmp_path, at_once
):
    sweep = Sweep.of(halved, tmp_path)
    assert warm.carry_out(sweep, at_once=at_once) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


def test_where_the_memory_does_not_suffice_for_all_fewer_go_on(warm, halved, undisturbed, tmp_path):
    sweep = Sweep.of(halved, tmp_path)
    assert warm.carry_out(sweep, every=1, full=9) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


# --- who goes on -----------------------------------------------------------------------------


def test_arms_stop_at_rungs_with_their_reason_and_keep_what_they_learned(warm, halved, tmp_path):
    sweep = Sweep.of(halved, tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    stopped = {n: why for decision in sweep.decisions for n, why in decision.stopped.items()}
    assert stopped
    assert [arm.name for arm, _ in sweep.arms[4:]] == ["3.3e-2"]
    for number, why in stopped.items():
        run = sweep.arms[number][1]
        assert run.state.status == "completed"
        assert run.state.detail.startswith("stopped at step 20 of 40")
        assert why in run.state.detail
        assert (run.adapter / "adapter_model.safetensors").is_file()
    kept = sweep.decisions[-1].kept
    assert {sweep.arms[n][1].history.last_step for n in kept} == {40}


def test_curves_grow_together(warm, plan, tmp_path):
    sweep = Sweep.of(plan(RATES, n_epochs=4), tmp_path)
    assert warm.carry_out(sweep) == 0
    times = [run.history.times for _, run in sweep.arms]
    assert all(times[0][24] > other[16] for other in times[1:])


def test_an_arm_that_fails_fails_alone(warm, plan, tmp_path):
    varied = {"learning_rate": [1e-3, 1e-2], "neftune_noise_alpha": [5, ENDLESS]}
    sweep = Sweep.of(plan(varied), tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    states = [run.state for _, run in sweep.arms]
    assert [state.status for state in states] == ["completed", "failed"] * 2
    assert "must stay a number" in states[1].detail
    assert {*sweep.decisions[-1].stopped} == {1, 3}
    assert sweep.status == "completed"


def test_a_sweep_whose_arms_all_fail_has_failed(warm, plan, tmp_path):
    sweep = Sweep.of(plan({"learning_rate": [1e-3, 1e-2]}, neftune_noise_alpha=ENDLESS), tmp_path)
    assert warm.carry_out(sweep) == 1
    assert sweep.state.detail.startswith("All 2 arms failed.")


def test_an_arm_whose_loss_explodes_ends_at_once(warm, plan, tmp_path):
    sweep = Sweep.of(plan({"learning_rate": [1e-3, 1e-2, 1.0]}, **EXPLODING), tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    exploded = sweep.arms[2][1]
    assert exploded.history.last_step == 2
    assert exploded.state.status == "completed"
    (decision,) = sweep.decisions
    assert decision.kept == (0, 1)
    assert decision.stopped[2] in exploded.state.detail
    assert "the validation loss rose to" in decision.stopped[2]


@pytest.mark.parametrize("kill", [{"at": "ending", "n": 1}, {"at": "turn", "n": 12}])
def test_a_killed_sweep_knows_why_an_arm_ended_at_once(warm, plan, tmp_path, kill):
    made = plan({"learning_rate": [1e-3, 1e-2, 1.0]}, **EXPLODING)
    whole, broken = Sweep.of(made, tmp_path / "whole"), Sweep.of(made, tmp_path / "broken")
    assert warm.carry_out(whole) == 0, whole.log_file.read_text()
    assert warm.carry_out(broken, every=1, kill=kill) == KILLED
    assert warm.carry_out(broken) == 0, broken.log_file.read_text()
    assert comes_to(broken) == comes_to(whole)


def test_a_broken_device_fails_the_sweep_and_none_of_its_arms(warm, halved, undisturbed, tmp_path):
    sweep = Sweep.of(halved, tmp_path)
    assert warm.carry_out(sweep, every=3, broken=12) == 1
    assert sweep.status == "failed"
    assert "illegal memory access" in sweep.state.detail
    assert {run.status for _, run in sweep.arms} == {"paused"}
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


def test_arms_that_failed_and_were_not_judged_try_again(plan, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    for _, run in sweep.arms:
        tell(run, Status(status="running"), Status(status="failed", detail="no memory"))
    sweeping = Sweeping(sweep, lambda: None, None)
    assert [contender.number for contender in sweeping.contenders] == [0, 1, 2]
    sweeping.close()
    assert {run.status for _, run in sweep.arms} == {"paused"}


def test_all_arms_end_as_the_sweep_does_whatever_is_asked_meanwhile(plan, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    asked = chain(["pause"], repeat("cancel"))
    assert Sweeping(sweep, lambda: next(asked), None).ended().status == "paused"
    assert {run.status for _, run in sweep.arms} == {"paused"}


def test_a_range_test_spares_the_arms_whose_rates_are_too_high(warm, plan, tmp_path):
    rates = {"learning_rate": [1e-3, 1e-2, 0.1, 1.0]}
    values = {"lora": False, "lora_dropout": 0.0, "n_epochs": 8, "batch_size": 2}
    sweep = Sweep.of(plan(rates, range_test=True, **values), tmp_path)
    assert warm.carry_out(sweep, kill={"at": "turn", "n": 2}) == KILLED
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    first, last = sweep.decisions
    assert (first.rung, first.step) == (-1, 20)
    assert 3 in first.stopped
    assert sweep.arms[3][1].state == ("cancelled", first.stopped[3])
    assert {*last.kept} == {*range(4)} - first.stopped.keys()
    assert outcome(sweep.arms[0][1]) == outcome(alone(warm, sweep, 0, tmp_path))


# --- interrupted -----------------------------------------------------------------------------

POINTS = {
    "step": 70,
    "evaluation": 20,
    "event": 120,
    "manifest": 9,
    "rename": 14,
    "loading": 1,
    "ending": 2,
    "joining": 5,
    "keeping": 3,
    "turn": 30,
}


@pytest.mark.parametrize("at", POINTS)
def test_a_sweep_killed_anywhere_ends_as_if_it_had_not_been(
    warm, halved, undisturbed, tmp_path, at
):
    sweep = Sweep.of(halved, tmp_path)
    if at == "loading":
        assert warm.carry_out(sweep, every=3, kill={"at": "step", "n": 60}) == KILLED
    assert warm.carry_out(sweep, every=3, kill={"at": at, "n": POINTS[at]}) == KILLED
    assert sweep.status == "failed"
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed
    assert not (sweep.path / CROWD).exists()


def test_kills_at_random_times(warm, halved, undisturbed, tmp_path):
    draw, sweep = random.Random(5), Sweep.of(halved, tmp_path)
    for _ in range(4):
        if warm.carry_out(sweep, every=3, kill={"after": draw.uniform(0.2, 1.5)}) == 0:
            break
    else:
        assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


@pytest.mark.parametrize("how", ["pause", "signal"])
def test_a_paused_sweep_goes_on(warm, halved, undisturbed, tmp_path, how):
    sweep = Sweep.of(halved, tmp_path)
    assert warm.carry_out(sweep, **{how: 33}) == 0
    assert sweep.status == "paused"
    assert {run.status for _, run in sweep.arms} == {"paused"}
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


def test_a_stopped_sweep_keeps_what_all_arms_have_learned(warm, plan, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    assert warm.carry_out(sweep, stop=12) == 0
    assert sweep.state.status == "completed"
    assert sweep.state.detail.startswith("stopped")
    for _, run in sweep.arms:
        assert run.status == "completed"
        assert (run.adapter / "adapter_model.safetensors").is_file()


def test_a_cancelled_sweep_keeps_nothing(warm, plan, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    assert warm.carry_out(sweep, every=1, cancel=12) == 0
    assert {sweep.status, *(run.status for _, run in sweep.arms)} == {"cancelled"}
    assert not any([*run.checkpoints.glob("*")] or run.adapter.exists() for _, run in sweep.arms)


def test_a_paused_sweep_is_stopped_without_its_model(warm, plan, files, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    assert warm.carry_out(sweep, pause=12) == 0
    (files / "model").rename(files / "gone")
    try:
        assert warm.carry_out(sweep, ask="stop") == 0, sweep.state
    finally:
        (files / "gone").rename(files / "model")
    assert {sweep.status, *(run.status for _, run in sweep.arms)} == {"completed"}


def test_one_arm_is_stopped_by_hand_and_the_others_go_on(warm, plan, tmp_path):
    sweep = Sweep.of(plan(RATES), tmp_path)
    assert warm.carry_out(sweep, pause=12) == 0
    first, *others = [run for _, run in sweep.arms]
    first.lock()
    first.writer().append(Status(status="completed", detail="stopped by hand"))
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert first.state.detail == "stopped by hand"
    assert {run.history.last_step for run in others} == {14}
    assert sweep.decisions[-1].kept == (1, 2)


# --- what they share -------------------------------------------------------------------------


def test_weights_rows_and_the_first_evaluation_are_there_once(plan):
    made = plan({"learning_rate": [1e-3, 1e-2], "lora_r": [4, 8]})
    shared = Shared("cpu")
    first, other_rank, other_rate = (shared.prepared(made.job_of(made.arms[n])) for n in (0, 1, 2))
    for other in (other_rank, other_rate):
        assert other.training is first.training
        own, others = _by_name(first), _by_name(other)
        base = [name for name in own if "lora" not in name]
        assert base
        assert all(own[name] is others[name] for name in base)
        assert not any(own[name] is others[name] for name in own if "lora" in name)
    assert other_rate.before is first.before
    assert other_rank.before is not first.before


def _by_name(ready) -> dict:
    return dict(ready.trainer.model.named_parameters())


def test_rows_of_other_batches_have_references_of_their_own(plan):
    made = plan({"batch_size": [3, 4]}, training_method="dpo")
    shared = Shared("cpu")
    few, many = (shared.prepared(made.job_of(arm)) for arm in made.arms)
    assert few.training is not many.training
