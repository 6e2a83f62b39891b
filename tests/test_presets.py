"""Presets: valid values, a reason for each, and nothing that an engine would refuse."""

from __future__ import annotations

import pytest

from ftlab.issues import errors_for
from ftlab.presets import PRESETS
from ftlab.rules import check
from ftlab.spec import ENGINES, JobSpec

GIVEN = {"model": "org/model", "training_file": "t.jsonl"}
ALL = pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)


@ALL
def test_values_are_valid_and_have_reasons(preset):
    JobSpec(**preset.values)
    assert preset.values.keys() == preset.reasons.keys()
    assert all(preset.reasons.values())
    assert preset.title
    assert preset.why
    assert preset.source
    assert PRESETS[preset.name] is preset


@ALL
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_refuses_none_of_what_it_is_given(preset, engine):
    values = preset.values_for(engine, GIVEN)
    refused = {issue.where for issue in errors_for(check({**GIVEN, **values}), engine)}
    # all weights are for the hosted service so far
    assert refused & values.keys() <= ({"lora"} if engine == "local" else set())


@ALL
def test_nothing_is_warned_of(preset):
    found = check({**GIVEN, **preset.values_for("local", GIVEN)})
    assert not [issue for issue in found if issue.level == "warning" and not issue.blocks]


def test_the_four_scenarios_and_the_five_of_our_own_are_there():
    assert len([name for name in PRESETS if name.startswith("NeMo")]) == 4
    assert set(PRESETS) >= {"quick look", "careful", "small data", "large data", "consumer GPU"}


def test_a_validation_file_stays_the_source_of_validation():
    given = {**GIVEN, "validation_file": "v.jsonl"}
    values = PRESETS["careful"].values_for("local", given)
    assert "validation_split" not in values
    assert values["n_evals"] == 10
    assert "n_evals" not in PRESETS["careful"].values_for("together", GIVEN)
