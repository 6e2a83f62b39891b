"""How long, how fast and how often, of transformers' TrainingArguments, as values of a spec.

Each reader gives the keys what it finds: values of ours, each with the setting it is from.
"""

from __future__ import annotations

import math
from typing import Any

from ftlab.advice import training_sequences
from ftlab.data.report import DataReport
from ftlab.exchange.intervals import SCAN, how_often, is_number, share_of
from ftlab.exchange.ledger import Keys
from ftlab.issues import shown
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
EPOCHS = ("num_train_epochs", "num_epochs", "epochs")
STRATEGIES = {
    "n_evals": ("eval_strategy", "evaluation_strategy"),
    "n_checkpoints": ("save_strategy",),
}
SAVE_STEPS, LOGGING_STEPS = 500, 500  # TrainingArguments' own


def batch(keys: Keys, n_devices: int) -> None:
    """The rows of all devices; accumulation has the same name and meaning."""
    path = "per_device_train_batch_size"
    size = keys.take(path)
    if size is None:
        return
    if not is_number(size) or size < 1 or size != int(size):
        keys.lose(path, "it takes a whole number of at least 1. Correct it.", ours="batch_size")
        return
    how = f", of all devices together: {int(size)} × {n_devices}"
    keys.give("batch_size", int(size) * n_devices, path, how)


def length(keys: Keys, report: DataReport | None) -> None:
    """Epochs may be a part of one there, and max_steps overrides them; here the first to end ends,
    which is what our own n_epochs beside it means."""
    per_epoch, steps = _steps_per_epoch(keys, report), keys.take("max_steps")
    if steps not in (None, 0, -1):
        keys.give("max_steps", steps, "max_steps")
    overriding = steps if is_number(steps) and steps > 0 and not keys.has("n_epochs") else None
    for name in EPOCHS:
        if (epochs := keys.take(name)) is not None and overriding is None:
            _epochs(keys, name, epochs, per_epoch)
    if overriding is not None and keys.is_foreign:
        needed = math.ceil(overriding / per_epoch) if per_epoch else overriding
        keys.values["n_epochs"] = needed
        keys.note(
            f"max_steps is {steps}, which overrides epochs there; here the first to end ends, and "
            f"so n_epochs is {needed}. Nothing to do."
        )


def _epochs(keys: Keys, name: str, epochs: Any, per_epoch: int | None) -> None:
    if not is_number(epochs) or epochs == int(epochs):
        keys.give("n_epochs", epochs, name)
        return
    keys.give("n_epochs", math.ceil(epochs), name)
    if per_epoch:
        keys.give("max_steps", math.ceil(epochs * per_epoch), name)
    else:
        keys.lose(name, f"n_epochs is whole, and so rounded up. {SCAN}")


def _steps_per_epoch(keys: Keys, report: DataReport | None) -> int | None:
    spec, _ = parse(keys.values)
    n_rows = training_sequences(spec, report)
    if n_rows is None or spec.batch_size == "max":
        return None
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    return total_steps(n_rows, per_step, 1)


def optimizer(keys: Keys) -> None:
    """The rule of the steps."""
    name = keys.take("optim")
    if name is None:
        return
    if _word(name) in OPTIMIZERS:
        keys.give("optimizer", OPTIMIZERS[_word(name)], "optim")
    else:
        keys.lose("optim", "ftlab has adamw, adamw_8bit and sgd. Choose one of them.")


def schedule(keys: Keys) -> None:
    """The curve of the learning rate, with the arguments that it has there."""
    for path in ("lr_scheduler_type", "lr_scheduler"):
        name = keys.take(path)
        if name is None:
            continue
        if _word(name) in SCHEDULES:
            ours = SCHEDULES[_word(name)]
            keys.give("lr_scheduler_type", ours, path)
            if ours != _word(name):
                keys.note(
                    f"The schedule {_word(name)} is accepted; ftlab calls it {ours}. Nothing to do."
                )
        else:
            keys.lose(path, f"ftlab has {', '.join(SCHEDULES)}. Choose one of them.")
    if "lr_scheduler_type" in keys.values:
        _curve(keys)


def _curve(keys: Keys) -> None:
    if keys.take("lr_scheduler_kwargs.power", 1) != 1:
        keys.lose("lr_scheduler_kwargs.power", "ftlab falls in a straight line. Use 1.")
    for theirs, ours in {
        "num_cycles": "scheduler_num_cycles",
        "min_lr_rate": "min_lr_ratio",
        "min_lr_ratio": "min_lr_ratio",
    }.items():
        path = f"lr_scheduler_kwargs.{theirs}"
        if (value := keys.take(path)) is not None:
            keys.give(ours, value, path)
    for path in ("lr_scheduler_kwargs.min_lr", "lr_scheduler_kwargs.lr_end"):
        lowest = keys.take(path)
        share = share_of(lowest, keys.values.get("learning_rate"))
        if share is not None:
            keys.give("min_lr_ratio", share, path, ", a share of the peak rate")
        elif lowest is not None:
            keys.lose(path, "min_lr_ratio is a share of the peak rate. Give learning_rate too.")


def warmup(keys: Keys, n_steps: int | None) -> None:
    """Steps there, or below 1 a share of the run; where there are any, a share of 0 is none."""
    steps, ratio = keys.take("warmup_steps"), keys.take("warmup_ratio")
    if steps not in (None, 0):
        _warmup_steps(keys, steps, n_steps)
    if ratio is not None and (ratio != 0 or "warmup_ratio" not in keys.values):
        keys.give("warmup_ratio", ratio, "warmup_ratio")


def _warmup_steps(keys: Keys, steps: Any, n_steps: int | None) -> None:
    path = "warmup_steps"
    if not is_number(steps) or steps < 0:
        keys.lose(path, "it takes a number of steps, or a share below 1. Correct it.")
    elif steps >= 1 and n_steps is None:
        keys.lose(path, f"warmup_ratio is a share, and the steps are not known. {SCAN}")
    else:
        share = steps if steps < 1 else min(steps / (n_steps or 1), 1.0)
        keys.give("warmup_ratio", share, path, ", a share of the run")


def counts(keys: Keys, n_steps: int | None) -> None:
    """How often to evaluate and to save, and what comes of it in the end."""
    _count(keys, "eval_steps", "n_evals", n_steps)
    _count(keys, "save_steps", "n_checkpoints", n_steps)
    if keys.take("save_total_limit") is not None:
        keys.lose("save_total_limit", "n_checkpoints is how many are kept. Lower it.", level="tip")
    if keys.take("metric_for_best_model") not in (None, "loss", "eval_loss"):
        keys.lose("metric_for_best_model", "ftlab goes by the validation loss. Use that.")
    if keys.take("load_best_model_at_end"):
        keys.lose("load_best_model_at_end", "early stopping keeps the best. Set it.", level="tip")
    delta = keys.take("early_stopping_threshold")
    if delta is not None:
        keys.give("early_stopping_min_delta", delta, "early_stopping_threshold")
        keys.values.setdefault("early_stopping_enabled", True)


def _count(keys: Keys, path: str, ours: str, n_steps: int | None) -> None:
    """From a strategy (no, epoch, steps) and an interval."""
    given = {name: keys.take(name) for name in STRATEGIES[ours]}
    name = next((name for name, value in given.items() if value is not None), "")
    word, interval = _word(given.get(name, "steps")), keys.take(path)
    if word == "no":
        keys.give(ours, 0 if ours == "n_evals" else 1, name)
    elif word == "epoch":
        if (epochs := keys.values.get("n_epochs")) is not None:
            keys.give(ours, epochs, name, f", a count: {shown(epochs)}, one each epoch")
    elif word != "steps":
        keys.lose(name, f"{ours} are evenly spread over the run. Use steps or epoch.")
    elif interval is not None:
        _interval(keys, path, ours, interval, n_steps)
    elif name:
        other = keys.take("logging_steps", LOGGING_STEPS) if ours == "n_evals" else SAVE_STEPS
        _interval(keys, name, ours, other, n_steps)


def _interval(keys: Keys, path: str, ours: str, interval: Any, n_steps: int | None) -> None:
    if not is_number(interval) or interval <= 0:
        keys.lose(path, "it takes a number of steps, or a share of the run below 1. Correct it.")
    elif (count := how_often(interval, n_steps)) is None:
        keys.lose(path, f"{ours} is a count, and the steps of the run are not known. {SCAN}")
    else:
        keys.give(ours, count, path, f", a count: {count} in the run")


def _word(value: Any) -> str:
    """A name, also of the enumerations that TrainingArguments hold."""
    return str(getattr(value, "value", value))
