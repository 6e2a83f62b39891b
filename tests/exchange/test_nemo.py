"""Recipes for NeMo AutoModel, built by NeMo AutoModel itself, and recipes read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from ftlab import demo
from ftlab.data.chat import tokenise
from ftlab.data.report import DataReport
from ftlab.data.tokens import load_tokenizer
from ftlab.exchange.nemo import to_nemo
from ftlab.exchange.nemo_import import from_nemo
from ftlab.rules import resolve
from ftlab.schedule import evaluation_steps, lr_share, total_steps
from ftlab.spec import JobSpec, module_names, parse
from tests.exchange.oracles import NEMO, ask
from tests.exchange.specs import INFO, REPORT, SFT, WISHES, with_and_without

# Builds all sections of recipes as NeMo's trainer does, and says what came of them.
BUILD = """
import dataclasses, json, logging, sys, tempfile
import torch
from nemo_automodel.cli.utils import load_yaml, resolve_recipe_name
from nemo_automodel.components.config.loader import ConfigNode, load_yaml_config
from nemo_automodel.recipes._dist_utils import parse_distributed_section
from nemo_automodel.recipes._typed_config import RecipeConfig
logging.disable(logging.CRITICAL)

def built(text, n_rows):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text); file.flush()
        recipe = resolve_recipe_name(load_yaml(file.name)["recipe"])
        cfg = RecipeConfig(load_yaml_config(file.name))
    steps = cfg.get("step_scheduler").to_dict()
    loader = range(-(-n_rows // steps["local_batch_size"]))
    schedule = dataclasses.replace(cfg.step_scheduler, preemption_signal=None)
    schedule = schedule.build(loader, 1, steps["local_batch_size"])
    optimizer = cfg.optimizer.build(torch.nn.Linear(2, 2))
    optimizer = optimizer[0] if isinstance(optimizer, list) else optimizer
    (rates,) = cfg.lr_scheduler.build(optimizer, schedule)
    group = optimizer.param_groups[0]
    found = {"rates": [], "evaluations": [], "checkpoints": []}
    for _ in schedule.epochs:
        for _ in schedule:
            found["rates"].append(group["lr"])
            rates.step(1)
            found["evaluations"] += [schedule.step + 1] if schedule.is_val_step else []
            found["checkpoints"] += [schedule.step + 1] if schedule.is_ckpt_step else []
    parse_distributed_section(cfg.get("distributed").to_dict())
    plain = lambda value: json.loads(json.dumps(dataclasses.asdict(value), default=str))
    return {
        **found,
        "recipe": recipe,
        "per_step": schedule.grad_acc_steps * steps["local_batch_size"],
        "optimizer": type(optimizer).__name__,
        "group": {k: group[k] for k in ("weight_decay", "betas", "eps") if k in group},
        "peft": plain(cfg.peft.instantiate()) if cfg.get("peft") else None,
        "loss": type(cfg.loss_fn).__name__,
        "data": plain(cfg.dataloader.dataset_config),
        "packing": plain(cfg.dataloader.packing) if cfg.dataloader.packing else None,
        "shuffle": cfg.dataloader.shuffle,
        "seed": cfg.dataloader.seed,
        "validation": {k: plain(v.dataset_config) for k, v in cfg.validation_dataloaders.items()},
        "max_norm": cfg.get("clip_grad_norm.max_norm"),
        "model": cfg.get("model.pretrained_model_name_or_path"),
        "checkpoint_dir": str(cfg.checkpoint.checkpoint_dir),
        "quantization": cfg.get("quantization").to_dict() if cfg.get("quantization") else None,
        "noise": cfg.get("neftune.noise_alpha"),
    }

def rows(settings, model):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    loader = RecipeConfig(ConfigNode(settings)).dataloader
    data = loader.dataset_config.build(tokenizer=tokenizer)
    return [[row["input_ids"], row["labels"]] for row in data]

def layers(configs, model):
    from transformers import AutoModelForCausalLM
    from nemo_automodel.components._peft.module_matcher import ModuleMatcher
    modules = list(AutoModelForCausalLM.from_pretrained(model).named_modules())
    matchers = [ModuleMatcher(**config) for config in configs]
    apart = lambda name: (name.rpartition(".")[2], name.rpartition(".")[0])
    return [[n for n, m in modules if matcher.match(m, *apart(n))] for matcher in matchers]

question = json.load(sys.stdin)
answer = {
    "built": [built(*case) for case in question["recipes"]],
    "rows": rows(question["data"], question["model"]),
    "layers": layers(question["adapters"], question["model"]),
}
print()
print(json.dumps(answer))
"""
SUPERVISED = {
    name: values
    for name, values in WISHES.items()
    if values.get("training_method") != "dpo" and name != "from_checkpoint"
}
ADAPTERS: list[dict[str, Any]] = [
    {},
    {"lora_exclude_modules": ("down_proj", "o_proj")},
    {"lora_trainable_modules": ("q_proj", "v_proj")},
    {"lora_trainable_modules": "q_proj,down_proj", "lora_exclude_modules": ("q_proj",)},
]
ROW = {"messages": json.loads(demo.TRAIN.read_text().splitlines()[0])["messages"] * 2}
LENGTH = 60
SCHEDULES = {
    "cosine": {"lr_scheduler_type": "cosine", "min_lr_ratio": 0.1, "warmup_ratio": 0.08},
    "linear": {"lr_scheduler_type": "linear", "min_lr_ratio": 0.2},
    "constant": {"lr_scheduler_type": "constant", "warmup_ratio": 0.08},
    "wsd": {"lr_scheduler_type": "wsd", "warmup_ratio": 0.08, "min_lr_ratio": 0.1},
    "inverse_sqrt": {"lr_scheduler_type": "inverse_sqrt", "warmup_ratio": 0.08},
}
COUNTS = {
    f"{n_evals} and {n_checkpoints}": {"n_evals": n_evals, "n_checkpoints": n_checkpoints}
    for n_evals, n_checkpoints in [(1, 1), (4, 1), (5, 5), (7, 1), (125, 1)]
}
CASES = {**SUPERVISED, **SCHEDULES, **COUNTS}


def spec_of(name: str) -> JobSpec:
    return JobSpec(**{**SFT, **CASES[name]})


@pytest.fixture(scope="module")
def nemo(tmp_path_factory) -> dict[str, Any]:
    """What NeMo makes of recipes, rows and adapters: one process, because it takes seconds."""
    file = tmp_path_factory.mktemp("data") / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    values = {**SFT, "training_file": str(file), "max_seq_length": LENGTH}
    settings = yaml.safe_load(to_nemo(JobSpec(**values), REPORT, INFO).text)
    question = {
        "recipes": [(to_nemo(spec_of(n), REPORT, INFO).text, REPORT.n_rows) for n in CASES],
        "data": {name: settings[name] for name in ("dataset", "dataloader", "step_scheduler")},
        "adapters": [modules_of(choice) for choice in ADAPTERS],
        "model": str(demo.MODEL),
    }
    answer = ask(NEMO, BUILD, question)
    return {**answer, "built": dict(zip(CASES, answer["built"], strict=True))}


def modules_of(choice: dict[str, Any]) -> dict[str, Any]:
    """Which layers a recipe names."""
    peft = yaml.safe_load(to_nemo(JobSpec(**SFT, **choice), REPORT, INFO).text)["peft"]
    return {key: peft.get(key, []) for key in ("target_modules", "exclude_modules")}


def n_steps_of(spec: JobSpec) -> int:
    """Steps over all rows of the file: NeMo neither holds rows back nor leaves some out."""
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    return total_steps(REPORT.n_rows, per_step, spec.n_epochs, spec.max_steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_nemo_builds_what_the_spec_says(nemo, name):
    spec = resolve(spec_of(name), REPORT, INFO).spec
    lost = {issue.where for issue in to_nemo(spec_of(name), REPORT, INFO).lost}
    made = nemo["built"][name]
    assert made["recipe"].endswith("train_ft.TrainFinetuneRecipeForNextTokenPrediction")
    assert made["model"] == (spec.from_hf_model or spec.model)
    assert made["per_step"] == int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    assert made["group"]["weight_decay"] == spec.weight_decay
    if spec.optimizer == "adamw":
        assert made["optimizer"] == "AdamW"
        assert made["group"]["betas"] == [spec.adam_beta1, spec.adam_beta2]
        assert made["group"]["eps"] == spec.adam_epsilon
    assert made["max_norm"] == spec.max_grad_norm
    assert made["seed"] == spec.random_seed
    assert made["shuffle"] is True
    assert made["data"]["path_or_dataset_id"] == spec.training_file
    assert made["data"]["seq_length"] == spec.max_seq_length
    files = [data["path_or_dataset_id"] for data in made["validation"].values()]
    assert files == ([spec.validation_file] if spec.validation_file else [])
    assert (made["packing"] or {}).get("packed_sequence_size") == (
        spec.max_seq_length if spec.packing else None
    )
    assert made["noise"] == spec.neftune_noise_alpha
    assert (made["quantization"] is None) == (spec.quantization == "none")
    check_adapter(made["peft"], spec, lost)


def check_adapter(made: dict[str, Any] | None, spec: JobSpec, lost: set[str]) -> None:
    assert (made is None) == (spec.lora is False)
    if made is None:
        return
    assert (made["dim"], made["alpha"]) == (spec.lora_r, spec.lora_alpha)
    assert (made["dropout"], made["use_dora"]) == (spec.lora_dropout, spec.use_dora)
    assert spec.use_rslora == ("use_rslora" in lost)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_rate_follows_the_same_curve(nemo, name):
    spec = resolve(spec_of(name), REPORT, INFO).spec
    lost = {issue.where for issue in to_nemo(spec_of(name), REPORT, INFO).lost}
    rates, n_steps = nemo["built"][name]["rates"], n_steps_of(spec)
    assert len(rates) == n_steps
    if "scheduler_num_cycles" in lost:
        return
    shown = (spec.warmup_ratio, spec.min_lr_ratio)
    # NeMo's warm-up ends at a whole step, and so may be half a step off.
    slack = 1e-9 if spec.warmup_ratio == 0 else 1 / (spec.warmup_ratio * n_steps)
    for step, rate in enumerate(rates):
        share = lr_share(
            step / n_steps, spec.lr_scheduler_type,
            warmup_ratio=shown[0], min_lr_ratio=shown[1],
        )  # fmt: skip
        assert rate / (spec.learning_rate or 1) == pytest.approx(share, abs=slack)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_it_measures_and_saves_as_often(nemo, name):
    spec, made = spec_of(name), nemo["built"][name]
    n_steps = len(made["rates"])
    wanted = evaluation_steps(n_steps, spec.n_evals or 0)
    assert len(made["evaluations"]) == pytest.approx(len(wanted), rel=0.1)
    assert made["evaluations"][-1] == wanted[-1] == n_steps
    assert made["checkpoints"][-1] == n_steps
    assert len(made["checkpoints"]) == spec.n_checkpoints


@pytest.mark.slow
def test_the_same_tokens_train(nemo):
    ((ids, labels),) = nemo["rows"]
    (ours,) = tokenise(ROW, load_tokenizer(demo.MODEL), now=datetime(2026, 11, 21, tzinfo=UTC))
    ours = ours.cut(LENGTH)
    assert ids == list(ours.ids[:-1])  # NeMo shifts by itself: the last token predicts nothing
    assert labels == list(ours.labels[1:])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers', about its own names
def test_the_same_layers_get_an_adapter(nemo):
    for choice, layers in zip(ADAPTERS, nemo["layers"], strict=True):
        spec = JobSpec(**SFT, **choice)
        names = module_names(spec.lora_trainable_modules)
        config = LoraConfig(
            target_modules="all-linear" if names == ("all-linear",) else list(names),
            exclude_modules=list(spec.lora_exclude_modules) or None,
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(demo.MODEL), config)
        prefix = "base_model.model."
        ours = [n.removeprefix(prefix) for n, m in model.named_modules() if hasattr(m, "lora_A")]
        assert sorted(layers) == sorted(ours)


# --- what it can't ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", WISHES)
def test_every_wish_is_in_the_recipe_or_in_the_list(name):
    wish, rest = with_and_without(name, WISHES[name])
    recipe = to_nemo(wish, REPORT, INFO)
    told = {issue.where for issue in recipe.lost}
    if not recipe.text:
        assert [issue.level for issue in recipe.lost] == ["error"]
        return
    assert recipe.text != to_nemo(rest, REPORT, INFO).text or name in told


@pytest.mark.parametrize("kind", ["preference", "general"])
def test_what_has_no_recipe_is_no_recipe(kind):
    values = {**SFT, "training_method": "dpo"} if kind == "preference" else SFT
    report = DataReport(path="train.jsonl", n_rows=10, format=kind)
    text, lost = to_nemo(JobSpec(**values), report, INFO)
    assert text == ""
    assert lost[0].level == "error"
    assert "Axolotl" in lost[0].message


def test_without_rows_what_takes_steps_is_listed():
    spec = JobSpec(**SFT, warmup_ratio=0.1, n_checkpoints=3)
    lost = {issue.where for issue in to_nemo(spec, None, INFO).lost}
    assert lost == {"n_evals", "warmup_ratio", "n_checkpoints"}
    assert to_nemo(spec.changed(max_steps=100), None, INFO).lost == []


def test_a_name_that_nemo_would_read_as_a_variable_is_told():
    spec = JobSpec(**{**SFT, "training_file": "my$data.jsonl"})
    assert [issue.where for issue in to_nemo(spec, REPORT, INFO).lost] == ["training_file"]


# --- import ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_the_same_job(name):
    spec = resolve(spec_of(name), REPORT, INFO).spec
    text, lost = to_nemo(spec_of(name), REPORT, INFO)
    found = from_nemo(text, REPORT)
    again = resolve(JobSpec(**found.values), REPORT, INFO).spec
    not_there = {issue.where for issue in lost} | {"early_stopping_enabled", "over_length"}
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    assert again.batch_size == per_step
    rest = set(JobSpec.model_fields) - {"batch_size", "gradient_accumulation_steps"} - not_there
    for field in rest - {"suffix", "from_hf_model", "model"}:
        was, now = getattr(spec, field), getattr(again, field)
        if field == "warmup_ratio" and was:
            assert now == pytest.approx(was, abs=1 / 100)
        elif field == "lora_trainable_modules":
            gone = spec.lora_exclude_modules
            assert module_names(now) == tuple(n for n in module_names(was) if n not in gone)
        elif field in ("lora_r", "lora_alpha", "lora_dropout", "n_evals") and spec.lora is False:
            continue
        elif field == "min_lr_ratio":
            assert now == pytest.approx(was)
        elif field == "n_evals" and (was or 0) > 20:
            assert now == pytest.approx(was, rel=0.1)
        else:
            assert now == was, field


# An example in the manner of NeMo's own: numbers that YAML 1.1 reads as text, and its defaults.
RECIPE = """
recipe:
  _target_: nemo_automodel.recipes.llm.train_ft.TrainFinetuneRecipeForNextTokenPrediction
step_scheduler: {global_batch_size: 32, local_batch_size: 4, max_steps: 500, val_every_steps: 50}
rng: {_target_: nemo_automodel.components.training.rng.StatefulRNG, seed: 1111, ranked: true}
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: org/model
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  match_all_linear: true
  use_triton: true
dataset:
  _target_: nemo_automodel.components.datasets.llm.chat_dataset.ChatDataset
  path_or_dataset_id: train.jsonl
validation_dataset:
  _target_: nemo_automodel.components.datasets.llm.chat_dataset.ChatDataset
  path_or_dataset_id: val.jsonl
optimizer: {_target_: torch.optim.AdamW, lr: 1e-5, eps: 1e-8, betas: [0.9, 0.95]}
lr_scheduler: {lr_decay_style: cosine, min_lr: 1.0e-6}
magic: {more: 3}
"""


def test_a_recipe_in_their_own_manner_is_read():
    found = from_nemo(RECIPE)
    assert found.values == {
        "model": "org/model",
        "training_file": "train.jsonl",
        "validation_file": "val.jsonl",
        "batch_size": 32,
        "n_epochs": 10,  # NeMo's own where none are given
        "max_steps": 500,
        "n_evals": 10,
        "n_checkpoints": 5,  # every 100 steps where nothing is said
        "lora": True,
        "lora_r": 8,
        "lora_alpha": 32,
        "lora_trainable_modules": "all-linear",
        "optimizer": "adamw",
        "learning_rate": 1e-5,
        "weight_decay": 0.01,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "random_seed": 1111,
        "lr_scheduler_type": "cosine",
        "min_lr_ratio": pytest.approx(0.1),
        "warmup_ratio": 0.1,
    }
    assert parse(found.values)[1] == []
    told = {issue.where for issue in found.lost if issue.level != "tip"}
    assert told == {"magic"}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"recipe": "KnowledgeDistillationRecipeForNextTokenPrediction"}, "recipe"),
        ({"optimizer": {"_target_": "dion.Muon", "lr": 0.01}}, "optimizer._target_"),
        ({"optimizer": {"lr": 1e-4, "weight_dcay": 1}}, "optimizer.weight_dcay"),
        ({"lr_scheduler": {"lr_decay_style": "cosin"}}, "lr_scheduler.lr_decay_style"),
        ({"peft": {"target_modules": "*_proj"}}, "peft.target_modules"),
        ({"dataset": {"_target_": "x.make_squad_dataset"}}, "dataset._target_"),
        ({"dataset": {"path_or_dataset_id": ["a", "b"]}}, "dataset.path_or_dataset_id"),
        ({"dataset": {"column_mapping": {"question": "q", "answer": "a"}}}, "training_file"),
        ({"checkpoint": {"restore_from": "x"}}, "checkpoint"),
        ({"qat": {"enabled": True}}, "qat"),
        ({"dataloader": {"shuffle": False, "_target_": "x"}}, "dataloader.shuffle"),
    ],
)  # fmt: skip
def test_what_a_spec_has_not_is_listed(change, where):
    found = from_nemo({**yaml.safe_load(RECIPE), **change})
    assert where in {issue.where for issue in found.lost}


def test_a_section_that_is_null_is_none():
    recipe = {**yaml.safe_load(RECIPE), "peft": None, "lr_scheduler": None, "compile": None}
    values, lost, _ = from_nemo(recipe)
    assert values["lora"] is False
    assert values["lr_scheduler_type"] == "constant"
    assert "compile" not in str(lost)


names = st.sampled_from(
    sorted(
        {
            name
            for part in yaml.safe_load(RECIPE).values()
            if isinstance(part, dict)
            for name in part
        }
        | {"target_modules", "dim", "alpha", "lr_warmup_steps", "max_norm", "limit_dataset_samples"}
    )
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)
parts = st.sampled_from([*yaml.safe_load(RECIPE), "clip_grad_norm", "packed_sequence", "neftune"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(parts, st.dictionaries(names, junk, max_size=5) | junk, max_size=6))
def test_nonsense_is_left_to_the_checks(recipe):
    found = from_nemo(recipe, REPORT)
    spec, issues = parse(found.values)
    assert isinstance(spec, JobSpec)
    assert {issue.code for issue in issues} <= {"bad_value"}
