"""Prices, each worked by hand from the table of 2026-02."""

from __future__ import annotations

import json
import math

import pytest

from ftlab.errors import UnreadableData
from ftlab.limits import Limits
from ftlab.models import ModelInfo, read_info
from ftlab.price_table import path, rates
from ftlab.prices import Price, dollars, hosted_price
from ftlab.running_costs import endpoint_price, local_price
from ftlab.service_estimate import ServiceEstimate, credit_issue
from ftlab.spec import JobSpec

EIGHT = ModelInfo(name="eight", n_params=8_000_000_000)
THIRTY = ModelInfo(name="thirty", n_params=30_500_000_000)
SEVENTY = ModelInfo(name="seventy", n_params=70_600_000_000)
VALIDATED = {"validation_file": "v.jsonl", "n_evals": 10}


def price(info=EIGHT, tokens=2_100_000, eval_tokens=0, *, n_rows=None, limits=None, **values):
    spec = JobSpec(model=info.name or None, training_file="t.jsonl", **values)
    return hosted_price(spec, info, tokens, eval_tokens, n_rows=n_rows, limits=limits)


@pytest.mark.parametrize(
    ("info", "method", "lora", "expected"),
    [  # a million tokens, three epochs
        (EIGHT, "sft", True, 3 * 0.48),
        (EIGHT, "sft", False, 3 * 0.54),
        (EIGHT, "dpo", True, 3 * 1.20),
        (EIGHT, "dpo", False, 3 * 1.35),
        (THIRTY, "sft", True, 3 * 1.50),
        (THIRTY, "sft", False, 3 * 1.65),
        (THIRTY, "dpo", True, 3 * 3.75),
        (THIRTY, "dpo", False, 3 * 4.12),
        (SEVENTY, "sft", True, 3 * 2.90),
        (SEVENTY, "sft", False, 3 * 3.20),
        (SEVENTY, "dpo", True, 3 * 7.25),
        (SEVENTY, "dpo", False, 3 * 8.00),
    ],
)
def test_each_cell_of_the_table(info, method, lora, expected):
    found = price(info, 1_000_000, training_method=method, lora=lora, n_epochs=3)
    assert (found.low, found.high) == pytest.approx((expected, expected))


def test_evaluations_count_their_tokens_each_time():
    # 3 × 2,100,000 + 10 × 50,000 = 6,800,000 tokens at 0.48 dollars per million
    found = price(eval_tokens=50_000, n_epochs=3, **VALIDATED)
    assert (found.low, found.high) == pytest.approx((3.264, 3.264))
    assert found.basis[0].startswith("6,800,000 tokens × $0.48 per million (up to 16B, sft, LoRA;")
    assert "rates of 2026-02-13" in found.basis[0]
    assert found.in_words() == "$3.26"


def test_without_packing_a_row_counts_its_whole_length():
    # 1,000 rows × 4,096 tokens × 2 epochs = 8,192,000 tokens
    found = price(tokens=300_000, n_rows=1_000, packing=False, max_seq_length=4_096, n_epochs=2)
    assert (found.low, found.high) == pytest.approx((3.93216, 3.93216))
    assert any("Without packing" in line for line in found.basis)


def test_without_packing_and_length_the_longest_that_the_service_takes_counts():
    limits = Limits(max_seq_length_sft=32_768, max_seq_length_dpo=16_384)
    found = price(n_rows=100, limits=limits, packing=False)
    assert found.low == pytest.approx(100 * 32_768 * 0.48e-6)
    found = price(n_rows=100, limits=limits, packing=False, training_method="dpo")
    assert found.low == pytest.approx(100 * 16_384 * 1.20e-6)


def test_what_the_service_chooses_makes_a_range():
    found = price(tokens=10_000_000, lora=None)
    assert (found.low, found.high) == pytest.approx((4.80, 5.40))
    assert found.in_words() == "$4.80 to $5.40"
    assert "$0.48 or $0.54" in found.basis[0]
    assert "LoRA or all weights" in found.basis[0]


def test_an_early_stop_makes_the_low_end():
    # one evaluation is not judged, one sets the best, two miss it: 4 of 10
    found = price(tokens=10_000_000, early_stopping_enabled=True, **VALIDATED)
    assert (found.low, found.high) == pytest.approx((0.4 * 4.80, 4.80))
    assert "Early stopping may end the job after 40% of it." in found.basis


def test_a_size_between_two_brackets_has_both_rates():
    between = ModelInfo(name="between", n_params=16_500_000_000)
    found = price(between, 10_000_000)
    assert (found.low, found.high) == pytest.approx((4.80, 15.00))
    assert "up to 16B or 17–69B" in found.basis[0]


def test_a_minimum_that_nobody_confirmed_is_the_high_end():
    found = price(THIRTY, 100_000)
    assert (found.low, found.high) == pytest.approx((0.15, 4.00))
    assert "A job may cost $4.00 at least" in found.basis[-1]
    assert price(THIRTY, 10_000_000).high == pytest.approx(15.0)


def test_experts_count_with_all_their_parameters():
    info = read_info("mistralai/Mixtral-8x7B-Instruct-v0.1")  # 46.7B, of which 13B work on a token
    assert "17–69B" in price(info, 10_000_000).basis[0]


def test_a_model_may_have_rates_of_its_own():
    info = read_info("Qwen/Qwen3-235B-A22B")
    assert price(info, 1_000_000).low == pytest.approx(6.0)
    assert price(info, 1_000_000, training_method="dpo").low == pytest.approx(15.0)
    full = price(info, 1_000_000, lora=False)
    assert (full.low, full.high) == (None, None)
    assert "no rate for training all weights" in full.basis[0]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (price(tokens=None), "not counted yet"),
        (price(ModelInfo(name="m")), "that of m is not known"),
        (price(ModelInfo(name="")), "that of the model is not known"),
        (price(read_info("deepseek-ai/DeepSeek-R1")), "rates of their own"),
        (price(packing=False, n_rows=10), "length or the number of rows is not known"),
        (price(packing=False, max_seq_length=64), "length or the number of rows is not known"),
    ],
)
def test_without_a_price_there_is_a_reason(found, reason):
    assert (found.low, found.high, found.in_words()) == (None, None, "unknown")
    assert reason in found.basis[0]


def test_validation_tokens_that_are_not_counted_are_said():
    found = price(eval_tokens=None, **VALIDATED)
    assert found.low == pytest.approx(2.1 * 0.48)
    assert "The validation tokens are not counted yet and not in the price." in found.basis


def test_own_weights_go_by_the_template_model():
    assert "template" in price(from_hf_model="me/mine").basis[-1]


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "$0.00"), (0.004, "under $0.01"), (3.264, "$3.26"), (99.99, "$99.99"), (1240.4, "$1,240")],
)
def test_dollars_in_words(amount, words):
    assert dollars(amount) == words


# --- the table -------------------------------------------------------------------------------


def test_the_table_may_be_the_persons_own(tmp_path, monkeypatch):
    content = json.loads(path().read_text(encoding="utf-8"))
    content["tuning"] |= {"as_of": "2027-01-01"}
    content["tuning"]["brackets"][0]["sft"]["lora"] = 1.0
    own = tmp_path / "prices.json"
    own.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("FTLAB_PRICES", str(own))
    found = price(tokens=1_000_000)
    assert found.low == pytest.approx(1.0)
    assert "rates of 2027-01-01" in found.basis[0]
    assert rates(own) is rates(own)


@pytest.mark.parametrize("rate", [-1, "0.48", None, True, math.inf])
def test_a_rate_that_is_none_is_said(rate, tmp_path):
    content = json.loads(path().read_text(encoding="utf-8"))
    content["tuning"]["brackets"][0]["sft"]["lora"] = rate
    own = tmp_path / "prices.json"
    own.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UnreadableData, match="FTLAB_PRICES"):
        rates(own)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tuning": {}, "endpoints": {}}'])
def test_a_damaged_table_is_said(text, tmp_path):
    own = tmp_path / "prices.json"
    own.write_text(text)
    with pytest.raises(UnreadableData, match="can't be read"):
        rates(own)


def test_dpo_costs_two_and_a_half_times_as_much_in_every_cell():
    for bracket in (*rates().brackets, *rates().models.values()):
        for training, rate in bracket.rates["sft"].items():
            assert bracket.rates["dpo"][training] == pytest.approx(2.5 * rate, rel=0.01)


# --- the service's estimate ------------------------------------------------------------------

REPLY = {
    "estimation_available": True,
    "estimated_total_price": 4.1,
    "allowed_to_proceed": True,
    "user_limit": 25.0,
    "estimated_train_token_count": 8_500_000,
    "estimated_eval_token_count": 0,
}


def test_the_services_estimate_is_taken_as_it_is():
    found = ServiceEstimate.from_reply(REPLY)
    assert (found.price.low, found.price.high, found.price.in_words()) == (4.1, 4.1, "$4.10")
    assert (found.train_tokens, found.eval_tokens) == (8_500_000, 0)
    assert (found.credit, found.allowed) == (25.0, True)
    assert "8,500,000" in found.price.basis[0]
    assert found.issue() is None


def test_an_older_service_does_not_say_that_it_can():
    older = {name: value for name, value in REPLY.items() if name != "estimation_available"}
    assert ServiceEstimate.from_reply(older) == ServiceEstimate.from_reply(REPLY)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("multimodal_dataset", "images"),
        ("train_file_not_validated", "not checked the training file"),
        ("eval_file_invalid", "refuses the validation file"),
        ("a_new_reason", "a_new_reason"),
        (None, "without a reason"),
    ],
)
def test_no_estimate_has_its_reason(word, told):
    found = ServiceEstimate.from_reply({"estimation_available": False, "unavailable_reason": word})
    assert found.price.low is None
    assert told in found.price.basis[0]
    assert found.issue() is None


@pytest.mark.parametrize(
    "reply",
    [{}, {"estimated_total_price": "4"}, {"estimated_total_price": math.nan}, {"user_limit": True}],
)
def test_a_reply_of_no_use_is_unknown(reply):
    found = ServiceEstimate.from_reply(reply)
    assert (found.price.low, found.credit, found.allowed) == (None, None, None)


@pytest.mark.parametrize(
    ("price", "told"),
    [
        (None, "its reply names no price"),
        (-5, "names no price (-5)"),
        ("4", "names no price ('4')"),
        (10**400, "a whole number of about 400 digits"),
        (1e308, "names no price (1e+308)"),
        (1.1e9, "names no price"),
    ],
)
def test_a_price_that_is_none_is_told_as_such(price, told):
    found = ServiceEstimate.from_reply({"estimated_total_price": price})
    assert found.price.low is None
    assert told in found.price.basis[0]


def test_numbers_are_floats_and_tokens_that_nobody_has_are_unknown():
    reply = {"estimated_total_price": 5, "user_limit": 10**400}
    found = ServiceEstimate.from_reply({**reply, "estimated_train_token_count": 1e300})
    assert type(found.price.low) is float
    assert (found.credit, found.train_tokens) == (None, None)
    assert "tokens" not in found.in_words()


def test_an_account_that_owes_something_may_spend_nothing():
    found = ServiceEstimate.from_reply({"estimated_total_price": 5, "user_limit": -3.5})
    assert found.credit == 0.0
    assert "may spend $0.00" in found.issue().message


def test_amounts_that_would_read_the_same_have_more_digits():
    said = credit_issue(Price(25.0004, 25.0004), 25.0).message
    assert "costs $25.0004; the account may spend $25.0000" in said


def test_a_job_that_is_covered_and_not_allowed_is_not_said_to_cost_too_much():
    said = credit_issue(Price(5.0, 5.0), 30.0, allowed=False).message
    assert "Together says that it would not start it" in said
    assert "Add credit" not in said


def test_what_the_account_does_not_cover_is_a_warning():
    reply = {**REPLY, "user_limit": 3.0, "allowed_to_proceed": False}
    issue = ServiceEstimate.from_reply(reply).issue()
    assert (issue.level, issue.code, issue.blocks) == ("warning", "over_credit", ())
    assert "$4.10" in issue.message
    assert "may spend $3.00" in issue.message


@pytest.mark.parametrize(
    ("high", "credit", "allowed", "warns"),
    [
        (5.0, 5.0, None, False),
        (5.1, 5.0, None, True),
        (5.0, None, None, False),
        (1.0, 5.0, False, True),
        (1.0, None, False, True),
        (None, 5.0, None, False),
    ],
)
def test_when_the_credit_is_short(high, credit, allowed, warns):
    found = credit_issue(Price(high and 0.5, high), credit, allowed=allowed)
    assert (found is not None) == warns


# --- afterwards, and here --------------------------------------------------------------------


def test_an_endpoint_costs_by_the_minute():
    # 8B parameters take 16 GB and a fifth: one H100 at 3.99 dollars an hour
    found = endpoint_price(EIGHT, minutes=60)
    assert (found.low, found.high) == pytest.approx((3.99, 3.99))
    assert endpoint_price(EIGHT, minutes=10).low == pytest.approx(0.665)
    assert found.basis[0].startswith("1 × H100 80GB at $0.0665 per minute while the endpoint runs")


def test_a_larger_model_takes_what_costs_least():
    # 70.6B × 2 bytes × 1.2 = 158 GiB: two H100 (160 GiB, 7.98 dollars), less than a B200 (9.95)
    found = endpoint_price(SEVENTY)
    assert found.low == pytest.approx(7.98)
    assert "2 × H100 80GB" in found.basis[0]
    assert "per GPU" in found.basis[0]
    assert endpoint_price(SEVENTY, hardware="B200 180GB").low == pytest.approx(9.95)


def test_hardware_that_nothing_is_known_of_has_no_price():
    assert endpoint_price(ModelInfo(name="m")).in_words() == "unknown"
    assert "nowhere" in endpoint_price(EIGHT, hardware="nowhere").basis[0]
    assert "needs" in endpoint_price(ModelInfo(name="huge", n_params=10**12)).basis[0]


def test_a_job_here_costs_what_the_person_says():
    assert local_price((1800, 5400), usd_per_hour=2.0) == Price(1.0, 3.0, ("$2 per hour",))
    # 350 W for 2 hours: 0.7 kWh at 0.30 dollars
    energy = local_price((7200, 7200), watts=350, usd_per_kwh=0.30)
    assert energy.low == pytest.approx(0.21)
    assert energy.basis == ("350 W at $0.3 per kWh",)
    both = local_price((3600, 3600), usd_per_hour=1.0, watts=1000, usd_per_kwh=0.5)
    assert both.low == pytest.approx(1.5)
    assert local_price((10, 20)).in_words() == "unknown"
    assert local_price((10, 20), watts=350).low is None
