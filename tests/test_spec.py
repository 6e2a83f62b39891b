"""Fields, their bounds, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ftlab.names import FOREIGN_NAMES, OTHER_UNITS
from ftlab.spec import FIELDS, GROUPS, KNOBS, LEFT_OUT, JobSpec, filled, parse, with_fix


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_help_and_a_knob(name):
    assert len(FIELDS[name].description or "") > 20
    assert KNOBS[name].group in GROUPS


def test_a_spec_survives_json_with_what_was_left_out():
    spec = JobSpec(model="m", lora_trainable_modules=("q_proj",), learning_rate=1e-4)
    again = JobSpec.model_validate_json(spec.model_dump_json(exclude_unset=True))
    assert again == spec
    assert again.model_fields_set == spec.model_fields_set


def test_changed_validates_again():
    assert JobSpec(n_epochs=2).changed(lora_r=4).n_epochs == 2
    with pytest.raises(ValidationError):
        JobSpec().changed(n_epochs=0)


def test_all_bad_fields_are_told_at_once_and_the_good_ones_kept():
    values = {"n_epochs": 0, "lora_dropout": 1.5, "lora_r": 4, "lr_scheduler_type": "cosin"}
    spec, issues = parse(values)
    assert {issue.where for issue in issues} == {"n_epochs", "lora_dropout", "lr_scheduler_type"}
    assert spec.lora_r == 4


@pytest.mark.parametrize(
    ("values", "message", "fix"),
    [
        (
            {"n_epochs": 0},
            "n_epochs is 0; it takes a whole number of at least 1. Use 1.",
            {"n_epochs": 1},
        ),
        (
            {"learning_rate": float("nan")},
            "learning_rate is nan; it takes a number above 0 and of at most 1. "
            "Leave it out or give such a value.",
            None,
        ),
        (
            {"lr_scheduler_type": "cosin"},
            "lr_scheduler_type is 'cosin'; it takes 'cosine', 'linear', 'constant', 'wsd', "
            "'inverse_sqrt'. Use 'cosine'.",
            {"lr_scheduler_type": "cosine"},
        ),
        (
            {"batch_size": "mx"},
            "batch_size is 'mx'; it takes a whole number of at least 1 or 'max'. Use 'max'.",
            {"batch_size": "max"},
        ),
        (
            {"lora_rank": 8},
            "Unknown field `lora_rank`; a spec takes only the fields of JobSpec. "
            "ftlab calls it `lora_r`.",
            {"lora_rank": None, "lora_r": 8},
        ),
        (
            {"learning_rat": 1e-4},
            "Unknown field `learning_rat`; a spec takes only the fields of JobSpec. "
            "ftlab calls it `learning_rate`.",
            {"learning_rat": None, "learning_rate": 1e-4},
        ),
    ],
)
def test_messages_hold_what_was_found_what_is_allowed_and_what_to_do(values, message, fix):
    (issue,) = parse(values)[1]
    assert (issue.message, issue.fix) == (message, fix)
    assert issue.blocks == ("local", "together")


@pytest.mark.parametrize(("name", "mark"), LEFT_OUT.items())
def test_what_together_takes_for_left_out_is_left_out(name, mark):
    spec = JobSpec.model_validate({name: mark})
    assert spec == JobSpec()
    assert not spec.model_fields_set


def test_only_the_mark_itself_leaves_a_field_out():
    spec, issues = parse({"gradient_accumulation_steps": False, "n_evals": 0})
    assert [issue.where for issue in issues] == ["gradient_accumulation_steps"]
    assert spec.n_evals == 0


@pytest.mark.parametrize("name", OTHER_UNITS)
def test_a_name_of_another_unit_is_told_but_not_taken_over(name):
    (issue,) = parse({name: 1})[1]
    assert FOREIGN_NAMES[name] in issue.message
    assert OTHER_UNITS[name] in issue.message
    assert issue.fix is None


def test_keys_that_are_no_text_are_unknown_fields():
    values: Any = {1: 2, None: 3, "n_epochs": 2}
    spec, issues = parse(values)
    assert (spec.n_epochs, {issue.code for issue in issues}) == (2, {"unknown_field"})


@pytest.mark.parametrize("given", [1, "yes", "true", 0.0])
def test_train_on_inputs_takes_no_word_for_yes(given):
    """The service's own client is as strict: "no" would train all inputs."""
    assert [issue.where for issue in parse({"train_on_inputs": given})[1]] == ["train_on_inputs"]


@pytest.mark.parametrize(("foreign", "ours"), FOREIGN_NAMES.items())
def test_foreign_names_lead_to_fields_that_exist(foreign, ours):
    assert ours in FIELDS
    assert foreign not in FIELDS


def test_a_fix_changes_and_leaves_out():
    assert with_fix({"a": 1, "b": 2}, {"a": None, "c": 3}) == {"b": 2, "c": 3}


def test_numbers_that_were_typed_as_text_are_read():
    assert JobSpec(learning_rate="3e-4", n_epochs="2").learning_rate == 3e-4  # type: ignore[arg-type]


def test_filled_names_the_field_that_was_left_out():
    with pytest.raises(Exception, match="lora_r was left out"):
        filled(JobSpec().lora_r, "lora_r")


def test_the_json_schema_can_be_written():
    assert "learning_rate" in json.dumps(JobSpec.model_json_schema())


def test_a_path_is_the_text_of_it():
    file = Path("data") / "train.jsonl"
    spec, issues = parse({"training_file": file, "validation_file": file, "model": Path("m")})
    assert not issues
    assert (spec.training_file, spec.model) == (str(file), "m")
