"""A recipe of NVIDIA NeMo AutoModel as values of a spec; intervals become counts.

What a recipe leaves out has NeMo's own default (nemo-automodel 0.7.0), and where that decides what
is trained, the default comes over too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange import nemo_parts as parts
from ftlab.exchange.intervals import SCAN, how_often, n_steps_of, number, share_of
from ftlab.exchange.ledger import MISSING, Imported, Keys
from ftlab.exchange.nemo import RECIPE, STYLES
from ftlab.exchange.plain import from_yaml

GLOBAL_BATCH_SIZE, N_EPOCHS, CKPT_EVERY_STEPS = 32, 10, 100
LONGEST_WARMUP, WARMUP_SHARE, MIN_LR_SHARE = 1000, 0.1, 0.01
OPTIMIZER_KINDS = {
    "adamw": ("adamw", 0.01),
    "adam": ("adamw", 0.0),
    "adamw8bit": ("adamw_8bit", 0.0),
    "sgd": ("sgd", 0.0),
}
"""Last part of the target, in lower case → ours, and the weight decay that it has by itself."""
HOW_IT_RUNS = (
    *("dist_env", "distributed", "distributed_config", "loss_fn", "dataloader"),
    *("validation_dataloader", "wandb", "mlflow", "comet", "mlflow_tags", "benchmark", "ci"),
    *("skypilot", "nemo_run", "slurm", "compile", "fp8", "prewarm", "mfu", "nvtx"),
    *("step_scheduler.local_batch_size", "step_scheduler.gc_every_steps"),
    *("step_scheduler.log_remote_every_steps", "step_scheduler.loss_average_window_steps"),
    *("step_scheduler.preemption_signal", "step_scheduler.save_checkpoint_every_epoch"),
    *("checkpoint.enabled", "checkpoint.checkpoint_dir", "checkpoint.model_save_format"),
    *("checkpoint.save_consolidated", "checkpoint.is_async", "packed_sequence.packing_strategy"),
    *("model.torch_dtype", "model.attn_implementation", "model.use_liger_kernel"),
    *("model.force_hf", "model.is_meta_device", "model.backend", "rng._target_", "rng.ranked"),
    *("peft._target_", "peft.use_triton", "peft.lora_dtype"),
    *("peft.use_memory_efficient_lora", "dataset.split", "validation_dataset.split"),
    *("dataset.padding", "validation_dataset.padding", "optimizer.foreach", "optimizer.fused"),
    *("quantization.load_in_8bit", "quantization.bnb_4bit_compute_dtype"),
    *("quantization.bnb_4bit_use_double_quant", "quantization.bnb_4bit_quant_storage"),
)
"""Where and how fast, not what is trained."""


def from_nemo(recipe: str | Mapping[str, Any], report: DataReport | None = None) -> Imported:
    """The values of a recipe (YAML or its content).

    `report` is a scan of the training file: without it, intervals in steps stay unknown unless
    the recipe says max_steps.
    """
    if isinstance(recipe, str):
        read = from_yaml(recipe)
        if read.lost:
            return read
        recipe = read.values
    keys = Keys(recipe)
    _check_kind(keys)
    values = {
        **parts.model(keys),
        **parts.data(keys),
        **_steps(keys),
        **parts.adapter(keys),
        **_optimizer(keys),
        "packing": True if parts.pack_size(keys) else MISSING,
        "neftune_noise_alpha": number(keys.take("neftune.noise_alpha", MISSING)),
        "random_seed": keys.take("seed", keys.take("rng.seed", MISSING)),
    }
    known = {name: value for name, value in values.items() if value is not MISSING}
    n_steps = n_steps_of(known, report)
    values |= {**_counts(keys, n_steps), **_schedule(keys, values, n_steps)}
    keys.set_aside(HOW_IT_RUNS, "they say where and how fast it runs. Set that where it runs.")
    return keys.done(values)


def _check_kind(keys: Keys) -> None:
    kind = keys.take("recipe._target_", keys.take("recipe"))
    name = str(kind).rpartition(".")[2]
    if kind is not None and name != RECIPE:
        keys.lose("recipe", f"ftlab reads {RECIPE}, which fine-tunes. Take such a recipe.")
    keys.take("recipe")


def _steps(keys: Keys) -> dict[str, Any]:
    keys.hint("step_scheduler.global_batch_size", "batch_size", ", with no accumulation on top")
    return {
        "batch_size": keys.take("step_scheduler.global_batch_size", GLOBAL_BATCH_SIZE),
        "n_epochs": keys.take("step_scheduler.num_epochs", N_EPOCHS),
        "max_steps": keys.take("step_scheduler.max_steps", MISSING) or MISSING,
    }


def _counts(keys: Keys, n_steps: int | None) -> dict[str, Any]:
    has_validation = keys.has("validation_dataset")
    keys.take("step_scheduler.validate_on_checkpoint")
    evaluations = _count(keys, "val_every_steps", "n_evals", n_steps)
    checkpoints = _count(keys, "ckpt_every_steps", "n_checkpoints", n_steps, CKPT_EVERY_STEPS)
    return {
        "n_evals": evaluations if has_validation else MISSING,
        "n_checkpoints": checkpoints,
    }


def _count(
    keys: Keys, name: str, ours: str, n_steps: int | None, default: int | None = None
) -> Any:
    path = f"step_scheduler.{name}"
    interval = keys.take(path, default)
    if type(interval) is not int or interval < 1:
        return MISSING
    count = how_often(interval, n_steps)
    if count is not None:
        keys.hint(path, ours, f", a count: {count} in {n_steps} steps")
        return count
    if keys.has(path):
        keys.lose(path, f"{ours} is a count, and how many steps the run has is not known. {SCAN}")
    return MISSING


def _optimizer(keys: Keys) -> dict[str, Any]:
    target = str(keys.take("optimizer._target_", "torch.optim.AdamW"))
    kind, decay = OPTIMIZER_KINDS.get(target.rpartition(".")[2].lower(), (MISSING, MISSING))
    if kind is MISSING:
        keys.lose("optimizer._target_", "ftlab has adamw, adamw_8bit and sgd. Choose one.")
    betas = keys.take("optimizer.betas")
    pair = [number(beta) for beta in betas] if isinstance(betas, (list, tuple)) else []
    if target.endswith(".Adam") and number(keys.take("optimizer.weight_decay")):
        keys.lose("optimizer._target_", "ftlab's adamw decays weights apart. Use AdamW.")
    norm = number(keys.take("clip_grad_norm.max_norm", MISSING))
    return {
        "optimizer": kind,
        "learning_rate": number(keys.take("optimizer.lr", MISSING)),
        "weight_decay": number(keys.take("optimizer.weight_decay", decay)),
        "adam_beta1": pair[0] if len(pair) == 2 else MISSING,
        "adam_beta2": pair[1] if len(pair) == 2 else MISSING,
        "adam_epsilon": number(keys.take("optimizer.eps", MISSING)),
        "max_grad_norm": 0.0 if norm == math.inf else norm,
    }


def _schedule(keys: Keys, values: Mapping[str, Any], n_steps: int | None) -> dict[str, Any]:
    """Without the section the rate stays what it is."""
    if not keys.has("lr_scheduler"):
        return {"lr_scheduler_type": "constant"}
    style = keys.take("lr_scheduler.lr_decay_style", "cosine")
    ours = {theirs: name for name, theirs in STYLES.items()}.get(str(style), MISSING)
    if ours is MISSING:
        keys.lose("lr_scheduler.lr_decay_style", f"ftlab has {', '.join(STYLES)}. Choose one.")
    warmup = _warmup(keys, n_steps)
    if warmup and number(keys.take("lr_scheduler.init_lr")) != 0:
        keys.lose("lr_scheduler.init_lr", "ftlab's warm-up starts at 0. Use 0.", level="tip")
    keys.take("lr_scheduler.init_lr")
    for name in ("wsd_decay_steps", "lr_wsd_decay_style"):
        if keys.has(f"lr_scheduler.{name}"):
            keys.lose(
                f"lr_scheduler.{name}",
                "ftlab's wsd falls in a straight line over the last fifth. Nothing to do.",
                level="tip",
            )
    lowest = keys.take("lr_scheduler.min_lr", MISSING)
    ratio = MIN_LR_SHARE if lowest is MISSING else share_of(number(lowest), values["learning_rate"])
    if ratio is None:
        keys.lose("lr_scheduler.min_lr", "min_lr_ratio is a share of the peak. Give optimizer.lr.")
    keys.hint("lr_scheduler.min_lr", "min_lr_ratio", ", a share of the peak rate")
    return {
        "lr_scheduler_type": ours,
        "warmup_ratio": MISSING if warmup is None else warmup,
        "min_lr_ratio": MISSING if ratio is None or ours == "constant" else ratio,
    }


def _warmup(keys: Keys, n_steps: int | None) -> float | None:
    path = "lr_scheduler.lr_warmup_steps"
    steps = number(keys.take(path))
    if steps is None:  # NeMo's own: a tenth, and never more than a thousand steps
        return min(LONGEST_WARMUP, n_steps // 10) / n_steps if n_steps else WARMUP_SHARE
    if steps == 0:
        return 0.0
    share = share_of(steps, n_steps)
    if share is None:
        keys.lose(
            path, f"warmup_ratio is a share, and how many steps the run has is not known. {SCAN}"
        )
        return None
    keys.hint(path, "warmup_ratio", f", a share: {steps:g} of {n_steps} steps")
    return min(share, 1.0)
