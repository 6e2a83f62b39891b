"""What is made of a sheet that is not as full as one would like it."""

from __future__ import annotations

import json

import pytest

from ftlab.errors import FtlabError
from ftlab.scores import Scores
from ftlab.scores.metrics import Loss, Metric, Seen, Traits, chosen
from ftlab.scores.sheet import Column, ScoredRow, Sheet
from ftlab.scores.tables import as_html, as_text
from ftlab.scores.words import headline


def sheet_of(n, **values):
    """Column → metric → values."""
    rows = [ScoredRow(line=i + 1, prompt="Q", reference="A") for i in range(n)]
    sheet = Sheet(run="r", file="v.jsonl", sha256="", settings={}, rows=rows)
    for name, told in values.items():
        column = Column.empty(name, name, name, 0, n)
        column.values = told
        sheet.columns[name] = column
        for metric in told:
            known = {one.name: one.traits for one in chosen(None)}
            sheet.traits[metric] = known.get(metric, Traits(metric, metric, chance=0.5))
    return sheet


def shown(sheet):
    found = Scores(sheet)
    as_html(found)
    json.dumps(found.as_dict(), allow_nan=False)
    return as_text(found)


def test_a_metric_that_only_the_base_has_keeps_no_row_from_view():
    """The weights changed after the first scoring, and the second asked for one metric."""
    base = {"exact_match": [0.0, 1.0, 1.0], "loss": [2.0, 2.0, 2.0]}
    found = Scores(sheet_of(3, base=base, tuned={"exact_match": [1.0, 1.0, 0.0]}))
    assert [change.row.line for change in found.gained()] == [1]
    assert [change.row.line for change in found.lost()] == [3]


def test_columns_without_a_row_in_common_are_not_compared():
    text = shown(sheet_of(2, base={"rouge_l": [0.5, None]}, tuned={"rouge_l": [None, 0.6]}))
    assert "better" not in text


def test_a_figure_of_some_rows_says_of_how_many():
    half = [1.0] * 4 + [None] * 6
    sheet = sheet_of(10, base={"exact_match": half, "rouge_l": [0.5] * 10}, tuned={})
    sheet.columns["tuned"].values = dict(sheet.columns["base"].values)
    text = shown(sheet)
    assert "exact match, 4 rows" in text
    assert "ROUGE-L, 10" not in text


def test_where_there_is_only_a_judge_its_verdict_is_the_headline():
    sheet = sheet_of(12, base={"judge": [None] * 12}, tuned={"judge": [1.0] * 12})
    assert headline(Scores(sheet)).endswith("better than chance, +50.0 points (+25.8 to +50.0); so "
                                            "few rows say little.")  # fmt: skip


def test_one_row_tells_of_no_other():
    text = shown(sheet_of(1, base={"loss": [4.0], "rouge_l": [0.2]},
                          tuned={"loss": [1.0], "rouge_l": [1.0]}))  # fmt: skip
    assert "1 (0 to inf)" in text
    assert "100.0% (20.7 to 100.0)" in text
    assert "no better than base, -3 (-inf to +inf)" in text


def test_values_that_are_no_numbers_are_counted():
    rows = [Seen(losses=(Loss(x, 2, 1),), line=n) for n, x in enumerate([1.0, float("nan")])]
    usage = {}
    (loss,) = chosen(["loss"])
    assert list(loss.over(rows, usage)) == [0.5, None]
    assert usage == {"loss": {"rows_without_a_number": 1}}
    sheet = sheet_of(2, base={"loss": [1.0, None]}, tuned={"loss": [1.0, None]})
    sheet.columns["tuned"].usage = usage
    assert "loss: 1 row without a number." in shown(sheet)


@pytest.mark.parametrize("value", ["half", [1], complex(1)])
def test_what_is_no_number_says_where(value):
    with pytest.raises(FtlabError, match="The metric m failed on line 3"):
        Metric(Traits("m", "m"), lambda _: value)(Seen(line=3))
