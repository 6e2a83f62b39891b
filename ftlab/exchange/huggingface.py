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
from ftlab.exchange.intervals import SCAN, n_steps_of, number, share_of
from ftlab.exchange.ledger import Imported, Keys
from ftlab.names import FOREIGN_NAMES, OTHER_UNITS
from ftlab.spec import FIELDS, bare_kinds, none_is_value

MODULES_FIELD = "lora_trainable_modules"
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
    keys = Keys({name: _with_numbers(name, value) for name, value in arguments.items()})
    for name in arguments:
        _rename(keys, name)
    run.batch(keys, n_devices)
    run.length(keys, report)
    run.optimizer(keys)
    run.schedule(keys)
    _method(keys)
    _inputs(keys, report)
    _adapter(keys)
    n_steps = n_steps_of(keys.values, report)
    run.warmup(keys, n_steps)
    run.counts(keys, n_steps)
    _tell_defaults(keys)
    _set_aside(keys, arguments)
    return keys.done(keys.values)


MODULES = (MODULES_FIELD, *(n for n, o in RENAMED.items() if o == MODULES_FIELD))
READ_BELOW = {
    *run.EPOCHS,
    *MODULES,
    "max_steps",
    "lr_scheduler_type",
    "lr_scheduler",
    "warmup_ratio",
}
"""Names of ours, or renamed ones, that take more than a new name."""


def _ours(name: str) -> str:
    return name if name in FIELDS else RENAMED.get(name, "")


def _with_numbers(name: str, value: Any) -> Any:
    """A value with numbers where it holds texts of them, unless a field of ours takes text."""
    if (ours := _ours(name)) and {int, float}.isdisjoint(bare_kinds(FIELDS[ours])):
        return value
    if isinstance(value, Mapping):
        return {inner: number(part) for inner, part in value.items()}
    return [number(part) for part in value] if isinstance(value, (list, tuple)) else number(value)


def _rename(keys: Keys, name: str) -> None:
    ours = _ours(name)
    if not ours or name in READ_BELOW:
        return
    value = keys.take(name)
    if value is not None or (name == ours and none_is_value(FIELDS[ours])):
        keys.give(ours, value, name)


def _method(keys: Keys) -> None:
    kinds = keys.take("loss_type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds == ["sigmoid_norm"]:
        keys.give("dpo_normalize_logratios_by_length", value=True, path="loss_type")
    elif kinds == ["sigmoid", "sft"]:
        _rpo(keys)
    elif kinds not in (None, ["nll"], ["sigmoid"]):
        keys.lose("loss_type", "ftlab has sigmoid, sigmoid_norm and sigmoid with sft. Use one.")
    is_dpo = any(keys.has(name) for name in DPO_ONLY) or kinds not in (None, ["nll"])
    if is_dpo and keys.is_foreign:
        keys.values.setdefault("training_method", "dpo")


def _rpo(keys: Keys) -> None:
    """The weight of the answer's own likelihood beside the preference."""
    weights = keys.take("loss_weights") or (1.0, 1.0)
    is_pair = isinstance(weights, (list, tuple)) and len(weights) == 2
    share = share_of(weights[1], weights[0]) if is_pair else None
    if share is None:
        keys.lose("loss_weights", "it takes two numbers, the first above 0. Correct them.")
        return
    path = "loss_weights" if keys.has("loss_weights") else "loss_type"
    keys.give("rpo_alpha", share, path, ", the weight of sft beside sigmoid")


def _inputs(keys: Keys, report: DataReport | None) -> None:
    """TRL trains a conversation whole unless told otherwise, and of a pair only the answer."""
    of_pairs = keys.take("completion_only_loss")
    for name in ("assistant_only_loss", "completion_only_loss"):
        answers = keys.take(name)
        if name == "assistant_only_loss" and answers is False:
            answers = _of_chats_off(keys, name, of_pairs, report)
        if isinstance(answers, bool):
            how = f", the other way round: {not answers}"
            keys.give("train_on_inputs", not answers, name, how)
        elif answers is not None:
            keys.lose(name, "it takes True or False. Correct it.", ours="train_on_inputs")


def _of_chats_off(keys: Keys, name: str, of_pairs: Any, report: DataReport | None) -> bool | None:
    """Whether only answers train where assistant_only_loss is off; None where pairs decide."""
    kind = None if report is None else report.format
    if kind == "conversation":
        return False
    if of_pairs is None and kind is None:
        keys.lose(name, f"what it trains depends on the rows. {SCAN}")
    return True if of_pairs is None and kind is not None else None


def _adapter(keys: Keys) -> None:
    wanted = keys.take("use_peft")
    if isinstance(wanted, bool):
        keys.give("lora", wanted, "use_peft")
    if any(keys.has(name) for name in ADAPTER):
        keys.values.setdefault("lora", True)
    if keys.take("bias", "none") != "none":
        keys.lose("bias", "ftlab trains no biases. Use none.")
    if keys.take("init_lora_weights", default=True) is not True:
        keys.lose("init_lora_weights", "ftlab starts adapters as peft does by default. Use True.")
    for name in MODULES:
        _modules(keys, name)
    _quantization(keys)


def _modules(keys: Keys, name: str) -> None:
    """Names of layers; a pattern is none."""
    given = keys.take(name)
    if given is None:
        return
    names = given if isinstance(given, (list, tuple)) else [given]
    if any(not re.fullmatch(r"[\w\s,.-]+", str(part)) for part in names):
        keys.lose(name, "ftlab takes names of layers, not a pattern. Name them, as q_proj.")
    else:
        given = tuple(given) if isinstance(given, list) else given
        keys.give(MODULES_FIELD, given, name)


def _quantization(keys: Keys) -> None:
    for name, ours in {"load_in_4bit": "nf4", "load_in_8bit": "int8"}.items():
        if keys.take(name):
            keys.give("quantization", ours, name, f": {ours}")
    if (
        keys.take("bnb_4bit_quant_type", "nf4") != "nf4"
        and keys.values.get("quantization") == "nf4"
    ):
        keys.lose("bnb_4bit_quant_type", "ftlab has nf4. Use nf4.")


def _tell_defaults(keys: Keys) -> None:
    """Whoever leaves a name out there gets something else than here."""
    if not keys.is_foreign:
        return
    others = [
        f"{ours} ({default!r} there)"
        for ours, default in DEFAULTS.values()
        if ours not in keys.values
    ]
    if not any(name.startswith("lora") for name in keys.values):
        others.append("lora (all weights train there)")
    if others:
        keys.note(
            f"Left out are {', '.join(others)}; ftlab fills them in its own way. Give them to have "
            "the same job."
        )


def _set_aside(keys: Keys, arguments: Mapping[str, Any]) -> None:
    """What asks for nothing is dropped, what says how it runs is named in one tip."""
    keys.drop({name for name, value in arguments.items() if _is_off(name, value)})
    how = [(n,) for n in arguments if HOW_IT_RUNS.match(n) and n not in FIELDS]
    keys.set_aside(how, "they say where and how it runs. Set that where it runs.")


def _is_off(name: str, value: Any) -> bool:
    is_off = value is None or value is False or value in (0, "", [], {}, ())
    return is_off and name not in ON_BY_DEFAULT
