"""From what a person asks to a plan: every issue at once, and what was not said has its reason."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import ftlab
from ftlab import attempts
from ftlab import demo as brought
from ftlab.errors import InvalidSpec
from ftlab.sweeps.start import prepare_sweep, sweep

JOB = {
    "model": "demo",
    "training_file": str(brought.TRAIN),
    "batch_size": 16,
    "max_seq_length": 256,
}


def refused(**options) -> list[str]:
    spec = options.pop("spec", JOB)
    with pytest.raises(InvalidSpec) as caught:
        prepare_sweep(spec, **options)
    return [issue.message for issue in caught.value.issues]


def test_the_rates_lie_around_the_recommended_one():
    plan = prepare_sweep(JOB).plan
    rates = [arm.rate for arm in plan.arms]
    assert len(rates) == 7
    assert rates[3] == plan.recommended == ftlab.recommend(plan.job.spec)["learning_rate"].value
    assert plan.job.spec.learning_rate == rates[3]
    assert plan.varied == ("learning_rate",)


def test_a_share_is_held_back_where_there_is_no_validation_data_and_it_says_why():
    plan = prepare_sweep(JOB, n=3).plan
    assert plan.job.spec.validation_split == 0.05
    assert "compared by their validation loss" in plan.job.reasons["validation_split"]
    assert plan.given["validation_split"] == 0.05
    own = prepare_sweep({**JOB, "validation_split": 0.2}, n=3).plan
    assert own.job.spec.validation_split == 0.2
    assert "validation_split" not in own.job.reasons


def test_a_part_of_the_rows_is_the_sweeps_alone():
    plan = prepare_sweep(JOB, n=3, max_train_rows=320).plan
    assert plan.job.spec.max_train_rows == 320
    assert plan.n_steps == 20
    assert "max_train_rows" not in plan.given


def test_the_fields_of_a_product_are_in_all_combinations():
    plan = prepare_sweep(JOB, learning_rate=np.array([1e-3, 1e-4]), lora_r=[8, 64]).plan
    assert [arm.changes for arm in plan.arms] == [
        {"learning_rate": rate, "lora_r": rank, "lora_alpha": 2 * rank}
        for rate in (1e-4, 1e-3)
        for rank in (8, 64)
    ]
    assert plan.job_of(plan.arms[3]).spec.lora_alpha == 128


def test_another_field_alone_leaves_the_rate_as_it_is():
    plan = prepare_sweep({**JOB, "learning_rate": 2e-3}, weight_decay=[0.0, 0.1]).plan
    assert [arm.name for arm in plan.arms] == ["weight_decay 0", "weight_decay 0.1"]
    assert plan.job.spec.learning_rate == 2e-3
    assert plan.recommended is None


def test_one_value_and_an_option_hold_for_all_arms():
    plan = prepare_sweep(JOB, n=3, lora_r=4, device="cpu").plan
    assert plan.job.spec.lora_r == 4
    assert plan.job.options["device"] == "cpu"
    assert "lora_r" not in plan.varied


def test_a_cluster_takes_a_package_and_an_engine_of_ones_own(monkeypatch):
    (said,) = refused(ray=" ")
    assert "it takes the address of a Ray cluster" in said
    (said, *_) = [one for one in refused(ray="auto", provider="together") if one.startswith("ray")]
    assert "Leave ray out" in said
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "ray" else found(n))
    assert refused(ray="auto") == [
        "ray is 'auto', but the package ray is not installed; a sweep reaches a cluster by it. "
        'Install it with pip install "ftlab[ray]", or leave ray out.'
    ]


def test_several_workers_take_less_time():
    one, two = (prepare_sweep(JOB, n=7, n_gpus=n, device="cpu") for n in (1, 2))
    assert two.cost.steps == one.cost.steps
    assert two.cost.duration[1] < one.cost.duration[1]
    assert prepare_sweep(JOB, n=7, ray="auto").cost.duration is None


def test_everything_that_is_wrong_is_said_at_once():
    found = refused(
        spec={**JOB, "n_epochs": 0, "lora_rr": 3},
        learning_rate=[1e-3, 7.0],
        batch_size=[8, 16],
        lora_r=[],
        device="gpu",
    )
    for words in (
        *("n_epochs is 0", "lora_rr", "learning_rate is 7", "batch_size can't be varied"),
        *("lora_r has no values", "device is"),
    ):
        assert any(words in message for message in found), words
    assert len(found) == len(set(found))


def test_an_issue_of_one_arm_is_told_with_all():
    assert refused(lora_r=[8, 10_000], lora_dropout=[0.0, 2.0])
    (only,) = refused(lora_trainable_modules=["all-linear", "no_such_layer"])
    assert "no_such_layer" in only


def test_too_many_arms_are_refused():
    (message,) = refused(learning_rate=[k / 1000 for k in range(1, 10)], lora_r=[*range(1, 10)])
    assert "81 arms; a sweep has at most 64" in message


@pytest.mark.parametrize("n", [0, -1])
def test_a_sweep_has_an_arm_at_least(n):
    (message,) = refused(n=n)
    assert f"n is {n}" in message


def test_the_cost_is_known_before_it_starts():
    long = {**JOB, "n_epochs": 3}
    ready = prepare_sweep(long, n=7, device="cpu")
    found = ready.cost
    assert found.n_arms == 7
    assert found.steps_of_grid == 7 * ready.plan.n_steps
    assert 0.25 < found.steps / found.steps_of_grid < 0.4
    assert found.duration is not None
    assert "of a full grid" in found.in_words()["steps"]
    assert found.basis[0].startswith("Steps: 7 to step ")
    full = prepare_sweep(long, n=7, halving=False, device="cpu").cost
    assert full.steps == full.steps_of_grid
    assert full.as_dict()["steps"] == full.steps


def test_it_starts_a_process_of_its_own(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(
        attempts, "spawn", lambda module, arguments, *_: started.append((module, arguments))
    )
    found = sweep(JOB, n=3, folder=tmp_path, device="cpu")
    assert started == [("ftlab.train.sweep", [str(found.path)])]
    assert found.history.status.status == "queued"
    assert len(found.arms) == 3
    assert [one.id for one in ftlab.Sweeps(tmp_path)] == [found.id]
    assert "Resume it" in found.state.detail  # the process that was none has died
    found.resume()
    assert len(started) == 2


def test_a_list_of_no_rates_is_refused():
    assert "learning_rate has no values" in refused(learning_rate=[])[0]


def test_rates_and_their_number_are_not_given_together():
    assert "n (5) is given beside" in refused(learning_rate=[1e-4, 1e-3], n=5)[0]


@pytest.mark.parametrize("n", [0, 65, 2000])
def test_a_sweep_has_no_other_number_of_arms(n):
    assert f"n is {n}; a sweep has 1 to 64 arms." in refused(n=n)[0]


def test_one_rate_alone_has_a_name():
    (arm,) = prepare_sweep(JOB, learning_rate=1e-4).plan.arms
    assert (arm.name, arm.changes) == ("1e-4", {"learning_rate": 1e-4})


def test_seeds_do_not_choose_other_rows():
    found = refused(n=2, random_seed=[1, 2], max_train_rows=100)
    assert "random_seed can't be varied beside max_train_rows" in found[0]
