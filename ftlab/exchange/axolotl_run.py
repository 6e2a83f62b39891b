"""How long, how fast and how often, in Axolotl's words.

Axolotl trains with transformers, whose schedules and intervals these are.
"""

from __future__ import annotations

from typing import Any

from ftlab.exchange.plan import Plan, without_none
from ftlab.schedule import DECAY_SHARE, INVERSE_SQRT_SHARE

OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_bnb_8bit", "sgd": "sgd"}
ALMOST_ONE = 0.999999
"""The share of the run that is its end: 1 itself would be read as one step."""


def amounts(plan: Plan, micro_batch_size: int, n_gpus: int) -> dict[str, Any]:
    fields, at_once = plan.fields, micro_batch_size * n_gpus
    accumulation = max(1, round(plan.per_step / at_once))
    if accumulation * at_once != plan.per_step:
        fields.lose(
            "batch_size",
            f"a step of {micro_batch_size} rows on {n_gpus} GPUs sees a multiple of {at_once}; the "
            f"file says {accumulation * at_once}. Use that, or other numbers.",
            fix={"batch_size": accumulation * at_once, "gradient_accumulation_steps": None},
        )
    return {
        "micro_batch_size": micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "num_epochs": fields["n_epochs"],
        "max_steps": fields["max_steps"],
    }


def optimizer(plan: Plan) -> dict[str, Any]:
    fields = plan.fields
    kind = fields["optimizer"]
    adam = ("adam_beta1", "adam_beta2", "adam_epsilon") if kind != "sgd" else ()
    return {
        "optimizer": OPTIMIZERS[kind],
        "learning_rate": fields["learning_rate"],
        "weight_decay": fields["weight_decay"],
        **{name: fields[name] for name in adam},
        "max_grad_norm": fields["max_grad_norm"],
        "neftune_noise_alpha": fields["neftune_noise_alpha"],
    }


def schedule(plan: Plan) -> dict[str, Any]:
    """Those schedules of transformers that follow the same curve."""
    fields = plan.fields
    kind, ratio, warmup = (fields[n] for n in ("lr_scheduler_type", "min_lr_ratio", "warmup_ratio"))
    name, arguments = kind, {}
    if kind == "cosine":
        name = "cosine_with_min_lr"
        arguments = {"min_lr_rate": ratio, "num_cycles": fields["scheduler_num_cycles"]}
    elif kind == "linear" and ratio:
        name = "polynomial"
        arguments = {"lr_end": ratio * fields["learning_rate"], "power": 1.0}
    elif kind == "constant":
        name = "constant_with_warmup"
    elif kind == "wsd":
        name = "warmup_stable_decay"
        steps = plan.steps_in("lr_scheduler_type", DECAY_SHARE * (1 - warmup))
        arguments = {"num_decay_steps": steps, "decay_type": "linear", "min_lr_ratio": ratio}
        if ratio and warmup:
            fields.lose(
                "min_lr_ratio",
                f"{fields.target}'s warm-up then starts there, not at 0. Use 0 for both.",
            )
    elif kind == "inverse_sqrt":
        arguments = _inverse_sqrt(plan, ratio, warmup)
    return {
        "lr_scheduler": name,
        "lr_scheduler_kwargs": without_none(arguments) or None,
        "warmup_ratio": warmup,
    }


def _inverse_sqrt(plan: Plan, ratio: float, warmup: float) -> dict[str, Any]:
    if ratio:
        plan.fields.lose(
            "min_lr_ratio",
            f"{plan.fields.target}'s inverse_sqrt falls to 0. Leave it out, or use cosine.",
        )
    if warmup:
        return {}  # then its time scale is the warm-up, as here
    return {"timescale": plan.steps_in("lr_scheduler_type", INVERSE_SQRT_SHARE)}


def counts(plan: Plan) -> dict[str, Any]:
    """Intervals; those of checkpoints as a share of the run, whose end is always saved."""
    fields = plan.fields
    evaluations, checkpoints = fields["n_evals"] or 0, fields["n_checkpoints"]
    stops = fields["early_stopping_enabled"]
    if evaluations and not plan.has_validation:
        fields.lose("n_evals", "there is nothing to measure on. Give a validation_file.")
    evaluates = bool(evaluations and plan.has_validation)
    settings: dict[str, Any] = {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": _evaluation_interval(plan, evaluations) if evaluates else None,
        "save_strategy": "no" if checkpoints == 1 else "steps",
        "save_steps": None if checkpoints == 1 else 1 / checkpoints,
    }
    return {**settings, **_early_stopping(plan, settings)} if stops else settings


def _evaluation_interval(plan: Plan, count: int) -> float:
    """In steps, or a share of the run while the steps are unknown. It is kept to strictly, so the
    end is measured only when it falls on it."""
    if plan.n_steps is None:
        return ALMOST_ONE if count == 1 else 1 / count
    n_steps, near = plan.n_steps, max(1, plan.n_steps // count)
    interval = min((near, near + 1), key=lambda steps: abs(n_steps // steps - count))
    if n_steps // interval != count:
        plan.fields.lose(
            "n_evals",
            f"{plan.fields.target} measures every so many steps, here {n_steps // interval} times "
            f"in {n_steps}. Nothing to do.",
            level="tip",
        )
    return interval


def _early_stopping(plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """It saves at every evaluation, and so finds the best again."""
    fields = plan.fields
    if fields["training_method"] == "dpo" or settings["eval_steps"] is None:
        fields.lose(
            "early_stopping_enabled",
            f"{fields.target} stops early only in supervised runs that evaluate. Leave it out.",
        )
        return {}
    if fields["n_checkpoints"] != fields["n_evals"]:
        fields.lose(
            "n_checkpoints",
            f"with early stopping {fields.target} saves at each of the {fields['n_evals']} "
            "evaluations. Nothing to do.",
            level="tip",
        )
    return {
        "early_stopping_patience": fields["early_stopping_patience"],
        "save_strategy": "steps",
        "save_steps": settings["eval_steps"],
    }
