"""Every rule on its own example, and what resolve() fills in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.advice import recommend
from ftlab.data.report import DataReport
from ftlab.models import ModelInfo
from ftlab.rulebook import FILES, RULES
from ftlab.rules import check, resolve
from ftlab.spec import JobSpec, with_fix
from tests.rules.test_relations import REPLY

TO_DO = ("Choose", "Correct", "Give", "Leave", "Lower", "Name", "Put", "Raise", "Set", "Shorten")
TO_DO += ("Start", "Take", "Try", "Turn", "Use")
LLAMA = ModelInfo(name="m", family="llama", hidden_size=4096, context_length=8192)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_finds_its_own_example(rule):
    found = check(rule.example, rule.limits, rule.report)
    assert [issue for issue in found if issue.code == rule.name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_message_holds_three_facts(rule):
    for issue in check(rule.example, rule.limits, rule.report):
        assert issue.where in JobSpec.model_fields
        field, kind = issue.where, issue.where.removesuffix("_file")
        seen = (field, f"The {kind} file", f"No {kind}", "The run has", "There is validation data")
        assert any(words in issue.message for words in seen)
        *facts, to_do = re.split(r"(?<=[.)]) (?=[A-Z])", issue.message)
        assert facts
        assert to_do.split()[0] in TO_DO
        assert to_do.endswith(".")


def test_a_usual_spec_has_nothing_to_complain_of():
    report = DataReport(path="t.jsonl", n_rows=9_000, format="conversation")
    assert check({**FILES, "n_epochs": 2, "batch_size": 16}, report=report) == []


def test_bad_fields_and_broken_rules_are_told_together():
    found = check({**FILES, "n_epochs": 0, "dpo_beta": 0.1})
    assert {issue.where for issue in found} == {"n_epochs", "dpo_beta"}


def test_a_rule_about_a_bad_field_stays_silent():
    found = check({**FILES, "lora_alpha": "x", "lora_r": 4})
    assert [issue.code for issue in found] == ["bad_value"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_applying_a_fix_ends_the_issue(rule):
    values = rule.example
    for issue in check(values, rule.limits, rule.report):
        if issue.code == rule.name and isinstance(issue.fix, dict):
            values = with_fix(values, issue.fix)
            left = check(values, rule.limits, rule.report)
            same = [i for i in left if (i.code, i.where) == (issue.code, issue.where)]
            assert not same


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_fix_makes_another_engine_refuse(rule):
    before = check(rule.example, rule.limits, rule.report)
    for issue in before:
        if isinstance(issue.fix, dict):
            after = check(with_fix(rule.example, issue.fix), rule.limits, rule.report)
            assert refusing(after) <= refusing(before), issue.fix


def refusing(issues):
    return {engine for issue in issues for engine in issue.blocks}


def test_what_is_refused_is_told_first_and_the_rest_in_the_order_of_the_form():
    found = check({**FILES, "warmup_ratio": 1, "use_dora": True, "packing": False, "n_evals": 3})
    assert [(issue.level, issue.where) for issue in found] == [
        ("error", "use_dora"),
        ("error", "n_evals"),
        ("warning", "packing"),
        ("warning", "warmup_ratio"),
        ("tip", "use_dora"),
    ]


def test_a_relation_with_a_bad_value_is_not_spoken_of():
    """Whether dpo_beta goes with a method that does not exist, nobody can say."""
    found = check({**FILES, "training_method": "ppo", "dpo_beta": 0.1, "lora": "x", "lora_r": 4})
    assert {(issue.where, issue.code) for issue in found if "together" in issue.blocks} == {
        ("training_method", "bad_value"),
        ("lora", "bad_value"),
    }


@pytest.mark.parametrize("n_rows", [5, 100, 900, 4_999, 5_000, 60_000, 1_000_000])
@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("lora", [True, False])
def test_no_rule_warns_of_what_is_recommended(n_rows, method, lora):
    values = {**FILES, "training_method": method, "lora": lora, "validation_file": "v.jsonl"}
    kind = "preference" if method == "dpo" else "conversation"
    tokens = {"lengths": {100: n_rows}, "by_role": {}}
    report = DataReport.model_validate(
        {"path": "t.jsonl", "n_rows": n_rows, "format": kind, "tokens": tokens}
    )
    advised = recommend(JobSpec.model_validate(values), report, LLAMA)
    values |= {name: a.value for name, a in advised.items() if lora or not name.startswith("lora_")}
    found = check(values, report=report)
    assert not [issue for issue in found if "together" in issue.blocks or issue.level == "warning"]
    assert {issue.code for issue in found if issue.level == "tip"} <= {"enough_steps"}


NAMES = [*JobSpec.model_fields, "lora_rank", "warmup_steps", "wandb_name"]
KEYS = st.sampled_from(NAMES) | st.text(max_size=5)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@settings(max_examples=60, deadline=None)
@given(
    values=st.dictionaries(KEYS, JSON), reply=st.dictionaries(st.sampled_from(sorted(REPLY)), JSON)
)
def test_nothing_that_is_typed_or_replied_breaks_it(values, reply):
    found = check(values, reply)
    assert [issue.as_dict() for issue in found] == [i.as_dict() for i in check(values, reply)]
    assert all(str(issue) and issue.code for issue in found)


def test_resolve_changes_nothing_that_was_given():
    given = {
        "model": "m",
        "training_file": "t",
        "learning_rate": 5e-5,
        "lora_r": 4,
        "batch_size": 2,
    }
    spec, reasons = resolve(given, info=LLAMA)
    assert {name: getattr(spec, name) for name in given} == given
    assert not set(given) & set(reasons)
    assert spec.lora_alpha == 8


def test_every_value_that_was_filled_in_has_a_reason():
    spec, reasons = resolve({"model": "m", "training_file": "t"}, info=LLAMA)
    for name in reasons:
        assert getattr(spec, name) is not None
    assert {"learning_rate", "batch_size", "lora_r", "lora_alpha", "random_seed"} <= set(reasons)


def test_what_is_recommended_is_filled_in_with_its_source():
    spec, reasons = resolve({"model": "m"}, info=LLAMA)
    advice = recommend(JobSpec(model="m"), None, LLAMA)["learning_rate"]
    assert spec.learning_rate == advice.value
    assert reasons["learning_rate"] == f"{advice.source}: {advice.why}"


def test_the_service_resolves_max_itself():
    assert resolve({"model": "m"}, info=LLAMA, engine="together").spec.batch_size == "max"
    assert resolve({"model": "m"}, info=LLAMA).spec.batch_size == 16


@pytest.mark.parametrize(
    ("n_rows", "n_epochs", "batch"), [(100, 1, 4), (800, 1, 8), (1200, 4, 16), (30, 1, 4)]
)
def test_the_batch_leaves_a_hundred_steps_where_it_can(n_rows, n_epochs, batch):
    report = DataReport(path="t", n_rows=n_rows)
    spec = resolve({"model": "m", "n_epochs": n_epochs}, report, LLAMA).spec
    assert spec.batch_size == batch


@pytest.mark.parametrize(
    ("lora", "engine"), [(False, "local"), (False, "together"), (None, "together")]
)
def test_nothing_is_filled_in_for_an_adapter_that_is_not_there(lora, engine):
    spec = resolve({**FILES, "lora": lora}, info=LLAMA, engine=engine).spec
    assert (spec.lora, spec.lora_r, spec.lora_alpha) == (lora, None, None)
    assert not [i for i in check(spec) if i.where.startswith("lora_")]


def test_left_to_the_engine_the_embedded_trainer_trains_an_adapter():
    spec, reasons = resolve({**FILES, "lora": None}, info=LLAMA)
    assert spec.lora is True
    assert spec.lora_alpha == 2 * (spec.lora_r or 0) > 0
    assert "lora" in reasons


def test_evaluations_come_with_validation_data():
    assert resolve({"model": "m"}, info=LLAMA).spec.n_evals == 0
    assert resolve({"model": "m", "validation_file": "v"}, info=LLAMA).spec.n_evals == 5


def test_a_resolved_spec_resolves_to_itself_and_is_accepted():
    spec = resolve({**FILES, "n_epochs": 2}, info=LLAMA).spec
    assert resolve(spec.model_dump(), info=LLAMA) == (spec, {})
    assert [issue for issue in check(spec.model_dump()) if "local" in issue.blocks] == []
