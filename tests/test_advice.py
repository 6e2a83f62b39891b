"""Recommendations: every field with its reason, by data size, and values that fit each other."""

from __future__ import annotations

import json

import pytest

from ftlab.advice import ADVISERS, recommend, recommend_all
from ftlab.advice.asked import recommend_for
from ftlab.data.report import DataReport
from ftlab.data.stats import TokenStats
from ftlab.errors import UnreadableData
from ftlab.models import ModelInfo, read_info
from ftlab.rules import check
from ftlab.sizes import SIZES, size_of
from ftlab.spec import FIELDS, KNOBS, JobSpec
from tests.small import chat_rows, write_rows

LLAMA = ModelInfo(
    name="meta-llama/Llama-3.1-8B", family="llama", hidden_size=4096, context_length=8192
)
ROWS = [None, 3, 30, 120, 1_200, 4_999, 5_000, 50_000, 80_000, 10_000_000]


def report(n_rows, **values):
    return None if n_rows is None else DataReport(path="t.jsonl", n_rows=n_rows, **values)


def everything(n_rows=None, **values):
    return recommend_all(JobSpec(**values), report(n_rows), LLAMA)


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize(
    "values", [{}, {"training_method": "dpo"}, {"lora": False}, {"quantization": "nf4"}]
)
def test_every_recommendation_has_a_source_a_reason_and_a_value_in_its_range(n_rows, values):
    found = everything(n_rows, **values)
    assert "learning_rate" in found
    for name, advice in found.items():
        assert advice.value is not None, name
        assert advice.source, name
        assert advice.why, name
        assert (advice.low is None) == (advice.high is None), name
        if advice.low is not None:
            assert advice.low <= advice.value <= advice.high, name


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize("values", [{}, {"training_method": "dpo"}, {"lora": False}])
def test_a_spec_of_recommended_values_is_valid(n_rows, values):
    taken = {name: advice.value for name, advice in everything(n_rows, **values).items()}
    given = {"model": "m", "training_file": "t.jsonl", **taken, **values}
    given.pop("n_evals", None)
    levels = {issue.level for issue in check(given, report=report(n_rows)) if not issue.blocks}
    assert levels <= {"tip"}
    assert JobSpec(**given).learning_rate == taken["learning_rate"]


@pytest.mark.parametrize("n_rows", ROWS)
def test_taking_every_recommendation_leaves_nothing_to_recommend(n_rows):
    found = everything(n_rows)
    taken = JobSpec(**{name: advice.value for name, advice in found.items()})
    again = recommend(taken, report(n_rows), LLAMA)
    assert {name: advice.value for name, advice in again.items()} == {
        name: advice.value for name, advice in found.items()
    }


def test_what_was_given_decides_the_rest():
    few, many = (everything(8_000, batch_size=size) for size in (8, 32))
    assert many["learning_rate"].value == pytest.approx(2 * few["learning_rate"].value, rel=0.03)
    assert everything(lora_r=64)["lora_alpha"].value == 128
    assert everything(packing=True, batch_size=8)["learning_rate"].value == 5.3e-4


def test_packed_sequences_count_as_the_rows_in_them():
    tokens = TokenStats(lengths={500: 100}, by_role={})
    data = report(100, tokens=tokens)
    given = JobSpec(batch_size=8, max_seq_length=8_000, lora_r=16)
    hosted, local = (
        recommend(given, data, LLAMA, engine)["learning_rate"].value
        for engine in ("together", "local")
    )
    assert hosted == 5.3e-4  # 8 sequences of 16 rows each are the sweeps' 128
    assert local == pytest.approx(hosted / 4, rel=0.03)


def test_the_service_chooses_the_batch():
    found = recommend(JobSpec(), report(1_000), LLAMA, "together")
    assert found["batch_size"].value == "max"
    assert found["learning_rate"].value == 6.6e-4  # 2e-4 × 8^0.35 × 2^(2/3) for alpha 16


def test_fields_of_another_method_are_left_out():
    assert "dpo_beta" not in everything()
    assert everything(training_method="dpo")["dpo_beta"].value == 0.1
    assert "train_on_inputs" not in everything(training_method="dpo")
    without = everything(lora=False)
    assert not [name for name in without if KNOBS[name].group == "LoRA"]


@pytest.mark.parametrize(
    ("n_rows", "rank", "epochs", "dropout", "decay"),
    [(1_000, 8, 3, 0.05, 0.01), (20_000, 16, 2, 0.05, 0.01), (100_000, 32, 1, 0.0, 0.0)],
)
def test_values_by_the_size_of_the_data(n_rows, rank, epochs, dropout, decay):
    found = everything(n_rows)
    values = [found[name].value for name in ("lora_r", "n_epochs", "lora_dropout", "weight_decay")]
    assert values == [rank, epochs, dropout, decay]


def test_nemos_tables():
    """Figures of the guide, typed again from it."""
    small, medium, large = SIZES
    assert [size.lora["learning_rate"] for size in SIZES] == [
        (1e-5, 5e-5),
        (1e-5, 1e-4),
        (5e-5, 2e-4),
    ]
    assert [size.full["learning_rate"] for size in SIZES] == [
        (1e-6, 5e-6),
        (5e-6, 2e-5),
        (1e-5, 3e-5),
    ]
    assert [size.lora["lora_r"] for size in SIZES] == [(4, 8), (8, 16), (16, 64)]
    assert [size.full["n_epochs"] for size in SIZES] == [(1, 3), (2, 5), (1, 3)]
    assert [size_of(n) for n in (4_999, 5_000, 50_000, 50_001)] == [small, medium, medium, large]


def test_few_rows_get_more_epochs_for_a_hundred_steps():
    assert everything(120)["n_epochs"].value == 4
    assert everything(30)["n_epochs"].value == 5  # and no more


@pytest.mark.parametrize(
    ("steps", "warmup"), [(100, 0.1), (400, 0.025), (1_000, 0.05), (20_000, 0.05)]
)
def test_warm_up_goes_with_the_number_of_steps(steps, warmup):
    spec = JobSpec(batch_size=1, n_epochs=1)
    assert recommend(spec, report(steps), LLAMA)["warmup_ratio"].value == pytest.approx(warmup)


def test_the_length_is_the_longest_rows():
    tokens = TokenStats(lengths={100: 5, 700: 1}, by_role={})
    found = recommend(JobSpec(), report(6, tokens=tokens), LLAMA)
    assert found["max_seq_length"].value == 704


def test_json_is_as_documented():
    plain = json.loads(json.dumps(everything(1_000).as_dict()))
    assert set(plain) <= set(FIELDS)
    assert list(plain) == [name for name in ADVISERS if name in plain]
    for advice in plain.values():
        assert set(advice) == {"value", "low", "high", "source", "why", "others"}
        assert all(set(other) == {"value", "source"} for other in advice["others"])
    assert plain["learning_rate"]["low"] < plain["learning_rate"]["value"]


def test_it_shows_itself_in_a_notebook_and_as_text():
    found = everything()
    assert found._repr_html_().startswith("<table>")
    assert "Tinker&#x27;s formula" in found._repr_html_()
    assert "learning_rate: 5.3e-4 (2.6e-4 to 1.1e-3)" in str(found)


def test_advice_on_a_model_by_name_and_file(tmp_path):
    file = write_rows(tmp_path / "t.jsonl", chat_rows(40))
    found = recommend_for("demo", file)
    assert found["batch_size"].value == 4
    assert found["max_seq_length"].source == "the data"
    assert "lora_r" not in recommend_for("demo", full=True)


def test_preferences_are_for_dpo(tmp_path):
    ask, one, other = (
        {"role": r, "content": c} for r, c in (("user", "Hi"), *[("assistant", x) for x in "ab"])
    )
    row = {"input": {"messages": [ask]}, "preferred_output": [one], "non_preferred_output": [other]}
    file = write_rows(tmp_path / "p.jsonl", [row])
    assert "dpo_beta" in recommend_for("demo", file)
    assert "dpo_beta" not in recommend_for("demo", file, "sft")


def test_a_file_without_rows_is_said(tmp_path):
    with pytest.raises(UnreadableData, match="nothere"):
        recommend_for("demo", tmp_path / "nothere.jsonl")


def test_plain_keywords_are_taken_too():
    """With what the catalogue knows of the model; a value that is none is left out."""
    given = {"model": "Qwen/Qwen3-8B", "lora_r": 16, "n_epochs": 0}
    spec = JobSpec(model="Qwen/Qwen3-8B", lora_r=16)
    assert recommend(given) == recommend(spec, info=read_info("Qwen/Qwen3-8B"))
    assert recommend(given)["learning_rate"].value == pytest.approx(5.3e-4, rel=0.01)
