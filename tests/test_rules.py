"""Every rule on its own example, and what resolve() fills in."""

from __future__ import annotations

import pytest

from ftlab.data.report import DataReport
from ftlab.models import ModelInfo
from ftlab.rulebook import FILES, RULES
from ftlab.rules import check, resolve
from ftlab.spec import JobSpec

LLAMA = ModelInfo(name="m", family="llama", hidden_size=4096, context_length=8192)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_finds_its_own_example(rule):
    found = check(rule.example, rule.limits, rule.report)
    assert [issue for issue in found if issue.code == rule.name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_message_ends_with_what_to_do(rule):
    for issue in check(rule.example, rule.limits, rule.report):
        assert issue.message.count(".") >= 1
        assert ";" in issue.message or issue.message.count(". ") >= 1
        assert issue.where in JobSpec.model_fields


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
    from ftlab.spec import with_fix

    values = rule.example
    for issue in check(values, rule.limits, rule.report):
        if issue.code == rule.name and isinstance(issue.fix, dict):
            values = with_fix(values, issue.fix)
            left = check(values, rule.limits, rule.report)
            same = [i for i in left if (i.code, i.where) == (issue.code, issue.where)]
            assert not same


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


def test_evaluations_come_with_validation_data():
    assert resolve({"model": "m"}, info=LLAMA).spec.n_evals == 0
    assert resolve({"model": "m", "validation_file": "v"}, info=LLAMA).spec.n_evals == 5


# Published values of the formula: Llama-3.1-8B and Qwen3-8B (both of width 4096) with LoRA.
@pytest.mark.parametrize(("family", "expected"), [("llama", 2.856e-4), ("qwen3", 4.730e-4)])
def test_the_recommended_rate_is_tinkers_formula(family, expected):
    info = ModelInfo(name="m", family=family, hidden_size=4096)
    rate = resolve({"model": "m"}, info=info).spec.learning_rate
    assert rate == pytest.approx(expected, rel=0.02)


def test_a_resolved_spec_resolves_to_itself_and_is_accepted():
    spec = resolve({**FILES, "n_epochs": 2}, info=LLAMA).spec
    assert resolve(spec.model_dump(), info=LLAMA) == (spec, {})
    assert [issue for issue in check(spec.model_dump()) if "local" in issue.blocks] == []


def test_unknown_families_get_the_constant_of_the_sweeps():
    spec, reasons = resolve({"model": "m"}, info=ModelInfo(name="m", family="phi3"))
    assert spec.learning_rate == 3e-4
    assert "sweeps" in reasons["learning_rate"]
