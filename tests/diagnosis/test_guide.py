"""Every row of NeMo AutoModel's guide on reading curves has its advice."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import pytest

from ftlab.diagnosis import Curve, diagnose
from ftlab.diagnosis.registry import OBSERVATIONS, VERDICTS
from ftlab.spec import JobSpec


class Row(NamedTuple):
    label: str
    advice: str
    """What one of its advice must say."""


GUIDE = {
    "LR1": Row("lr_too_low", r"Raise .* × 5 to × 10"),
    "LR2": Row("lr_slightly_low", r"Raise .* × 2 to × 3"),
    "LR3": Row("good", r"Keep the learning rate"),
    "LR4": Row("lr_too_high", r"Lower .* ÷ 5 to ÷ 2"),
    "LR5": Row("diverged", r"Lower .* ÷ 10"),
    "OV1": Row("undertrained", r"One or two epochs more"),
    "OV2": Row("stop_early", r"Stop here"),
    "OV3": Row("overfitting", r"checkpoint of step"),
    "OV4": Row("plateau_early", r"Then the data"),
    "BS1": Row("noisy_batch", r"Twice as many rows"),
    "BS2": Row("smooth_slow", r"Half"),
    "BS3": Row("out_of_memory", r"micro_batch_size"),
    "BS4": Row("low_utilization", r"micro_batch_size"),
    "WD1": Row("needs_regularising", r"weight_decay"),
    "WD2": Row("converged_high", r"Lower weight_decay"),
    "WD3": Row("both_high", r"learning rate|weight_decay"),
    "RK1": Row("capacity_plateau", r"lora_r from 4 to 8"),
    "RK2": Row("overfitting", r"Halve lora_r to 8"),
    "RK3": Row("good", r"Half the rank \(32\)"),
    "GC1": Row("spike", r"Clip|clipped"),
    "ND1": Row("not_falling", r"larger|tokens train|weights"),
    "NQ1": Row("repetitive_output", r"earlier checkpoint"),
}
OWN = {"RK2": {"lora_r": 16, "lora_alpha": 32}, "RK3": {"lora_r": 64, "lora_alpha": 64}}


def example(label: str) -> Curve:
    return next(one.example() for one in (*VERDICTS, *OBSERVATIONS) if one.label == label)


@pytest.mark.parametrize("row", GUIDE)
def test_a_row_of_the_guide_is_advised(row):
    label, said = GUIDE[row]
    curve = example(label)
    if row in OWN:
        curve = replace(curve, spec=JobSpec(**OWN[row]))
    found = diagnose(curve)
    (finding,) = (one for one in (found.first, *found.secondary) if one.label == label)
    assert any(re.search(said, one.text) for one in finding.advice), finding.advice


def test_half_the_rank_keeps_the_share_of_alpha():
    curve = replace(example("overfitting"), spec=JobSpec(lora_r=16, lora_alpha=32))
    changes = [one.changes for one in diagnose(curve).advice]
    assert {"lora_r": 8, "lora_alpha": 16} in changes


def test_the_recommended_rate_is_taken_where_the_guide_allows_it():
    low = replace(example("lr_too_low"), learning_rate=[1e-5] * 400, recommended_lr=8e-5)
    assert diagnose(low).advice[0].changes == {"learning_rate": 8e-5}
    lower = replace(low, recommended_lr=1e-3)
    assert diagnose(lower).advice[0].changes == {"learning_rate": 1e-4}


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ("lr_too_low", "learning_rate"),
        ("lr_too_high", "learning_rate"),
        ("noisy_batch", "batch_size"),
        ("overfitting", "n_epochs"),
        ("mask_bug", None),
    ],
)
def test_the_next_experiment_goes_by_rate_batch_and_epochs(label, field):
    curve = replace(
        example(label), batch_size=8, spec=JobSpec(n_epochs=5, learning_rate=1e-4),
        steps_per_epoch=80,
    )  # fmt: skip
    following = diagnose(curve).next_experiment
    assert (following is None) == (field is None)
    if following is not None:
        assert field in following.changes
        assert following.cost


def test_a_good_run_far_from_the_recommended_rate_is_worth_another():
    curve = replace(example("good"), learning_rate=[1e-5] * 400, recommended_lr=2e-4)
    found = diagnose(replace(curve, recommended_spread=3.0))
    assert found.next_experiment is not None
    assert "learning_rate" in found.next_experiment.changes
