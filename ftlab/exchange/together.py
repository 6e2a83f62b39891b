"""A spec as the body of Together's POST /v1/fine-tunes, and back; and as a question of price.

The nesting is that of the official SDK (together 3.1.1, `create_finetune_request`), which drops
what is None. Nothing is filled in here: give a resolved spec for the request of a job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange.ledger import MISSING, Exported, Fields, Keys
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.rules import resolve
from ftlab.spec import JobSpec, module_names

SERVICE = "the hosted service"
SERVICE_LEARNING_RATE = 1e-5  # what the SDK sends when none is given
AS_NAMED = (
    *("model", "training_file", "max_seq_length", "n_epochs", "n_checkpoints", "batch_size"),
    *("gradient_accumulation_steps", "warmup_ratio", "max_grad_norm", "weight_decay", "suffix"),
    *("random_seed", "early_stopping_enabled", "from_checkpoint", "from_hf_model"),
    "hf_model_revision",
)
"""Fields that stand in the body under their own names, left out when None."""
EARLY_STOPPING = ("patience", "min_delta", "warmup_evals")
DPO = ("dpo_beta", "rpo_alpha", "simpo_gamma")
DPO_SWITCHES = ("dpo_normalize_logratios_by_length", "dpo_reference_free")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_trainable_modules")
KINDS = {"Lora": True, "Full": False}
OPTIONS = ("wandb_base_url", "wandb_project_name", "wandb_name", "wandb_entity")


def to_body(spec: JobSpec, limits: Limits | None = None) -> tuple[dict[str, Any], list[Issue]]:
    """The request body of a JobSpec, and what it can't say. `limits` are the model's own there.

    A lora_r that is left out is the limits' default; when that is unknown, `training_type` is
    left out too and the issue says so, because a request must not name a rank of None.
    """
    fields, limits = Fields(spec, SERVICE), limits or Limits()
    body: dict[str, Any] = {name: fields[name] for name in AS_NAMED}
    packing, evaluations = fields["packing"], fields["n_evals"]
    body |= {
        "validation_file": fields["validation_file"] or "",
        "packing": True if packing is None else packing,
        "n_evals": evaluations or 0,
        "learning_rate": fields["learning_rate"] or SERVICE_LEARNING_RATE,
        "lr_scheduler": _schedule(fields),
        "training_method": _method(fields),
        "training_type": _training_type(fields, limits),
        "multimodal_params": _vision(fields, limits),
        **_early_stopping(fields),
    }
    return _without_none(body), fields.lost()


def to_price_body(spec: JobSpec, limits: Limits | None = None) -> dict[str, Any]:
    """The request body for the price of a job (POST /v1/fine-tunes/estimate-price), in which the
    files are ids. As in the SDK a number of DPO that is left out is 0, and a training type null."""
    body, _ = to_body(spec, limits)
    method = body["training_method"]
    numbers = dict.fromkeys(DPO, 0) if method["method"] == "dpo" else {}
    kept = ("training_file", "validation_file", "from_checkpoint", "n_epochs", "n_evals")
    return {
        **{name: body[name] for name in kept if body.get(name) not in (None, "")},
        "model": body.get("model", ""),
        "training_type": body.get("training_type"),
        "training_method": {**method, **numbers, **method},
    }


def hosted_schedule(fields: Fields) -> str:
    """The schedule as the service knows it; another one is lost, and cosine stands for it."""
    kind = fields["lr_scheduler_type"]
    if kind in ("cosine", "linear"):
        return kind
    fields.lose(
        "lr_scheduler_type",
        "hosted jobs take cosine or linear; cosine stands in its place. Choose one of them.",
        fix={"lr_scheduler_type": "cosine"},
    )
    return "cosine"


def _schedule(fields: Fields) -> dict[str, Any]:
    kind = hosted_schedule(fields)
    arguments = {"min_lr_ratio": fields["min_lr_ratio"]}
    if kind == "cosine":
        arguments["num_cycles"] = fields["scheduler_num_cycles"]
    return {"lr_scheduler_type": kind, "lr_scheduler_args": arguments}


def _method(fields: Fields) -> dict[str, Any]:
    if fields["training_method"] == "sft":
        inputs = fields["train_on_inputs"]
        return {"method": "sft", "train_on_inputs": "auto" if inputs is None else inputs}
    # SimPO is DPO without a reference, on mean log-probabilities; the SDK sets both itself.
    is_simpo = bool(fields["simpo_gamma"])
    switches = {name: bool(fields[name]) or is_simpo for name in DPO_SWITCHES}
    return {"method": "dpo", **{name: fields[name] for name in DPO}, **switches}


def _training_type(fields: Fields, limits: Limits) -> dict[str, Any] | None:
    lora = fields["lora"]
    if lora is None:
        return None
    if lora is False:
        return {"type": "Full"}
    rank = fields["lora_r"] or limits.default_lora_r
    if rank is None:
        fields.lose(
            "lora_r",
            "a request names the rank, and the default of this model is not known; the service "
            "then decides about the adapter. Give lora_r.",
        )
        return None
    return {
        "type": "Lora",
        "lora_r": rank,
        "lora_alpha": fields["lora_alpha"] or 2 * rank,
        "lora_dropout": fields["lora_dropout"],
        "lora_trainable_modules": ",".join(module_names(fields["lora_trainable_modules"])),
    }


def _vision(fields: Fields, limits: Limits) -> dict[str, bool] | None:
    wanted = fields["train_vision"]
    return {"train_vision": wanted} if wanted or limits.vision else None


def _early_stopping(fields: Fields) -> dict[str, Any]:
    if not fields["early_stopping_enabled"]:
        return {}
    names = [f"early_stopping_{name}" for name in EARLY_STOPPING]
    return {name: fields[name] for name in names}


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in body.items()
        if value is not None
    }


def from_body(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
    """The values of a request body, and what has no counterpart in a spec.

    What says no more than leaving it out does (an empty validation_file, packing on, inputs
    "auto") is left out. Nothing is checked: that is `check()`'s task.
    """
    keys = Keys(body)
    values = {name: keys.take(name, MISSING) for name in AS_NAMED}
    values |= {
        "validation_file": keys.take("validation_file") or MISSING,
        "packing": _unless(keys.take("packing", MISSING), default=True),
        "n_evals": keys.take("n_evals", MISSING),
        "learning_rate": keys.take("learning_rate", MISSING),
        "lr_scheduler_type": keys.take("lr_scheduler.lr_scheduler_type", MISSING),
        "min_lr_ratio": keys.take("lr_scheduler.lr_scheduler_args.min_lr_ratio", MISSING),
        "scheduler_num_cycles": keys.take("lr_scheduler.lr_scheduler_args.num_cycles", MISSING),
        "train_vision": keys.take("multimodal_params.train_vision", MISSING),
        **{n: keys.take(n, MISSING) for n in (f"early_stopping_{m}" for m in EARLY_STOPPING)},
        **_method_values(keys),
        **_type_values(keys),
    }
    keys.set_aside(OPTIONS, "they say where a run is shown, not what is trained. Set them there.")
    found = keys.done({name: MISSING if v is None else v for name, v in values.items()})
    return {**found.values, "lora": _has_adapter(keys)}, found.lost


def _unless(value: Any, *, default: Any) -> Any:
    """MISSING where a value is what the service does anyway."""
    return MISSING if type(value) is type(default) and value == default else value


def _has_adapter(keys: Keys) -> bool | None:
    """Without a training type the service decides, which is a `lora` of None."""
    return KINDS.get(str(keys.take("training_type.type", "")))


def _method_values(keys: Keys) -> dict[str, Any]:
    method = keys.take("training_method.method", MISSING)
    names = (*DPO, *DPO_SWITCHES)
    values = {name: keys.take(f"training_method.{name}", MISSING) for name in names}
    if values["simpo_gamma"] not in (MISSING, None, 0):  # then these two say nothing of their own
        values |= dict.fromkeys(DPO_SWITCHES, MISSING)
    inputs = keys.take("training_method.train_on_inputs", MISSING)
    return {"training_method": method, **values, "train_on_inputs": _unless(inputs, default="auto")}


def _type_values(keys: Keys) -> dict[str, Any]:
    kind = keys.take("training_type.type")
    if kind is not None and str(kind) not in KINDS:
        keys.lose("training_type.type", "it takes Lora or Full. Correct it.", ours="lora")
    values = {name: keys.take(f"training_type.{name}", MISSING) for name in LORA}
    modules = values["lora_trainable_modules"]
    if isinstance(modules, str) and "," in modules:
        values["lora_trainable_modules"] = module_names(modules)
    return values


def to_request(
    spec: JobSpec, report: DataReport | None = None, info: ModelInfo | None = None
) -> Exported:
    """The request body of the job that a spec is, as JSON, with everything resolved."""
    body, lost = to_body(resolve(spec, report, info, "together").spec)
    given = [issue for issue in lost if issue.where in spec.model_fields_set]
    return Exported(json.dumps(body, indent=2, ensure_ascii=False) + "\n", given)
