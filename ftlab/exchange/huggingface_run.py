"""How long, how fast and how often, of transformers' TrainingArguments, as values of a spec.

Each reader takes the keys, the values found so far and the report, and returns more values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ftlab.advice import training_rows
from ftlab.data.report import DataReport
from ftlab.exchange.intervals import SCAN, how_often, share_of
from ftlab.exchange.ledger import Keys
from ftlab.schedule import total_steps
from ftlab.spec import parse

SCHEDULES = {
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "linear": "linear",
    "polynomial": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "warmup_stable_decay": "wsd",
    "wsd": "wsd",
    "inverse_sqrt": "inverse_sqrt",
}
OPTIMIZERS = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw"), "adamw"),
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit"), "adamw_8bit"),
    "sgd": "sgd",
}
SAVE_STEPS, LOGGING_STEPS = 500, 500  # TrainingArguments' own


def batch(keys: Keys, n_devices: int) -> dict[str, Any]:
    """The rows of all devices; accumulation has the same name and meaning."""
    size = keys.take("per_device_train_batch_size")
    if type(size) is not int:
        return {} if size is None else {"batch_size": size}
    how = f", of all devices together: {size} × {n_devices}"
    keys.hint("per_device_train_batch_size", "batch_size", how)
    return {"batch_size": size * n_devices}


def length(keys: Keys, values: Mapping[str, Any], report: DataReport | None) -> dict[str, Any]:
    """Epochs may be a part of one there; max_steps overrides them, here the first to end ends."""
    epochs, steps = keys.take("num_train_epochs"), keys.take("max_steps")
    keys.hint("num_train_epochs", "n_epochs")
    per_epoch = _steps_per_epoch(values, report)
    if type(steps) is int and steps > 0:
        needed = math.ceil(steps / per_epoch) if per_epoch else steps
        return {"max_steps": steps, "n_epochs": needed}
    if steps not in (None, 0, -1):
        return {"max_steps": steps}
    if not isinstance(epochs, float) or not math.isfinite(epochs) or epochs.is_integer():
        return {} if epochs is None else {"n_epochs": epochs}
    if per_epoch:
        return {"n_epochs": math.ceil(epochs), "max_steps": math.ceil(epochs * per_epoch)}
    keys.lose("num_train_epochs", f"n_epochs is whole, and so rounded up. {SCAN}")
    return {"n_epochs": math.ceil(epochs)}


def _steps_per_epoch(values: Mapping[str, Any], report: DataReport | None) -> int | None:
    spec, _ = parse(values)
    n_rows = training_rows(spec, report)
    if n_rows is None or spec.batch_size == "max":
        return None
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    return total_steps(n_rows, per_step, 1)


def optimizer(keys: Keys, values: Mapping[str, Any], report: DataReport | None) -> dict[str, Any]:
    """The rule of the steps."""
    name = keys.take("optim")
    if name is None:
        return {}
    text = _word(name)
    if text not in OPTIMIZERS:
        keys.lose("optim", "ftlab has adamw, adamw_8bit and sgd. Choose one of them.")
        return {}
    keys.hint("optim", "optimizer")
    return {"optimizer": OPTIMIZERS[text]}


def schedule(keys: Keys, values: Mapping[str, Any], report: DataReport | None) -> dict[str, Any]:
    """The curve of the learning rate, with the arguments that it has there."""
    name = keys.take("lr_scheduler_type")
    if name is None:
        return {}
    text = _word(name)
    if text not in SCHEDULES:
        keys.lose("lr_scheduler_type", f"ftlab has {', '.join(SCHEDULES)}. Choose one of them.")
        return {}
    found = {"lr_scheduler_type": SCHEDULES[text]}
    if keys.take("lr_scheduler_kwargs.power", 1) != 1:
        keys.lose("lr_scheduler_kwargs.power", "ftlab falls in a straight line. Use 1.")
    for theirs, ours in {
        "num_cycles": "scheduler_num_cycles",
        "min_lr_rate": "min_lr_ratio",
        "min_lr_ratio": "min_lr_ratio",
    }.items():
        if (value := keys.take(f"lr_scheduler_kwargs.{theirs}")) is not None:
            found[ours] = value
    return {**found, **_lowest(keys, values.get("learning_rate"))}


def _lowest(keys: Keys, peak: Any) -> dict[str, Any]:
    """The end of the curve, which some schedules take as a rate."""
    for path in ("lr_scheduler_kwargs.min_lr", "lr_scheduler_kwargs.lr_end"):
        lowest = keys.take(path)
        share = share_of(lowest, peak)
        if share is not None:
            keys.hint(path, "min_lr_ratio", ", a share of the peak rate")
            return {"min_lr_ratio": share}
        if lowest is not None:
            keys.lose(path, "min_lr_ratio is a share of the peak rate. Give learning_rate too.")
    return {}


def warmup(keys: Keys, n_steps: int | None) -> dict[str, Any]:
    """Steps there, or below 1 a share of the run."""
    steps = keys.take("warmup_steps")
    if isinstance(steps, bool) or not isinstance(steps, (int, float)) or not steps > 0:
        return {} if steps in (None, 0) else {"warmup_ratio": steps}
    if steps >= 1 and n_steps is None:
        keys.lose("warmup_steps", f"warmup_ratio is a share, and the steps are not known. {SCAN}")
        return {}
    keys.hint("warmup_steps", "warmup_ratio", ", a share of the run")
    return {"warmup_ratio": steps if steps < 1 else min(steps / (n_steps or 1), 1.0)}


def counts(keys: Keys, values: Mapping[str, Any], n_steps: int | None) -> dict[str, Any]:
    """How often to evaluate and to save, and what comes of it in the end."""
    epochs = values.get("n_epochs")
    evaluations = keys.take("eval_strategy", keys.take("evaluation_strategy"))
    found = {
        "n_evals": _count(keys, "eval_steps", "n_evals", evaluations, epochs, n_steps),
        "n_checkpoints": _count(
            keys, "save_steps", "n_checkpoints", keys.take("save_strategy"), epochs, n_steps
        ),
    }
    if keys.take("save_total_limit") is not None:
        keys.lose("save_total_limit", "n_checkpoints is how many are kept. Lower it.", level="tip")
    if keys.take("metric_for_best_model") not in (None, "loss", "eval_loss"):
        keys.lose("metric_for_best_model", "ftlab goes by the validation loss. Use that.")
    if keys.take("load_best_model_at_end"):
        keys.lose("load_best_model_at_end", "early stopping keeps the best. Set it.", level="tip")
    delta = keys.take("early_stopping_threshold")
    if delta is not None:
        keys.hint("early_stopping_threshold", "early_stopping_min_delta")
        found |= {"early_stopping_enabled": True, "early_stopping_min_delta": delta}
    return {name: value for name, value in found.items() if value is not None}


def _count(
    keys: Keys, path: str, ours: str, strategy: Any, epochs: Any, n_steps: int | None
) -> Any:
    """From a strategy (no, epoch, steps) and an interval."""
    interval, word = keys.take(path), None if strategy is None else _word(strategy)
    if word == "no":
        return 0 if ours == "n_evals" else 1
    if word == "epoch":
        return epochs
    if word not in (None, "steps"):
        name = path.replace("_steps", "_strategy")
        keys.lose(name, f"{ours} are evenly spread over the run. Use steps or epoch.")
        return None
    if word == "steps" and interval is None:
        other = keys.take("logging_steps", LOGGING_STEPS)
        interval = other if ours == "n_evals" else SAVE_STEPS
    if not isinstance(interval, (int, float)) or isinstance(interval, bool):
        return interval
    count = how_often(interval, n_steps)
    if count is None:
        keys.lose(path, f"{ours} is a count, and the steps of the run are not known. {SCAN}")
        return None
    keys.hint(path, ours, f", a count: {count} in the run")
    return count


def _word(value: Any) -> str:
    """A name, also of the enumerations that TrainingArguments hold."""
    return str(getattr(value, "value", value))
