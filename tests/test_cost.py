"""The estimate, against numbers worked out by hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from ftlab import cost, demo
from ftlab.cost import estimate
from ftlab.data.guess import SPREAD
from ftlab.data.report import DataReport, scan
from ftlab.data.rows import Rows, split
from ftlab.data.stats import TokenStats
from ftlab.devices import Device
from ftlab.estimated import Estimate
from ftlab.job import LocalOptions
from ftlab.local_plan import local_plan
from ftlab.measured import Measurement
from ftlab.memory import GIB, memory
from ftlab.models import ModelInfo
from ftlab.rules import resolve
from ftlab.spec import parse
from tests.small import chat_rows, save_model, write_rows

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


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.25, 0.5])
def test_the_rows_that_train_are_those_that_the_trainer_does_not_hold_back(tmp_path, share):
    file = write_rows(tmp_path / "t.jsonl", chat_rows(300))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\n \n", 1))
    report = scan(file)
    values = {**SPEC, "training_file": str(file), "batch_size": 1, "validation_split": share}
    training, held_back = split(Rows(file), share)
    found = estimate({**values, "n_evals": 1}, report, MODEL, device=CPU)
    assert found.n_steps == 3 * len(training)
    per_row = report.sizes.total / 300
    assert found.eval_tokens == pytest.approx(2 * per_row * len(held_back), abs=1)
    write_rows(file, chat_rows(10))  # not as it was scanned
    assert estimate(values, report, MODEL, device=CPU).n_steps == 3 * (300 - round(300 * share))


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


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # peft asks by the old name
def test_dora_adds_a_scale_per_output(tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path / "model")
    values = {"model": str(folder), "training_file": "t", "lora_r": 4, "use_dora": True}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules="all-linear", use_dora=True, task_type="CAUSAL_LM")
    trained = sum(p.numel() for p in get_peft_model(model, config).parameters() if p.requires_grad)
    assert estimate(values, device=CPU).trainable_params == trained


def test_options_change_the_memory_and_wrong_ones_are_left_out():
    plain = estimate(SPEC, REPORT, MODEL, device=CPU)
    less = estimate(SPEC, REPORT, MODEL, device=CPU, options={"gradient_checkpointing": True})
    one = estimate(SPEC, REPORT, MODEL, device=CPU, options={"micro_batch_size": 1})
    assert less.parts.total < plain.parts.total
    assert one.parts.total < plain.parts.total
    wrong = {"micro_batch_size": "many", "gradient_checkpointing": True}
    assert estimate(SPEC, REPORT, MODEL, device=CPU, options=wrong).parts == less.parts


def test_several_gpus_take_less_time_and_no_more_memory_each():
    gpu = Device("cuda:0", "GPU", 80 * GIB)
    one, two = (estimate(SPEC, REPORT, MODEL, device=gpu, options={"n_gpus": n}) for n in (1, 2))
    assert one.duration[1] / 2 < two.duration[1] < one.duration[1]
    assert two.parts.total - two.parts.gradients <= one.parts.total - one.parts.gradients
    assert two.n_steps == one.n_steps
    assert any("on each of 2 GPUs" in line for line in two.basis)


def test_several_processes_on_a_cpu_take_more_memory_and_no_less_time():
    one, two = (estimate(SPEC, REPORT, MODEL, device=CPU, options={"n_gpus": n}) for n in (1, 2))
    assert two.parts.weights == 2 * one.parts.weights
    assert two.duration[1] >= one.duration[1]


def test_a_probe_is_of_one_process(monkeypatch):
    """As the formula has it for one: then it holds for all."""
    options, spec = {"n_gpus": 2}, resolve(parse(SPEC)[0], REPORT, MODEL).spec
    plan = local_plan(spec, MODEL, CPU, LocalOptions(**options), REPORT)
    one = memory(plan.decoder, plan.setup, plan.largest)
    probed = Measurement("2026-11-21", 5, round(one.total), 4.0, 0.5, 1000.0)
    monkeypatch.setattr(cost, "find", lambda _: probed)
    found = estimate(SPEC, REPORT, MODEL, device=CPU, options=options)
    assert found.memory[0] < found.parts.total < found.memory[1]


def test_what_processes_sum_is_copied(monkeypatch):
    monkeypatch.setattr("ftlab.local_plan.GRADIENTS", 1000)
    gpu = Device("cuda:0", "GPU", 80 * GIB)
    one, two = (estimate(SPEC, REPORT, MODEL, device=gpu, options={"n_gpus": n}) for n in (1, 2))
    assert two.parts.gradients == one.parts.gradients + 4 * 1000


BESIDE, LAYER = 148_032, 212_992
"""Parameters of MODEL beside its layers, and of one: 4 × 128² + 3 × 128 × 384."""


def test_a_model_in_shares_takes_its_part_and_what_is_gathered():
    gpu, options = Device("cuda:0", "GPU", 80 * GIB), {"n_gpus": 2}
    whole = estimate(SPEC, REPORT, MODEL, device=gpu, options=options)
    shares = estimate(SPEC, REPORT, MODEL, device=gpu, options={**options, "shard": True})
    gathered = 2 * (BESIDE + 2 * LAYER)
    assert whole.parts.weights == 2 * 1_000_000
    assert shares.parts.weights == 1_000_000 + gathered
    assert shares.parts.total - whole.parts.total == gathered - 1_000_000
    assert any("a share of 1/2" in line for line in shares.basis)


def test_all_weights_in_shares_share_what_belongs_to_them():
    gpu, spec = Device("cuda:0", "GPU", 80 * GIB), {**SPEC, "lora": False, "lora_r": None}
    found = estimate(spec, REPORT, MODEL, device=gpu, options={"n_gpus": 4, "shard": True}).parts
    assert found.weights == 1_000_000 + 2 * (BESIDE + 2 * LAYER)
    assert found.gradients == 1_000_000 + 4 * LAYER
    assert found.optimizer == 2_000_000


def test_a_model_is_divided_where_the_job_fits_only_so():
    wide = {"n_params": 8 * 10**9, "hidden_size": 4096, "intermediate_size": 14336, "n_layers": 32}
    model, gpu = replace(MODEL, **wide), Device("cuda:0", "GPU", 80 * GIB)

    def found(device: Device, **options: bool | int) -> Estimate:
        alone = {"micro_batch_size": 1, "n_gpus": 2, "gradient_checkpointing": True, **options}
        return estimate(SPEC, REPORT, model, device=device, options=alone)

    whole, shares = (found(gpu, shard=switch) for switch in (False, True))
    assert shares.memory[1] < whole.memory[0]
    assert found(gpu).shard is False
    small = replace(gpu, memory_bytes=round(shares.memory[1]) + 1)
    divided = found(small)
    assert (divided.shard, divided.fits, divided.memory) == (True, "fits", shares.memory)
    assert any(line.startswith("Memory: with the model divided") for line in divided.basis)
    assert found(small, shard=False).advice.fix == {"shard": True}
    assert found(small, n_gpus=1).shard is False


def test_the_longest_row_of_a_step_goes_to_the_first_process():
    rows = TokenStats(lengths={100: 997, 3000: 3}, by_role={})
    report = DataReport(path="t", n_rows=1000, tokens=rows, loss_tokens=9)
    spec = {**SPEC, "batch_size": 64, "max_steps": 5, "max_seq_length": 4000}
    resolved = resolve(parse(spec)[0], report, MODEL).spec
    one, eight = (
        local_plan(resolved, MODEL, CPU, LocalOptions(n_gpus=n), report).largest for n in (1, 8)
    )
    assert one.squares == one.tokens * 3000
    assert eight.squares == eight.tokens * 3000


def test_the_parts_are_those_of_the_model_and_its_adapter():
    parts = estimate(SPEC, REPORT, MODEL, device=CPU).parts
    assert parts.weights == 4 * 1_000_000
    assert (parts.adapter, parts.gradients, parts.optimizer) == (96_000, 96_000, 192_000)
    sgd = estimate({**SPEC, "optimizer": "sgd"}, REPORT, MODEL, device=CPU).parts
    assert sgd.optimizer == 0


def test_a_small_device_gets_advice_and_a_large_one_none():
    small = Device("cpu", "CPU", GIB // 2, 2)
    assert estimate(SPEC, REPORT, MODEL, device=CPU).advice is None
    found = estimate(SPEC, REPORT, MODEL, device=small)
    assert found.fits in ("tight", "does not fit")
    assert found.advice is not None
    assert "0.5 GiB" in found.advice.message


def test_what_the_machine_and_the_answers_cost_stands_beside_it():
    without = estimate(SPEC, REPORT, MODEL, device=CPU)
    assert without.local_price is None
    assert without.in_words()["price"].startswith("none on this machine")
    low, high = without.duration
    found = estimate(SPEC, REPORT, MODEL, device=CPU, options={"usd_per_hour": 7200})
    assert found.local_price == pytest.approx((2 * low, 2 * high))
    assert "on this machine" in found.in_words()["price"]
    assert any("$7200 per hour" in line for line in found.basis)
    hourly = found.answers_per_hour
    assert hourly[0] == hourly[1] > 0
    assert "per hour" in found.in_words()["answers"]
    unknown = estimate(SPEC, REPORT, ModelInfo(name="m"), device=CPU)
    assert unknown.answers_per_hour is None
    assert "unknown" in unknown.in_words()["answers"]


def test_guessed_tokens_widen_every_range_that_rests_on_them():
    guessed = REPORT.model_copy(update={"tokens": None, "guess": REPORT.tokens})
    known = REPORT.model_copy(update={"loss_tokens": REPORT.tokens.total})  # all of them train
    exact = estimate(SPEC, known, MODEL, device=CPU)
    found = estimate(SPEC, guessed, MODEL, device=CPU)
    assert found.guessed
    assert not exact.guessed
    assert found.train_tokens == exact.train_tokens
    assert found.in_words()["tokens"].startswith("about ")
    for name in ("duration", "price"):
        low, high = getattr(exact, name)
        assert getattr(found, name) == pytest.approx((low * SPREAD[0], high * SPREAD[1]), rel=0.01)
    assert found.memory[0] < exact.memory[0]
    assert found.memory[1] > exact.memory[1]
    assert any("guess" in line for line in found.basis)


def test_the_hosted_price_stands_beside_the_local_time():
    found = estimate(SPEC, REPORT, MODEL, device=CPU)
    low, high = found.price
    assert 0 < low <= high
    assert "$" in found.in_words()["price"]
    assert any(line.startswith("Price: ") for line in found.basis)
    unpacked = estimate(
        {**SPEC, "packing": False, "max_seq_length": 400}, REPORT, MODEL, device=CPU
    )
    assert "without packing" in " ".join(unpacked.basis).lower()


def test_the_estimate_is_plain_data_for_json():
    found = json.loads(json.dumps(estimate(SPEC, REPORT, MODEL, device=CPU).as_dict()))
    assert found["fits"] == "fits"
    assert found["n_steps"] == 30
    assert found["memory"][0] < sum(found["parts"].values()) < found["memory"][1]
    assert found["device"]["title"] == "CPU"
    assert (found["advice"], found["measured"]) == (None, None)


def test_it_shows_itself_in_a_notebook():
    shown = estimate(SPEC, REPORT, MODEL, device=CPU)._repr_html_()
    assert "memory" in shown
    assert "<script" not in shown


def test_bfloat16_on_a_gpu_halves_the_weights_only():
    gpu = Device("cuda:0", "GPU", 24 * GIB)
    found = estimate(SPEC, REPORT, MODEL, device=gpu).parts
    assert found.weights == 2 * 1_000_000
    assert found.adapter == 96_000


@pytest.mark.parametrize("spec", [SPEC, {**SPEC, "use_dora": True, "lora_dropout": 0.1}])
def test_an_estimate_takes_no_time(spec):
    lengths = dict.fromkeys(range(20, 2000), 3)
    tokens = TokenStats(lengths=lengths, by_role={})
    report = DataReport(path="t", n_rows=6000, tokens=tokens, loss_tokens=9)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        estimate(spec, report, MODEL, device=CPU)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.002


def test_with_packing_a_step_takes_packs():
    packed = {**SPEC, "batch_size": 5, "packing": True, "max_seq_length": 200}
    found = estimate(packed, REPORT, MODEL, device=CPU)
    assert found.n_steps == 3 * 11  # 40 rows fill a pack each, and four of 50 tokens do: 55 packs
    assert found.train_tokens == 3 * (60 * 50 + 40 * 200)
    assert "100 rows in 55 packs ÷ 5 per step" in found.basis[0]
    plain = estimate({**SPEC, "batch_size": 5}, REPORT, MODEL, device=CPU)
    assert plain.n_steps == 60


def test_gradient_checkpointing_is_on_where_the_job_fits_only_so():
    wide = replace(MODEL, hidden_size=2048, intermediate_size=8192, n_layers=16)

    def found(device: Device, **options: bool) -> Estimate:
        alone = {"micro_batch_size": 1, **options}  # nothing cheaper is left
        return estimate(SPEC, REPORT, wide, device=device, options=alone)

    on, off = (found(CPU, gradient_checkpointing=switch) for switch in (True, False))
    assert on.memory is not None
    assert off.memory is not None
    assert on.memory[1] < off.memory[0]
    assert found(CPU) == off
    small = replace(CPU, memory_bytes=round(on.memory[1]) + 1)
    busy = replace(CPU, free_bytes=small.memory_bytes)  # by what ends before it starts
    assert found(busy).gradient_checkpointing is False
    tiny = replace(CPU, memory_bytes=round(on.memory[0]) - 1)
    assert found(tiny).gradient_checkpointing is False  # it would not help
    left_open = found(small)
    assert (left_open.gradient_checkpointing, left_open.fits) == (True, "fits")
    assert left_open.memory == on.memory
    assert any(line.startswith("Memory: with gradient checkpointing") for line in left_open.basis)
    kept = found(small, gradient_checkpointing=False)  # what was chosen stays
    assert kept.gradient_checkpointing is False
    assert kept.advice is not None
