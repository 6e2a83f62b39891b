"""Keywords of transformers' TrainingArguments, TRL's SFTConfig and DPOConfig, peft's LoraConfig and
transformers' BitsAndBytesConfig, in one mapping, as values of a spec.

Read against transformers 5.23, TRL 1.16 and peft 0.21. Other tools' names that mean the same are
accepted too (`names.py`). Intervals become counts, warm-up steps a share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange import huggingface_run as run
from ftlab.exchange.intervals import SCAN, n_steps_of
from ftlab.exchange.ledger import Imported, Keys
from ftlab.issues import shown
from ftlab.names import FOREIGN_NAMES, OTHER_UNITS
from ftlab.spec import FIELDS

RENAMED = {
    **{name: ours for name, ours in FOREIGN_NAMES.items() if name not in OTHER_UNITS},
    "model_revision": "hf_model_revision",
    "revision": "hf_model_revision",
    "base_model_name_or_path": "model",
    "pretrained_model_name_or_path": "model",
    "dataset_name": "training_file",
    "reference_free": "dpo_reference_free",
}
"""Names whose values are taken as they stand."""
DEFAULTS = {
    "num_train_epochs": ("n_epochs", 3),
    "per_device_train_batch_size": ("batch_size", 8),
    "learning_rate": ("learning_rate", 5e-5),
    "lr_scheduler_type": ("lr_scheduler_type", "linear"),
}
"""What TrainingArguments do when a name is left out, where ftlab does something else."""
DPO_ONLY = ("beta", "loss_weights", "reference_free", "rpo_alpha", "simpo_gamma", "ld_alpha")
ADAPTER = ("r", "target_modules", "lora_target_modules", "lora_rank", "lora_target")
"""Names that only a job with an adapter has."""
ON_BY_DEFAULT = (
    *("disable_dropout", "average_tokens_across_devices", "log_on_each_node"),
    *("logging_nan_inf_filter", "remove_unused_columns", "gradient_checkpointing"),
    *("eval_do_concat_batches", "dataloader_pin_memory", "dataloader_in_order"),
    "skip_memory_metrics",
)
"""Switches whose False is a wish; elsewhere what is off, empty or 0 asks for nothing."""
HOW_IT_RUNS = re.compile(
    r"(logging|dataloader|ddp|fsdp|hub|trackio|torch|log|push_to_hub|deepspeed|accelerator|debug"
    r"|gradient_checkpointing|activation|bf16|fp16|tf32|report_to|run_name|project|output_dir"
    r"|use_cpu|use_cache|use_liger|liger|disable_tqdm|overwrite|save_only|save_on|save_safetensors"
    r"|include_|batch_eval|prediction_loss|per_device_eval|eval_accumulation|eval_do|eval_use"
    r"|eval_on_start|average_tokens|auto_find_batch|full_determinism|skip_memory|ignore_data_skip"
    r"|restore_callback|enable_jit|parallelism|remove_unused|label_names|length_column|do_train"
    r"|do_eval|do_predict|local_rank|dataset_num_proc|padding_free|pad_to_multiple|packing_strategy"
    r"|precompute_ref|attn_implementation|dtype|task_type|lora_task_type|peft_type|peft_version"
    r"|auto_mapping|inference_mode|runtime_config|megatron|use_bnb_nested|bnb_4bit_use_double"
    r"|bnb_4bit_compute|bnb_4bit_quant_storage|llm_int8|dataset_train_split|dataset_test_split"
    r"|dataset_streaming|greater_is_better|train_sampling)"
)
"""Where, how fast and how visibly, not what is trained: matched at the start of a name."""


def from_arguments(
    arguments: Mapping[str, Any], report: DataReport | None = None, *, n_devices: int = 1
) -> Imported:
    """The values of such keywords, ftlab's own names among them taken as they are.

    `n_devices` is what per-device sizes are multiplied with; without a `report`, intervals in
    steps are lost unless max_steps is given.
    """
    keys = Keys(arguments)
    values: dict[str, Any] = {}
    for name in arguments:
        ours = name if name in FIELDS else RENAMED.get(name)
        if ours and name not in READ_BELOW and arguments[name] is not None:
            values[ours] = keys.take(name)
            if ours != name:
                keys.hint(name, ours)
    values |= run.batch(keys, n_devices)
    for read in (run.length, run.optimizer, run.schedule, _method, _adapter):
        values |= read(keys, values, report)
    n_steps = n_steps_of(values, report)
    values |= run.warmup(keys, n_steps) | run.counts(keys, values, n_steps)
    _tell_twice(keys, arguments, values)
    _tell_defaults(keys, arguments, values)
    _set_aside(keys, arguments)
    return keys.done(values)


READ_BELOW = {
    *("max_steps", "num_train_epochs", "lr_scheduler_type", "train_on_inputs", "lora"),
    *("target_modules", "lora_target_modules", "lora_trainable_modules", "quantization"),
}
"""Names of ours, or renamed ones, that take more than a new name."""


def _method(keys: Keys, values: Mapping[str, Any], report: DataReport | None) -> dict[str, Any]:
    found = _inputs(keys, report)
    kinds = keys.take("loss_type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds == ["sigmoid_norm"]:
        found["dpo_normalize_logratios_by_length"] = True
        keys.hint("loss_type", "dpo_normalize_logratios_by_length")
    elif kinds == ["sigmoid", "sft"]:
        found |= _rpo(keys)
    elif kinds not in (None, ["nll"], ["sigmoid"]):
        keys.lose("loss_type", "ftlab has sigmoid, sigmoid_norm and sigmoid with sft. Use one.")
    is_dpo = any(keys.has(name) for name in DPO_ONLY) or kinds not in (None, ["nll"])
    return {**found, "training_method": "dpo"} if is_dpo else found


def _rpo(keys: Keys) -> dict[str, Any]:
    """The weight of the answer's own likelihood beside the preference."""
    weights = keys.take("loss_weights") or (1.0, 1.0)
    keys.hint("loss_type", "rpo_alpha", ", the weight of sft beside sigmoid")
    try:
        preference, answer = weights
        return {"rpo_alpha": answer / preference}
    except (TypeError, ValueError, ZeroDivisionError):
        keys.lose("loss_weights", "it takes two numbers, the first above 0. Correct them.")
        return {}


def _inputs(keys: Keys, report: DataReport | None) -> dict[str, Any]:
    """TRL trains a conversation whole unless told otherwise, and of a pair only the answer."""
    own, name = keys.take("train_on_inputs"), "assistant_only_loss"
    answers, of_pairs = keys.take(name), keys.take("completion_only_loss")
    if answers is None:
        name, answers = "completion_only_loss", of_pairs
    elif answers is False:
        if report is None or report.format is None:
            keys.lose(name, f"what it trains depends on the rows. {SCAN}")
            answers = None
        else:
            answers = report.format != "conversation"
    if not isinstance(answers, bool):
        given = own if answers is None else answers
        return {} if given is None else {"train_on_inputs": given}
    keys.hint(name, "train_on_inputs", f", the other way round: {not answers}")
    return {"train_on_inputs": not answers}


def _adapter(keys: Keys, values: Mapping[str, Any], report: DataReport | None) -> dict[str, Any]:
    has = True if any(keys.has(name) for name in ADAPTER) else keys.take("lora")
    keys.take("lora")
    if keys.take("bias", "none") != "none":
        keys.lose("bias", "ftlab trains no biases. Use none.")
    if keys.take("init_lora_weights", default=True) is not True:
        keys.lose("init_lora_weights", "ftlab starts adapters as peft does by default. Use True.")
    wanted = keys.take("use_peft")
    has = wanted if isinstance(wanted, bool) else has
    return {**({} if has is None else {"lora": has}), **_modules(keys), **_quantization(keys)}


def _modules(keys: Keys) -> dict[str, Any]:
    """Names of layers; a pattern is none."""
    for name in ("target_modules", "lora_target_modules", "lora_trainable_modules"):
        given = keys.take(name)
        if given is None:
            continue
        names = given if isinstance(given, (list, tuple)) else [given]
        if any(not re.fullmatch(r"[\w\s,.-]+", str(part)) for part in names):
            keys.lose(name, "ftlab takes names of layers, not a pattern. Name them, as q_proj.")
            return {}
        if name != "lora_trainable_modules":
            keys.hint(name, "lora_trainable_modules")
        return {"lora_trainable_modules": tuple(given) if isinstance(given, list) else given}
    return {}


def _quantization(keys: Keys) -> dict[str, Any]:
    own = keys.take("quantization")
    kind = keys.take("bnb_4bit_quant_type", "nf4")
    for name, ours in {"load_in_4bit": "nf4", "load_in_8bit": "int8"}.items():
        if keys.take(name):
            own = ours
            keys.hint(name, "quantization", f": {ours}")
    if own == "nf4" and kind != "nf4":
        keys.lose("bnb_4bit_quant_type", "ftlab has nf4. Use nf4.")
    return {} if own is None else {"quantization": own}


def _tell_twice(keys: Keys, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """One field under two names with two values: the one that does not count is lost."""
    named: dict[str, list[str]] = {}
    for name, value in arguments.items():
        ours = name if name in FIELDS else RENAMED.get(name)
        if ours and value is not None:
            named.setdefault(ours, []).append(name)
    for ours, names in named.items():
        kept = next((name for name in names if arguments[name] == values.get(ours)), names[0])
        for name in names:
            if arguments[name] != arguments[kept]:
                keys.lose(
                    name,
                    f"{kept} is given too, and one job has one {ours}, here "
                    f"{shown(arguments[kept])}. Give one of the two.",
                    ours=ours,
                )


def _tell_defaults(keys: Keys, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Whoever leaves a name out there gets something else than here."""
    foreign = [name for name in arguments if name not in FIELDS]
    if not foreign:
        return
    others = [
        f"{ours} ({default!r} there)" for ours, default in DEFAULTS.values() if ours not in values
    ]
    if not any(name.startswith("lora") for name in values):
        others.append("lora (all weights train there)")
    if others:
        keys.note(
            f"Left out are {', '.join(others)}; ftlab fills them in its own way. Give them to have "
            "the same job."
        )


def _set_aside(keys: Keys, arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        is_off = value is None or value is False or value in (0, "", [], {}, ())
        if is_off and name not in ON_BY_DEFAULT:
            keys.drop(name)
    how = tuple(name for name in arguments if HOW_IT_RUNS.match(name) and name not in FIELDS)
    keys.set_aside(how, "they say where and how it runs. Set that where it runs.")
