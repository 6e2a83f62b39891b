"""Hugging Face's keywords against the classes that they are of."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import TrainingArguments, get_scheduler
from trl import DPOConfig, SFTConfig

from ftlab.data.report import DataReport
from ftlab.exchange import export, read
from ftlab.exchange.huggingface import DEFAULTS, from_arguments
from ftlab.exchange.huggingface_run import SCHEDULES
from ftlab.names import FOREIGN_NAMES
from ftlab.schedule import lr_share, total_steps
from ftlab.spec import FIELDS, JobSpec, parse
from tests.exchange.specs import FILES, REPORT, WISHES

KINDS = (TrainingArguments, SFTConfig, DPOConfig, LoraConfig)
N_ROWS, RATE = REPORT.n_rows, 2e-4
ARGUMENTS = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 2,
    "learning_rate": RATE,
}
N_STEPS = total_steps(N_ROWS, 8, 2)
HUGE = pytest.param(10**400, id="huge")  # too large for a float
# Of fields whose default is no plain value, another one.
OTHERS = {
    "loss_type": ["hinge"],
    "loss_weights": [0.5, 0.5],
    "include_for_metrics": ["loss"],
    "rank_pattern": {"q_proj": 4},
    "alpha_pattern": {"q_proj": 4},
    "loftq_config": {"loftq_bits": 4},
    "runtime_config": {"ephemeral_gpu_offload": True},
    "init_lora_weights": "gaussian",
    "bias": "all",
    "seed": 7,
    "lr_scheduler_type": "reduce_lr_on_plateau",
    "optim": "lion_8bit",
    "max_steps": 10,
    "local_rank": 1,
}


def values_of(arguments: dict[str, Any], report: DataReport | None = REPORT) -> dict[str, Any]:
    found = from_arguments(arguments, report)
    assert not parse(found.values)[1]
    return found.values


def other_than(field: dataclasses.Field) -> Any:
    """A value that differs from a field's default."""
    if field.name in OTHERS:
        return OTHERS[field.name]
    default = field.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default + 1
    return "something"


@pytest.mark.parametrize("kind", KINDS)
def test_no_keyword_is_dropped_without_a_word(kind):
    for field in dataclasses.fields(kind):
        value = other_than(field)
        found = from_arguments({field.name: value}, REPORT)
        told = found.lost or len(found.hints) > 1  # one hint is about what was left out
        assert found.values or told, f"{field.name}={value!r}"


def test_arguments_as_the_library_writes_them_out_are_read(tmp_path):
    written = TrainingArguments(output_dir=str(tmp_path), **ARGUMENTS).to_dict()
    found = from_arguments(written, REPORT)
    expected = {"batch_size": 4, "gradient_accumulation_steps": 2, "n_epochs": 2, "n_evals": 0}
    assert found.values.items() >= expected.items()
    assert found.values["lr_scheduler_type"] == "linear"
    JobSpec(**found.values)
    assert {issue.level for issue in found.lost} == {"tip"}


def test_what_is_left_out_there_is_told_as_it_is_there():
    fields = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    for name, (_, default) in DEFAULTS.items():
        assert getattr(fields[name], "value", fields[name]) == default
    (hint,) = [i for i in from_arguments({"warmup_steps": 0.1}).hints if "Left out" in i.message]
    assert "n_epochs (3 there)" in hint.message
    assert "lora" in hint.message


def test_names_of_other_tools_are_taken_with_a_hint():
    found = from_arguments({"num_epochs": 2, "lora_rank": 8, "cutoff_len": 512, "n_evals": 3})
    assert found.values == {
        "n_epochs": 2, "lora": True, "lora_r": 8, "max_seq_length": 512, "n_evals": 3
    }  # fmt: skip
    hinted = {issue.where for issue in found.hints} - {""}
    assert hinted == {"n_epochs", "lora_r", "max_seq_length"}


def test_our_own_names_pass_without_a_word():
    spec = JobSpec(model="m", training_file="t", n_epochs=2, lora_r=4, optimizer="sgd")
    assert from_arguments(spec.model_dump(exclude_unset=True)) == (
        spec.model_dump(exclude_unset=True), [], []
    )  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_every_name_that_the_form_hints_at_is_read(name):
    found = from_arguments({name: 0.5})
    assert found.values or found.lost


# --- intervals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "ours", "value"),
    [
        ({"eval_strategy": "steps", "eval_steps": 50}, "n_evals", N_STEPS // 50),
        ({"eval_strategy": "steps", "eval_steps": 0.25}, "n_evals", 4),
        ({"eval_strategy": "epoch"}, "n_evals", 2),
        ({"eval_strategy": "no", "eval_steps": 50}, "n_evals", 0),
        ({"save_steps": 25}, "n_checkpoints", N_STEPS // 25),
        ({"save_strategy": "epoch"}, "n_checkpoints", 2),
        ({"save_strategy": "no"}, "n_checkpoints", 1),
        ({"warmup_steps": 25}, "warmup_ratio", 25 / N_STEPS),
        ({"warmup_steps": 0.06}, "warmup_ratio", 0.06),
        ({"warmup_ratio": 0.06}, "warmup_ratio", 0.06),
    ],
)
def test_intervals_become_counts_and_shares(arguments, ours, value):
    assert values_of({**ARGUMENTS, **arguments})[ours] == value


@pytest.mark.parametrize(
    "arguments", [{"eval_steps": 50}, {"save_steps": 50}, {"warmup_steps": 10}]
)
def test_without_rows_an_interval_is_listed_unless_max_steps_are_given(arguments):
    found = from_arguments({**ARGUMENTS, **arguments})
    (name,) = arguments
    assert name in {issue.where for issue in found.lost}
    assert from_arguments({**ARGUMENTS, **arguments, "max_steps": 100}).lost == []


@pytest.mark.parametrize(
    ("arguments", "n_steps"),
    [
        ({"num_train_epochs": 2.5}, 313),  # 2.5 × 125
        ({"num_train_epochs": 3.0}, 375),
        ({"max_steps": 300}, 300),
        ({"max_steps": -1}, 250),
        ({"per_device_train_batch_size": 3, "num_train_epochs": 1}, 167),  # 1000 / 6
    ],
)
def test_the_run_is_as_long_as_there(arguments, n_steps):
    spec = JobSpec(**values_of({**ARGUMENTS, **arguments}))
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    assert total_steps(N_ROWS, per_step, spec.n_epochs, spec.max_steps) == n_steps


def test_devices_multiply_the_batch():
    assert from_arguments(ARGUMENTS, REPORT, n_devices=4).values["batch_size"] == 16


# --- schedules -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("linear", None),
        ("cosine", {"num_cycles": 1.5}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
        ("cosine_with_min_lr", {"min_lr": RATE / 5}),
        ("polynomial", {"lr_end": RATE / 4, "power": 1.0}),
        ("constant_with_warmup", None),
        ("inverse_sqrt", None),
    ],
)
def test_a_schedule_is_the_same_curve_as_there(name, kwargs):
    warmup = 25
    arguments = {**ARGUMENTS, "lr_scheduler_type": name, "warmup_steps": warmup}
    values = values_of({**arguments, **({"lr_scheduler_kwargs": kwargs} if kwargs else {})})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    theirs = get_scheduler(name, optimizer, warmup, N_STEPS, scheduler_specific_kwargs=kwargs)
    for step in range(N_STEPS):
        share = lr_share(
            step / N_STEPS,
            values["lr_scheduler_type"],
            warmup_ratio=values["warmup_ratio"],
            min_lr_ratio=values.get("min_lr_ratio", 0.0),
            scheduler_num_cycles=values.get("scheduler_num_cycles", 0.5),
        )
        assert theirs.get_last_lr()[0] == pytest.approx(RATE * share, abs=1e-12)
        optimizer.step()
        theirs.step()


def test_a_schedule_that_ftlab_has_not_is_listed():
    found = from_arguments({"lr_scheduler_type": "cosine_with_restarts"})
    assert "lr_scheduler_type" not in found.values
    assert "cosine_with_restarts" in found.lost[0].message
    assert "cosine_with_restarts" not in SCHEDULES


# --- what is trained -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ({"r": 8, "lora_alpha": 16}, {"lora": True, "lora_r": 8, "lora_alpha": 16}),
        ({"target_modules": ["q_proj"]}, {"lora_trainable_modules": ("q_proj",)}),
        ({"target_modules": "all-linear"}, {"lora_trainable_modules": "all-linear"}),
        ({"use_peft": False}, {"lora": False}),
        ({"load_in_4bit": True}, {"quantization": "nf4"}),
        ({"load_in_8bit": True}, {"quantization": "int8"}),
        ({"assistant_only_loss": True}, {"train_on_inputs": False}),
        ({"assistant_only_loss": False}, {"train_on_inputs": True}),
        ({"completion_only_loss": False}, {"train_on_inputs": True}),
        ({"beta": 0.2}, {"training_method": "dpo", "dpo_beta": 0.2}),
        ({"loss_type": "sigmoid_norm"}, {"dpo_normalize_logratios_by_length": True}),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]}, {"rpo_alpha": 0.3}),
        ({"optim": "paged_adamw_8bit"}, {"optimizer": "adamw_8bit"}),
        ({"early_stopping_threshold": 0.01}, {"early_stopping_enabled": True}),
    ],
)
def test_what_is_trained_comes_over(arguments, values):
    assert from_arguments(arguments, REPORT).values.items() >= values.items()


def test_a_pattern_of_layers_is_no_name_and_is_listed():
    found = from_arguments({"target_modules": r".*\.(q|v)_proj"})
    assert "lora_trainable_modules" not in found.values
    assert found.lost[0].where == "target_modules"


@pytest.mark.parametrize("name", FIELDS)
def test_none_comes_back_wherever_a_field_takes_it(name):
    values = {"model": "m", "training_file": "t"}
    if type(None) not in get_args(FIELDS[name].annotation):
        return
    spec = JobSpec(**{**values, name: None})
    found = read(export(spec, "json").text)
    assert JobSpec(**found.values) == spec
    assert (name in found.values) == (FIELDS[name].default is not None)
    assert (found.lost, found.hints) == ([], [])


@pytest.mark.parametrize("values", WISHES.values(), ids=WISHES)
def test_a_spec_in_our_own_words_is_the_same_spec(values):
    spec = JobSpec(**{**FILES, **values})
    found = read(export(spec, "json").text, REPORT)
    assert JobSpec(**found.values) == spec
    assert (found.lost, found.hints) == ([], [])


# --- texts of numbers ------------------------------------------------------------------------


def test_texts_of_numbers_are_numbers():
    texts = {
        "max_steps": "100",
        "save_steps": "20",
        "eval_steps": "0.25",
        "per_device_train_batch_size": "4",
        "learning_rate": "1e-5",
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": "1e-6"},
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": ["1.0", "0.5"],
    }
    found = from_arguments(texts)
    expected = {"max_steps": 100, "n_checkpoints": 5, "n_evals": 4, "batch_size": 4}
    rates = {"learning_rate": 1e-5, "min_lr_ratio": pytest.approx(0.1), "rpo_alpha": 0.5}
    assert found.values.items() >= {**expected, "n_epochs": 100}.items()
    assert {name: found.values[name] for name in rates} == rates
    assert "of all devices together: 4 × 1" in str(found.hints)
    assert found.lost == []


def test_a_text_stays_a_text_where_a_field_takes_one():
    values = {"model": "7", "suffix": "10", "sample_prompts": ["1"], "batch_size": "max"}
    assert from_arguments(values).values == values


@pytest.mark.parametrize("value", ["ten", "nan", math.nan, math.inf, [1], -3, HUGE])
@pytest.mark.parametrize(
    "name", ["eval_steps", "save_steps", "warmup_steps", "per_device_train_batch_size"]
)
def test_what_is_no_number_of_steps_is_lost(name, value):
    found = from_arguments({name: value, "max_steps": 100})
    (issue,) = found.lost
    assert issue.message.startswith(f"{name} is ")
    assert "it takes a" in issue.message
    assert set(found.values) == {"max_steps", "n_epochs"}


@pytest.mark.parametrize("weights", [[1.0, math.nan], [1.0, math.inf], [0, 1], ["a", 1], [1], 5])
def test_weights_that_are_none_are_lost(weights):
    found = from_arguments({"loss_type": ["sigmoid", "sft"], "loss_weights": weights})
    assert "rpo_alpha" not in found.values
    assert [issue.where for issue in found.lost] == ["loss_weights"]


@pytest.mark.parametrize("value", [HUGE, 1e300, math.inf])
@pytest.mark.parametrize("name", ["max_steps", "num_train_epochs", "learning_rate"])
def test_numbers_beyond_all_bounds_are_left_to_the_checks(name, value):
    (issue,) = parse(from_arguments({**ARGUMENTS, name: value}, REPORT).values)[1]
    assert issue.code == "bad_value"


NAMES = sorted(
    {*FOREIGN_NAMES, *FIELDS}
    | {field.name for kind in KINDS for field in dataclasses.fields(kind)}
    | {"load_in_4bit", "use_peft", "early_stopping_threshold"}
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), junk, max_size=8), st.booleans())
def test_nonsense_is_left_to_the_checks(arguments, knows_rows):
    found = from_arguments(arguments, REPORT if knows_rows else None)
    spec, issues = parse(found.values)
    assert isinstance(spec, JobSpec)
    assert {issue.code for issue in issues} <= {"bad_value"}


def test_one_field_under_two_names_is_told():
    found = from_arguments({"num_train_epochs": 3, "n_epochs": 5})
    (lost,) = found.lost
    assert lost.where == "n_epochs"
    assert found.values["n_epochs"] in (3, 5)
    assert "one job has one n_epochs" in lost.message
    assert not from_arguments({"num_train_epochs": 3, "n_epochs": 3}).lost
