"""Configurations for Axolotl, checked by Axolotl's own validation and read by its own code."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
import yaml
from transformers import get_scheduler

from ftlab import demo
from ftlab.data.chat import tokenise
from ftlab.data.report import DataReport
from ftlab.data.tokens import load_tokenizer
from ftlab.exchange.axolotl import flat_preferences, to_axolotl
from ftlab.models import ModelInfo
from ftlab.rules import resolve
from ftlab.schedule import evaluation_steps, lr_share, total_steps
from ftlab.spec import JobSpec
from tests.exchange.oracles import AXOLOTL, ask
from tests.exchange.specs import DPO, INFO, PREFERENCES, REPORT, SFT, WISHES, with_and_without

# Validates configurations as `axolotl train` does, on a machine with two GPUs, and tokenises rows.
VALIDATE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from axolotl.utils.config import validate_config
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.config import AxolotlInputConfig
from axolotl.utils.schemas.datasets import DPODataset, SFTDataset
GPUS = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 2, "compute_capability": "sm_90"}
plain = lambda value: json.loads(json.dumps(value, default=lambda v: getattr(v, "value", str(v))))

def validated(settings):
    checked = validate_config(DictDefault(settings), GPUS, {"torch_version": "2.13.0"})
    return plain(checked.to_dict())

def tokenised(settings, row, model):
    from transformers import AutoTokenizer
    from axolotl.prompt_strategies import completion, load, user_defined
    tokenizer = AutoTokenizer.from_pretrained(model)
    cfg = validate_config(DictDefault(settings))
    data, kind = cfg.datasets[0], settings["datasets"][0]["type"]
    if isinstance(kind, dict):
        fields = user_defined.UserDefinedDatasetConfig(**kind)
        found = user_defined.load(tokenizer, cfg, fields).tokenize_prompt(row)
    elif kind == "completion":
        strategy = completion.load(tokenizer, cfg, {"field": data.field})
        found = strategy.tokenize_prompt({name: [value] for name, value in row.items()})
        found = {name: value[0] for name, value in found.items()}
    elif cfg.rl:
        from axolotl.prompt_strategies.dpo.chat_template import default
        return default(cfg)[0](row, tokenizer=tokenizer)
    else:
        found = load("chat_template", tokenizer, cfg, data).tokenize_prompt(row)
    return [found["input_ids"], found["labels"]]

question = json.load(sys.stdin)
answer = {
    "validated": [validated(settings) for settings in question["settings"]],
    "tokenised": [tokenised(*case, question["model"]) for case in question["rows"]],
    "keys": sorted(AxolotlInputConfig.model_fields)
    + [f.alias for f in AxolotlInputConfig.model_fields.values() if f.alias],
    "data": sorted({*SFTDataset.model_fields, *DPODataset.model_fields}),
}
print()
print(json.dumps(answer))
"""
SCHEDULES = {
    "cosine": {"lr_scheduler_type": "cosine", "min_lr_ratio": 0.1, "warmup_ratio": 0.08},
    "waves": {"lr_scheduler_type": "cosine", "scheduler_num_cycles": 1.5},
    "linear": {"lr_scheduler_type": "linear"},
    "linear to a tenth": {"lr_scheduler_type": "linear", "min_lr_ratio": 0.1, "warmup_ratio": 0.08},
    "constant": {"lr_scheduler_type": "constant", "warmup_ratio": 0.08},
    "wsd": {"lr_scheduler_type": "wsd", "warmup_ratio": 0.08},
    "wsd to a tenth": {"lr_scheduler_type": "wsd", "min_lr_ratio": 0.1},
    "inverse_sqrt": {"lr_scheduler_type": "inverse_sqrt", "warmup_ratio": 0.08},
    "inverse_sqrt at once": {"lr_scheduler_type": "inverse_sqrt"},
}
MORE = {
    "int8": {"quantization": "int8"},
    "8 bits": {"optimizer": "adamw_8bit"},
    "stops": {"early_stopping_enabled": True, "n_evals": 5, "n_checkpoints": 5},
    "all preferences": {**DPO, "rpo_alpha": 0.5, "dpo_normalize_logratios_by_length": True},
    "one of each": {"n_evals": 1, "n_checkpoints": 2},
    "drops": {"over_length": "drop"},
    "raises": {"over_length": "stop", "max_steps": 10},
}
CASES = {
    **{name: values for name, values in WISHES.items() if name != "from_checkpoint"},
    **SCHEDULES,
    **MORE,
}
CHAT = {"messages": json.loads(demo.TRAIN.read_text().splitlines()[0])["messages"] * 2}
ROWS: dict[str, dict[str, Any]] = {
    "conversation": CHAT,
    "instruction": {"prompt": "Where is it?", "completion": " Here."},
    "general": {"text": "Where is it? Here."},
    "preference": json.loads((demo.TRAIN.parent / "preferences.jsonl").read_text().splitlines()[0]),
}


def spec_of(name: str) -> JobSpec:
    return JobSpec(**{**SFT, **CASES[name]})


def report_of(spec: JobSpec) -> DataReport:
    return PREFERENCES if spec.training_method == "dpo" else REPORT


def settings_of(spec: JobSpec, report: DataReport | None) -> dict[str, Any]:
    return yaml.safe_load(to_axolotl(spec, report, INFO).text)


@pytest.fixture(scope="module")
def axolotl() -> dict[str, Any]:
    """What Axolotl makes of configurations and rows: one process, because it takes seconds."""
    rows = []
    for kind, row in ROWS.items():
        spec = JobSpec(**(DPO if kind == "preference" else SFT))
        settings = settings_of(spec, DataReport(path="t", n_rows=10, format=kind))
        flat = next(flat_preferences([row])) if kind == "preference" else row
        rows.append((settings, flat))
    question = {
        "settings": [settings_of(spec_of(name), report_of(spec_of(name))) for name in CASES],
        "rows": rows,
        "model": str(demo.MODEL),
    }
    answer = ask(AXOLOTL, VALIDATE, question)
    named = {
        "validated": dict(zip(CASES, answer["validated"], strict=True)),
        "tokenised": dict(zip(ROWS, answer["tokenised"], strict=True)),
    }
    return {**answer, **named}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_axolotl_accepts_it_and_keeps_every_value(axolotl, name):
    settings = settings_of(spec_of(name), report_of(spec_of(name)))
    assert set(settings) <= set(axolotl["keys"])
    for data in settings["datasets"]:
        assert set(data) <= set(axolotl["data"])
    kept = axolotl["validated"][name]
    for key, value in settings.items():
        if key in ("datasets", "test_datasets"):
            for mine, theirs in zip(value, kept[key], strict=True):
                assert mine.items() <= {**theirs, "type": mine["type"]}.items()
        else:
            assert kept[key] == value, key


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conversation", "instruction", "general"])
def test_the_same_tokens_train(axolotl, kind):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    (ours,) = tokenise(ROWS[kind], load_tokenizer(demo.MODEL), now=now)
    assert axolotl["tokenised"][kind] == [list(ours.ids), list(ours.labels)]


@pytest.mark.slow
def test_flat_preferences_are_the_same_texts(axolotl):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    tokenizer = load_tokenizer(demo.MODEL)
    theirs = axolotl["tokenised"]["preference"]
    for answer, ours in zip(
        ("chosen", "rejected"), tokenise(ROWS["preference"], tokenizer, now=now), strict=True
    ):
        text = tokenizer.decode(list(ours.ids))
        assert text.rstrip() == theirs["prompt"] + theirs[answer]


# --- what transformers makes of it -----------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_is_the_same_curve(name):
    spec = spec_of(name)
    settings = settings_of(spec, REPORT)
    n_steps = n_steps_of(settings)
    rate, warmup = settings["learning_rate"], int(settings["warmup_ratio"] * n_steps)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    theirs = get_scheduler(
        settings["lr_scheduler"], optimizer, warmup, n_steps,
        scheduler_specific_kwargs=settings.get("lr_scheduler_kwargs") or {},
    )  # fmt: skip
    # Axolotl's warm-up and decay take whole steps, and so may be a step off.
    slack = 1 / max(warmup, 0.1 * n_steps) if spec.warmup_ratio else 1e-9
    slack = 0.05 if name == "inverse_sqrt at once" else slack
    for step in range(n_steps):
        share = lr_share(
            step / n_steps, spec.lr_scheduler_type, warmup_ratio=spec.warmup_ratio,
            min_lr_ratio=spec.min_lr_ratio, scheduler_num_cycles=spec.scheduler_num_cycles,
        )  # fmt: skip
        assert theirs.get_last_lr()[0] / rate == pytest.approx(share, abs=slack)
        optimizer.step()
        theirs.step()


def n_steps_of(settings: dict[str, Any]) -> int:
    per_step = settings["micro_batch_size"] * settings["gradient_accumulation_steps"]
    return total_steps(REPORT.n_rows, per_step, settings["num_epochs"])


@pytest.mark.parametrize("n_evals", [1, 2, 3, 5, 7, 11, 40])
def test_it_measures_as_often_or_says_how_often(n_evals):
    text, lost = to_axolotl(JobSpec(**{**SFT, "n_evals": n_evals}), REPORT, INFO)
    settings = yaml.safe_load(text)
    n_steps = n_steps_of(settings)
    found = n_steps // settings["eval_steps"]
    told = [issue.message for issue in lost if issue.where == "n_evals"]
    assert found == len(evaluation_steps(n_steps, n_evals)) or f"here {found} times" in told[0]
    assert found == pytest.approx(n_evals, rel=0.3)


def test_while_the_steps_are_unknown_the_interval_is_a_share():
    for n_evals, n_steps in [(1, 63), (3, 63), (5, 100)]:
        settings = settings_of(JobSpec(**{**SFT, "n_evals": n_evals}), None)
        interval = math.ceil(n_steps * settings["eval_steps"])  # as transformers takes a share
        assert n_steps // interval == n_evals


@pytest.mark.parametrize(("micro", "gpus", "accumulation"), [(1, 1, 16), (2, 4, 2), (3, 1, 5)])
def test_a_step_is_made_up_of_rows_gpus_and_accumulation(micro, gpus, accumulation):
    spec = JobSpec(**{**SFT, "batch_size": 16})
    text, lost = to_axolotl(spec, REPORT, INFO, micro_batch_size=micro, n_gpus=gpus)
    assert yaml.safe_load(text)["gradient_accumulation_steps"] == accumulation
    is_equal = micro * gpus * accumulation == 16
    assert {issue.where for issue in lost} == (set() if is_equal else {"batch_size"})


# --- what it can't ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", WISHES)
def test_every_wish_is_in_the_file_or_in_the_list(name):
    wish, rest = with_and_without(name, WISHES[name])
    made = to_axolotl(wish, report_of(wish), INFO)
    told = {issue.where for issue in made.lost}
    if not made.text:
        assert [issue.level for issue in made.lost] == ["error"]
        return
    assert made.text != to_axolotl(rest, report_of(rest), INFO).text or name in told


def test_nothing_is_listed_where_all_goes_over():
    spec = JobSpec(**SFT, lora_r=8, use_rslora=True, warmup_ratio=0.1, over_length="drop")
    assert to_axolotl(spec, REPORT, INFO).lost == []


def test_what_differs_without_being_asked_for_is_told():
    lost = to_axolotl(JobSpec(**DPO), PREFERENCES, INFO).lost
    assert "flat_preferences" in lost[0].message
    (low,) = to_axolotl(
        JobSpec(**SFT, lr_scheduler_type="wsd", warmup_ratio=0.1, min_lr_ratio=0.1), REPORT, INFO
    ).lost
    assert low.where == "min_lr_ratio"
    unknown = {name: value for name, value in SFT.items() if name != "max_seq_length"}
    found = to_axolotl(JobSpec(**unknown, lora_r=8), None, ModelInfo(name="m")).lost
    assert "512" in next(issue.message for issue in found if issue.where == "max_seq_length")


def test_a_resolved_spec_is_what_is_written():
    spec = resolve(JobSpec(**SFT), REPORT, INFO).spec
    settings = settings_of(JobSpec(**SFT), REPORT)
    assert settings["learning_rate"] == spec.learning_rate
    assert settings["lora_r"] == spec.lora_r
