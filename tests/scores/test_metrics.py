"""Metrics: each proved by its own example, and held against the field's own packages."""

from __future__ import annotations

import math
import random

import pytest

import ftlab
from ftlab.errors import FtlabError
from ftlab.scores.measures import exact_match, margin, perplexity, rouge_l, same, win_rate
from ftlab.scores.metrics import METRICS, Loss, Seen, chosen
from tests.exchange.oracles import LM_EVAL, ask

WORDS = ["the", "order", "4417", "left", "On", "Monday.", "it's", "a_b", "-", "your", "house,"]
ROUGE = """
import json, sys
from rouge_score.rouge_scorer import RougeScorer
scorer = RougeScorer(["rougeL"])
pairs = json.load(sys.stdin)
print(json.dumps([scorer.score(*pair)["rougeL"].fmeasure for pair in pairs]))
"""


@pytest.fixture
def registered():
    """What a test registers is taken back."""
    chosen(None)
    before = dict(METRICS)
    yield METRICS
    METRICS.clear()
    METRICS.update(before)


@pytest.mark.parametrize("metric", chosen(None), ids=lambda metric: metric.name)
def test_each_metric_finds_its_own_example(metric):
    seen, value = metric.example
    assert metric(seen) == pytest.approx(value)
    assert metric(Seen()) is None  # a row that it does not apply to


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("no json", '{"a": 1}', False),
        (" yes ", "yes", True),
        ("Yes", "yes", False),
        ("1.0", "1", True),
        ("[" * 100_000, "[]", False),
        ("1", "true", False),
        ('{"paid": [1]}', '{"paid": [true]}', False),
        ('{"paid": [1.0]}', '{"paid": [1]}', True),
        ('{"a": 1}', '{"a": 1, "b": null}', False),
        ("NaN", "NaN", True),
        ("null", "null", True),
        ("café", "cafe\u0301", True),
    ],
)
def test_equality_is_of_json_or_of_text(answer, reference, equal):
    assert same(answer, reference) is equal


def test_nobody_is_expected_to_equal_a_long_text():
    assert exact_match(Seen(reference="word " * 50, answer="word")) is None
    assert exact_match(Seen(reference=f'{{"a": "{"word " * 50}"}}', answer="no")) == 0.0


def test_rouge_is_that_of_rouge_score():
    draw = random.Random(1)
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(0, 90))) for _ in range(400)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    ours = [rouge_l(Seen(reference=one, answer=other)) or 0.0 for one, other in pairs]
    assert ours == pytest.approx(ask(LM_EVAL, ROUGE, pairs), rel=1e-12, abs=1e-12)


def test_rouge_reads_all_alphabets():
    assert rouge_l(Seen(reference="мой заказ", answer="Мой заказ!")) == 1.0
    assert rouge_l(Seen(reference="कितने दिन", answer="कितना")) == 0.0  # marks are of their word
    assert rouge_l(Seen(reference="我的订单", answer="订单")) == pytest.approx(2 / 3)


def test_a_pair_is_won_lost_or_even():
    pairs = [(Loss(float(a), 4, 1), Loss(float(b), 2, 1)) for a, b in ((1, 2), (2, 1), (2, 2))]
    assert [win_rate(Seen(losses=pair)) for pair in pairs] == [1.0, 0.0, 0.5]
    assert [margin(Seen(losses=pair)) for pair in pairs] == [1.0, -1.0, 0.0]


def test_a_loss_that_is_no_number_is_no_value():
    assert METRICS["loss"](Seen(losses=(Loss(math.nan, 4, 1),))) is None
    assert perplexity(Seen(losses=(Loss(0.0, 0, 0),))) is None


def test_a_metric_of_ones_own(registered):
    @ftlab.metric("length", range=(0, 10), lower_is_better=True)
    def length(row):
        return len(row.answer) if row.answer else None

    (found,) = chosen(["length"])
    assert (found.traits.form, found.traits.lower_is_better) == ("number", True)
    assert list(found.over([Seen(answer="abc"), Seen(answer="")], {})) == [3.0, None]
    with pytest.raises(FtlabError, match=r"gave 11 on line 7; its range is 0 to 10"):
        found(Seen(answer="a" * 11, line=7))


def test_a_metric_that_fails_says_where(registered):
    ftlab.metric("broken")(lambda row: 1 / 0)
    with pytest.raises(FtlabError, match=r"broken failed on line 3 \(ZeroDivisionError"):
        registered["broken"](Seen(line=3))


def test_a_name_that_is_none_says_which_there_are():
    with pytest.raises(FtlabError, match="there are exact_match, win_rate"):
        chosen(["bleu"])
