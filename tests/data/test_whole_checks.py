"""Checks of whole files and of the first rows: examples, clean rows, and worked figures."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from ftlab.data.chat import tokenise
from ftlab.data.checks import (
    WHOLE_CHECKS,
    RowView,
    Thresholds,
    find_in_file,
    find_in_sample,
    leakage,
    raised,
)
from ftlab.data.checks.balance import expected_runs, gini, shared, spearman
from ftlab.data.columns import Columns
from ftlab.data.formats import detect
from ftlab.data.tally import RowTally
from ftlab.data.tokens import load_tokenizer
from ftlab.data.typed import of_row
from ftlab.issues import Issue
from tests.small import chat_rows, save_tokenizer, with_bos


def columns_of(rows, name="rows.jsonl", tokenizer=None) -> Columns:
    """What a scan keeps of some rows, put in by hand."""
    tally = RowTally(name)
    for number, row in enumerate(rows, start=1):
        tally.add_row(number, row, of_row(detect(row).name, row))
    tally.finish(len(rows), detect(rows[0]).name, None)
    if tokenizer is not None:
        counted = [tokenise(row, tokenizer) for row in rows]
        tally.columns.n_tokens = np.array([max(len(t.ids) for t in row) for row in counted])
        tally.columns.n_trained = np.array([sum(t.n_trained for t in row) for row in counted])
    return tally.columns


def chat(prompt, answer):
    turns = [("user", prompt), ("assistant", answer)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(save_tokenizer(tmp_path / "chatml", "chatml"))


@pytest.mark.parametrize("check", WHOLE_CHECKS, ids=lambda check: check.name)
def test_every_check_finds_its_example(check, tokenizer):
    columns = columns_of(check.example, tokenizer=tokenizer)
    issues = list(check.find(columns, Thresholds()))
    assert {issue.code for issue in issues} == {check.name}
    assert all(issue.blocks == () for issue in issues)
    assert all(issue.message.startswith("rows.jsonl") for issue in issues)


@pytest.mark.parametrize("check", WHOLE_CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("n", [120, 400])
def test_no_check_complains_of_usual_rows(check, n, tokenizer):
    columns = columns_of(chat_rows(n), tokenizer=tokenizer)
    assert list(check.find(columns, Thresholds())) == []


@pytest.mark.parametrize("check", WHOLE_CHECKS, ids=lambda check: check.name)
def test_a_file_without_rows_has_nothing_to_complain_of(check):
    assert list(check.find(Columns(name="empty.jsonl"), Thresholds())) == []


def found(code, rows, **limits):
    return [i for i in find_in_file(columns_of(rows), Thresholds(**limits)) if i.code == code]


# --- rows that say the same ------------------------------------------------------------------


def test_copies_are_counted_with_their_lines():
    one, two, three = chat_rows(3)
    (issue,) = found("duplicates", [one, two, one, three, two, one])
    assert (issue.lines, issue.count, issue.level) == ((3, 5, 6), 3, "warning")
    assert "3 of 6 rows (50.0%)" in issue.message
    assert "3 times" in issue.message
    (issue,) = found("duplicates", [one, *chat_rows(200)])
    assert issue.level == "tip"


def test_prompts_with_several_answers_are_counted_by_rows():
    rows = [*chat_rows(60), chat("A?", "Yes."), chat("A?", "No."), chat("A?", "No.")]
    (issue,) = found("same_prompt_other_answer", rows)
    assert (issue.lines, issue.count, issue.level) == ((61, 62, 63), 3, "tip")
    assert "share 1 such" in issue.message
    (issue,) = found("same_prompt_other_answer", rows[40:])
    assert issue.level == "warning"
    assert found("same_prompt_other_answer", [*rows[:60], *[chat("A?", "No.")] * 3]) == []


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_same", "level"), [(2, None), (8, "tip"), (40, "warning")])
def test_openings_matter_by_their_share(n_same, level):
    same = [chat(f"{i}?", f"As always it is a joy to hear from you, {i}") for i in range(n_same)]
    rows = [*chat_rows(100 - n_same), *same]
    issues = found("same_opening", rows)
    assert [issue.level for issue in issues] == ([level] if level else [])


def test_labels_have_no_openings_but_classes():
    rows = [chat(f"Review {i}", "good" if i % 2 else "bad") for i in range(200)]
    assert {issue.code for issue in find_in_file(columns_of(rows))} == set()
    rows[:198] = [chat(f"Review {i}", "good") for i in range(198)]
    (issue,) = found("class_balance", rows)
    assert "'bad' has 1 of 200 rows (0.5%" in issue.message


def test_one_answer_for_all_is_said():
    (issue,) = found("class_balance", [chat(f"Review {i}", "good") for i in range(30)])
    assert "all 30 answers are 'good'" in issue.message


def test_short_answers_are_no_problem_where_all_are_short():
    rows = [*chat_rows(20), chat("Did it come?", "Yes.")]
    (issue,) = found("short_answers", rows)
    assert (issue.lines, issue.count) == ((21,), 1)
    assert found("short_answers", [chat(f"{i}?", f"It {i}") for i in range(20)]) == []


def test_translations_are_seen_by_their_script():
    rows = [*chat_rows(30), chat("Where is my order?", "Ваш заказ отправлен.")]
    (issue,) = found("answer_in_other_script", rows)
    assert (issue.lines, issue.level) == ((31,), "tip")
    (issue,) = found("answer_in_other_script", rows[20:])
    assert issue.level == "warning"


# --- numbers ---------------------------------------------------------------------------------


def test_gini_of_worked_examples():
    assert gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(0.75)
    assert gini(np.array([1, 2, 3])) == pytest.approx(2 / 9)


def test_rank_correlation_of_worked_examples():
    assert spearman(np.array([1, 5, 9])) == pytest.approx(1)
    assert spearman(np.array([9, 5, 1])) == pytest.approx(-1)
    assert spearman(np.array([1, 1, 2])) == pytest.approx(3**0.5 / 2)  # ranks 1.5, 1.5, 3
    assert spearman(np.array([4, 4, 4])) == 0


def test_runs_of_two_classes_are_those_of_wald_and_wolfowitz():
    # Two classes of ten: 1 + 2·10·10/20 runs, variance 200·180 / (400·19).
    mean, deviation = expected_runs(np.array([10, 10]))
    assert mean == pytest.approx(11)
    assert deviation**2 == pytest.approx(200 * 180 / (400 * 19))


def test_runs_of_three_classes_are_those_of_all_orders():
    values = [0, 0, 0, 1, 1, 2]
    runs = [1 + sum(a != b for a, b in pairwise(p)) for p in permutations(values)]
    mean, deviation = expected_runs(np.array([3, 2, 1]))
    assert mean == pytest.approx(np.mean(runs))
    assert deviation == pytest.approx(np.std(runs))


def test_classes_in_turn_are_not_sorted():
    rows = [chat(f"Is {i} odd?", "Yes." if i % 2 else "No.") for i in range(60)]
    assert found("sorted_by_class", rows) == []


def test_weights_are_all_zero_only_when_all_are():
    rows = [{**row, "weight": 0} for row in chat_rows(4)]
    assert found("all_weights_zero", rows)[0].level == "error"
    assert found("all_weights_zero", [*rows, *chat_rows(1, start=9)]) == []


def test_thresholds_are_settings():
    assert found("few_rows", chat_rows(8))[0].level == "warning"
    assert found("few_rows", chat_rows(12))[0].level == "tip"
    assert found("few_rows", chat_rows(12), some_rows=12) == []


# --- two files -------------------------------------------------------------------------------


def test_leakage_pairs_the_lines_of_both_files():
    train = columns_of(chat_rows(10), "train.jsonl")
    same, prompt = chat_rows(1, start=4)[0], chat("Where is order 7?", "I do not know.")
    validation = columns_of([*chat_rows(2, start=50), same, prompt], "val.jsonl")
    exact, prompts = leakage(train, validation)
    assert (exact.code, exact.level, exact.lines) == ("leakage", "error", (3,))
    assert (prompts.code, prompts.level, prompts.lines) == ("prompt_leakage", "warning", (4,))
    assert exact.blocks == prompts.blocks == ()
    assert "val.jsonl line 3" in exact.message
    assert "line 3 is there line 5" in exact.message
    assert shared(train, validation, "row_hash") == [(5, 3)]
    assert list(leakage(train, columns_of(chat_rows(5, start=20)))) == []
    assert list(leakage(Columns(), validation)) == []


# --- counts of other checks ------------------------------------------------------------------


def test_many_refusals_are_graver_than_a_few():
    issues = [Issue("tip", "a", code="refusal", count=3), Issue("tip", "b", code="few_rows")]
    assert list(raised(issues, 200)) == issues
    grave, same = raised(issues, 100)
    assert (grave.level, same.level) == ("warning", "tip")
    assert "3.0% of all rows" in grave.message
    cut = [Issue("warning", "a", code="answer_cut", count=3)] * 2
    assert [issue.level for issue in raised(cut, 100)] == ["error", "error"]


# --- the first rows --------------------------------------------------------------------------


def sample(rows, tokenizer):
    return [
        RowView(row, tokenise(row, tokenizer), tokenizer, None, number)
        for number, row in enumerate(rows, start=1)
    ]


def tokenizer_with(tmp_path, template, backend=None):
    folder = save_tokenizer(tmp_path / "own", backend=backend)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return load_tokenizer(folder)


@pytest.mark.parametrize("template", ["chatml", "header_id", "turn_tagged", "generation_tags"])
def test_usual_templates_fit(template, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template))
    assert list(find_in_sample(sample(chat_rows(5), tokenizer))) == []


def test_plain_rows_and_preferences_fit(tokenizer):
    message = {"role": "assistant", "content": "It left."}
    rows = [
        {"text": "Hello there"},
        {"prompt": "Hello ", "completion": "there"},
        {
            "input": {"messages": [{"role": "user", "content": "Where?"}]},
            "preferred_output": [message],
            "non_preferred_output": [{**message, "content": "No."}],
        },
    ]
    assert list(find_in_sample(sample(rows, tokenizer))) == []


def test_two_starts_are_found(tmp_path):
    tokenizer = tokenizer_with(tmp_path, None, with_bos())
    (issue,) = find_in_sample(sample([{"text": "<s>Hello"}, {"text": "Hello"}], tokenizer))
    assert (issue.code, issue.lines) == ("double_start", (1,))
    assert "1 of the first 2 rows" in issue.message


def test_answers_without_an_end_are_found(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "bare_words"))
    (issue,) = find_in_sample(sample(chat_rows(3), tokenizer))
    assert (issue.code, issue.lines) == ("missing_end", (1, 2, 3))


def test_a_system_prompt_that_is_left_out_is_found(tmp_path):
    template = (
        "{% for m in messages if m.role != 'system' %}<|user|>{{ m.content }}<|end|>{% endfor %}"
    )
    tokenizer = tokenizer_with(tmp_path, template)
    row = chat_rows(1)[0]
    with_system = {"messages": [{"role": "system", "content": "Be brief."}, *row["messages"]]}
    (issue,) = find_in_sample(sample([row, with_system], tokenizer))
    assert (issue.code, issue.lines) == ("template_drops_message", (2,))
    assert '"system"' in issue.message


def test_labels_that_miss_the_answer_are_found(tokenizer):
    views = sample(chat_rows(3), tokenizer)
    tokens = views[0].tokens[0]
    broken = type(tokens)(
        tokens.text, tokens.ids, [-100] * len(tokens.ids), tokens.offsets, tokens.turns
    )
    missing = RowView(views[0].row, (broken,), tokenizer, None, 1)
    (issue,) = find_in_sample([missing, *views[1:]])
    assert (issue.code, issue.level, issue.lines) == ("answer_not_trained", "warning", (1,))
    (issue,) = find_in_sample([missing])
    assert issue.level == "error"


def test_without_tokens_nothing_is_said_of_the_template():
    assert list(find_in_sample([RowView(row) for row in chat_rows(2)])) == []
