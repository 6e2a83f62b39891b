"""What is trained, of a recipe of NeMo AutoModel: the model, the data and the adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ftlab.exchange.ledger import MISSING, Keys
from ftlab.exchange.nemo import CHAT, COLUMNS

DIM, ALPHA = 8, 32


def model(keys: Keys) -> dict[str, Any]:
    """The base model."""
    keys.take("model._target_")
    return {
        "model": keys.take("model.pretrained_model_name_or_path", MISSING),
        "hf_model_revision": keys.take("model.revision", MISSING),
    }


def data(keys: Keys) -> dict[str, Any]:
    """The files, how long their rows may be, and what of them trains."""
    values = {
        "training_file": _file(keys, "dataset"),
        "validation_file": _file(keys, "validation_dataset"),
        "max_seq_length": keys.take("dataset.seq_length", MISSING) or MISSING,
        "max_train_rows": keys.take("dataset.limit_dataset_samples", MISSING) or MISSING,
    }
    keys.take("validation_dataset.seq_length")
    if keys.has("validation_dataset.limit_dataset_samples"):
        keys.lose(
            "validation_dataset.limit_dataset_samples",
            "ftlab measures on all rows of a validation file. Give a shorter file.",
        )
    if keys.take("dataset.answer_only_loss_mask") is False:
        values["train_on_inputs"] = True
    keys.take("validation_dataset.answer_only_loss_mask")
    if keys.take("dataloader.shuffle") is False:
        keys.lose("dataloader.shuffle", "ftlab shuffles by random_seed. Use true.", level="tip")
    for part in ("dataset", "validation_dataset"):
        if keys.take(f"{part}.truncation") in (False, "do_not_truncate"):
            keys.lose(f"{part}.truncation", "ftlab never trains above max_seq_length. Raise it.")
    pack = pack_size(keys)
    return {**values, "max_seq_length": pack} if pack else values


def _file(keys: Keys, part: str) -> Any:
    """The file of a data set, and what else it must be for ftlab to read it alike."""
    target = keys.take(f"{part}._target_")
    path = keys.take(f"{part}.path_or_dataset_id", keys.take(f"{part}.dataset_name", MISSING))
    if path is not MISSING and not isinstance(path, str):
        keys.lose(f"{part}.path_or_dataset_id", "ftlab trains on one file. Join them.")
        return MISSING
    if target not in (None, CHAT, COLUMNS):
        keys.lose(f"{part}._target_", "ftlab has formats of rows instead. Convert the rows.")
    mapping = keys.take(f"{part}.column_mapping")
    if isinstance(mapping, Mapping) and dict(mapping) != {
        "question": "prompt",
        "answer": "completion",
    }:
        keys.lose(
            f"{part}.column_mapping",
            "ftlab's rows are named prompt and completion. Convert the file (`ftlab convert`).",
            ours="training_file" if part == "dataset" else "validation_file",
        )
    return path


def pack_size(keys: Keys) -> int | None:
    """Tokens per pack; None when rows are not packed."""
    size = keys.take("packed_sequence.packed_sequence_size")
    return size if type(size) is int and size > 0 else None


def adapter(keys: Keys) -> dict[str, Any]:
    """The adapter with its size and its layers; without the section all weights train."""
    if not keys.has("peft"):
        return {"lora": False}
    if keys.take("peft.dropout_position", "post") != "pre" and keys.take("peft.dropout"):
        keys.lose("peft.dropout_position", "ftlab drops inputs of the adapter (pre). Use pre.")
    if keys.take("peft.lora_A_init", "uniform") != "uniform":
        keys.lose("peft.lora_A_init", "ftlab starts as peft does (uniform). Use it.", level="tip")
    return {
        "lora": True,
        "lora_r": keys.take("peft.dim", DIM),
        "lora_alpha": keys.take("peft.alpha", ALPHA),
        "lora_dropout": keys.take("peft.dropout", MISSING),
        "use_dora": keys.take("peft.use_dora", MISSING),
        "quantization": _quantization(keys),
        **_modules(keys),
    }


def _quantization(keys: Keys) -> Any:
    if keys.take("quantization.load_in_4bit"):
        kind = keys.take("quantization.bnb_4bit_quant_type", "nf4")
        if kind != "nf4":
            keys.lose("quantization.bnb_4bit_quant_type", "ftlab has nf4. Use nf4.")
        return "nf4"
    return "int8" if keys.take("quantization.load_in_8bit") else MISSING


def _modules(keys: Keys) -> dict[str, Any]:
    """Names of layers; a pattern such as `*.q_proj` is one, others are not."""
    targets, excluded = (_names(keys, f"peft.{kind}_modules") for kind in ("target", "exclude"))
    if keys.take("peft.match_all_linear"):
        keys.lose(
            "peft.match_all_linear",
            "ftlab's all-linear leaves the output head as it is. Nothing to do.",
            level="tip",
        )
    modules: Any = tuple(targets) if targets else "all-linear"
    others = tuple(name for name in excluded if name != "lm_head")
    return {
        "lora_trainable_modules": modules,
        "lora_exclude_modules": others if others else MISSING,
    }


def _names(keys: Keys, path: str) -> list[str]:
    given = keys.take(path) or []
    patterns = given if isinstance(given, (list, tuple)) else [given]
    names = [re.sub(r"^(\*\.|\*)", "", str(pattern)) for pattern in patterns]
    if any(not re.fullmatch(r"\w+", name) or name.startswith("_") for name in names):
        keys.lose(path, "ftlab takes whole names of layers. Name them, as q_proj.")
        return []
    return names
