"""The recorded runs have the right answers that follow from the truth, whatever the doctor says."""

from __future__ import annotations

import json

import pytest

from tests.diagnosis.real_curves import RECORDED
from tests.diagnosis.real_jobs import GRIDS, SPOILED
from tests.diagnosis.real_labels import allowed_when, labelled
from tests.diagnosis.truth import LABELS, MADE, PUBLISHED, labels_of_rate

CURVES = {one["name"]: one for one in json.loads(RECORDED.read_text(encoding="utf-8"))}


def arms_of(grid):
    return [
        curve
        for name, curve in CURVES.items()
        if name.startswith(f"{grid}, ") and name.removeprefix(f"{grid}, ")[0].isdigit()
    ]


def test_each_recorded_run_is_of_a_grid_or_was_spoiled_and_none_is_missing():
    arms = {arm["name"] for grid in GRIDS for arm in arms_of(grid)}
    assert arms | SPOILED.keys() == CURVES.keys()
    assert all(len(arms_of(grid)) == GRIDS[grid].n_arms for grid in GRIDS)


@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_right_for_an_arm_follows_from_its_rate(grid):
    for arm in labelled(arms_of(grid)):
        known = CURVES[arm["name"]]
        assert arm["allowed"] == known["allowed"]
        assert arm["ratio"] == pytest.approx(known["ratio"])
        assert known["seed"] == GRIDS[grid].seed


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_right_for_a_spoiled_run_follows_from_how(name):
    assert sorted(allowed_when(SPOILED[name].kind, CURVES[name])) == CURVES[name]["allowed"]


def test_the_answers_are_labels():
    for answers in (*MADE.values(), *PUBLISHED.values()):
        assert answers <= {*LABELS}


def test_the_bounds_of_a_rate_by_hand():
    falling = [4.0, 3.0, 2.0, 1.5] * 10
    assert labels_of_rate(1 / 30, 0.5, falling) == {"lr_too_low"}
    assert labels_of_rate(1 / 10, 0.5, falling) == {"lr_too_low", "lr_slightly_low"}
    assert labels_of_rate(1 / 3, 0.01, falling) == {"lr_slightly_low", "good"}
    assert labels_of_rate(1.0, 0.0, falling) == {"good"}
    assert labels_of_rate(3.0, 0.1, falling) == {"lr_too_high"}
    assert labels_of_rate(3.0, 0.1, [2.0, *[1.0] * 20, *[2.5] * 20]) == {"diverged"}
    assert labels_of_rate(3.0, 0.1, [4.0, *[1.0] * 20, *[1.5] * 20]) == {"lr_too_high", "diverged"}
    assert labels_of_rate(1.0, 0.0, [2.0, float("nan")]) == {"diverged"}
