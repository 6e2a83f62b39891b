"""What a change entails: every tie on its own example, and the figures by hand."""

from __future__ import annotations

import pytest

from ftlab.data.report import DataReport
from ftlab.models import ModelInfo
from ftlab.spec import FIELDS, with_fix
from ftlab.ties import TIES, ties


def fixes(before, after, report=None, info=None):
    return {issue.where: issue.fix for issue in ties(before, {**before, **after}, report, info)}


@pytest.mark.parametrize("tie", TIES, ids=lambda tie: tie.name)
def test_every_tie_finds_its_own_example(tie):
    found = [issue for issue in ties(tie.before, tie.after, tie.report) if issue.code == tie.name]
    assert found
    for issue in found:
        assert issue.level == "tip"
        assert not issue.blocks
        assert issue.where in FIELDS
        assert set(issue.fix) == {issue.where}
        assert "Use " in issue.message


@pytest.mark.parametrize("tie", TIES, ids=lambda tie: tie.name)
def test_taking_the_fix_ends_the_tip(tie):
    for issue in ties(tie.before, tie.after, tie.report):
        mended = with_fix(tie.after, issue.fix)
        left = ties(tie.before, mended, tie.report)
        assert (issue.code, issue.where) not in [(i.code, i.where) for i in left]


@pytest.mark.parametrize("tie", TIES, ids=lambda tie: tie.name)
def test_no_change_no_tip(tie):
    assert ties(tie.before, tie.before, tie.report) == []
    assert ties(tie.after, tie.after, tie.report) == []


def test_the_rate_goes_with_the_root_of_the_batch():
    given = {"learning_rate": 1e-4, "batch_size": 16}
    assert fixes(given, {"batch_size": 32}) == {"learning_rate": {"learning_rate": 1.4e-4}}
    assert fixes(given, {"gradient_accumulation_steps": 4})["learning_rate"] == {
        "learning_rate": 2e-4
    }


def test_all_weights_take_a_tenth_of_the_rate_and_back():
    assert fixes({"learning_rate": 2e-4}, {"lora": False})["learning_rate"] == {
        "learning_rate": 2e-5
    }
    back = fixes({"learning_rate": 2e-5, "lora": False}, {"lora": True})
    assert back["learning_rate"] == {"learning_rate": 2e-4}


def test_several_causes_make_one_tip():
    given = {"learning_rate": 1e-4, "batch_size": 8}
    (issue,) = ties(given, {**given, "batch_size": 32, "lora": False})
    assert issue.fix == {"learning_rate": 2e-5}
    assert "a tenth" in issue.message
    assert "8 → 32 rows" in issue.message


def test_causes_that_cancel_out_say_nothing():
    given = {"learning_rate": 1e-4, "batch_size": 16, "lora_r": 16, "lora_alpha": 32}
    assert fixes(given, {"batch_size": 32, "lora_alpha": 64}) == {}


def test_another_model_of_another_family():
    given = {"learning_rate": 4e-4, "model": "Qwen/Qwen3-8B", "lora_r": 16}
    found = ties(given, {**given, "model": "Qwen/Qwen3.5-9B"}, info=ModelInfo("Qwen/Qwen3.5-9B"))
    assert found[0].fix == {"learning_rate": 2e-4}


@pytest.mark.parametrize("change", [{"batch_size": 32}, {"lora": False}, {"lora_r": 64}])
def test_what_was_left_out_follows_by_itself(change):
    assert fixes({"batch_size": 16}, change) == {}


def test_a_rate_that_changes_too_is_left_alone():
    given = {"learning_rate": 1e-4, "batch_size": 16}
    assert fixes(given, {"batch_size": 32, "learning_rate": 2e-4}) == {}


def test_too_few_rows_for_smaller_batches_take_more_epochs():
    rows = DataReport(path="t.jsonl", n_rows=100)
    found = fixes({"batch_size": 1, "n_epochs": 3}, {"n_epochs": 1, "batch_size": 4}, rows)
    assert found == {"n_epochs": {"n_epochs": 4}}


def test_invalid_values_are_passed_over():
    given = {"learning_rate": "fast", "batch_size": 16}
    assert fixes(given, {"batch_size": -3}) == {}
