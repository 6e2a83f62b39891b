"""The estimate, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from ftlab import demo
from ftlab.cost import GIB, estimate
from ftlab.data.report import DataReport, scan
from ftlab.data.stats import TokenStats
from ftlab.devices import Device
from ftlab.models import ModelInfo

CPU = Device("cpu", "CPU", 16 * GIB, 2)
REPORT = DataReport(
    path="t", n_rows=100, tokens=TokenStats(lengths={50: 60, 200: 40}, by_role={}), loss_tokens=9
)
MODEL = ModelInfo(
    name="m",
    family="llama",
    n_params=1_000_000,
    hidden_size=128,
    intermediate_size=384,
    n_layers=4,
    vocab_size=1024,
    lora_params_per_rank={"q_proj": 1_000, "up_proj": 2_000},
)
SPEC = {"model": "m", "training_file": "t", "batch_size": 10, "n_epochs": 3, "lora_r": 8}


def test_steps_and_tokens():
    found = estimate(SPEC, REPORT, MODEL, device=CPU)
    assert found.n_steps == 30
    assert found.train_tokens == 3 * (60 * 50 + 40 * 200)
    assert found.eval_tokens == 0


def test_rows_are_counted_as_they_are_cut():
    found = estimate({**SPEC, "max_seq_length": 100}, REPORT, MODEL, device=CPU)
    assert found.train_tokens == 3 * (60 * 50 + 40 * 100)


def test_max_steps_end_the_count():
    found = estimate({**SPEC, "max_steps": 5}, REPORT, MODEL, device=CPU)
    assert found.n_steps == 5
    assert found.train_tokens == 5 * 10 * 110


def test_validation_is_measured_once_more_than_asked():
    validation = DataReport(path="v", n_rows=2, tokens=TokenStats(lengths={30: 2}, by_role={}))
    values = {**SPEC, "validation_file": "v", "n_evals": 4}
    assert estimate(values, REPORT, MODEL, validation=validation, device=CPU).eval_tokens == 300
    unknown = estimate(values, REPORT, MODEL, device=CPU)
    assert unknown.eval_tokens is None
    assert "not scanned" in " ".join(unknown.basis)


def test_the_adapter_is_rank_times_layers():
    found = estimate(SPEC, REPORT, MODEL, device=CPU)
    assert found.trainable_params == 8 * 3_000
    assert found.adapter_bytes == 4 * 8 * 3_000
    assert found.trainable_share == pytest.approx(0.024)
    fewer = {**SPEC, "lora_trainable_modules": "q_proj"}
    assert estimate(fewer, REPORT, MODEL, device=CPU).trainable_params == 8_000
    without = {**SPEC, "lora_exclude_modules": ["q_proj"]}
    assert estimate(without, REPORT, MODEL, device=CPU).trainable_params == 16_000


def test_ranges_are_ordered_and_have_a_basis():
    found = estimate(SPEC, REPORT, MODEL, device=CPU)
    for low, high in (found.duration, found.memory):
        assert 0 < low < high
    assert any("Time" in line for line in found.basis)
    assert any("Memory" in line for line in found.basis)


def test_valid_fields_are_estimated_while_others_are_wrong():
    found = estimate({**SPEC, "learning_rate": "high"}, REPORT, MODEL, device=CPU)
    assert found.incomplete
    assert found.n_steps == 30


def test_unknown_stays_unknown():
    found = estimate({"model": "somebody/nowhere"}, None, device=CPU)
    assert (found.n_steps, found.train_tokens, found.adapter_bytes) == (None, None, None)
    assert (found.price, found.duration, found.memory) == (None, None, None)


def test_longer_batches_take_more_memory():
    small, large = (
        estimate({**SPEC, "max_seq_length": n}, REPORT, MODEL, device=CPU).memory for n in (50, 200)
    )
    assert small[0] < large[0]


def test_the_demo_job_has_every_figure():
    found = estimate(demo.JOB, scan(demo.TRAIN, "demo"), validation=scan(demo.HELD_OUT, "demo"))
    assert found.n_steps
    assert found.train_tokens
    assert found.eval_tokens
    assert found.duration
    assert found.memory
