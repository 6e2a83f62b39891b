"""A supervised job as a recipe of NVIDIA NeMo AutoModel, to run it on many GPUs or nodes.

The schema is that of nemo-automodel 0.7.0 (`recipes/_typed_config.py` there). Its own checks let
some typing errors through (an unknown key of the optimizer, an unknown decay style), so what is
written here is fixed, and the tests build every section with the package itself.
"""

from __future__ import annotations

import math
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange.ledger import Exported, Fields
from ftlab.exchange.plan import (
    ALL_LINEAR,
    Plan,
    as_integer,
    plan_of,
    refused,
    without_none,
    yaml_text,
)
from ftlab.models import ModelInfo
from ftlab.schedule import DECAY_SHARE
from ftlab.spec import JobSpec

NEMO = "NeMo AutoModel"
RECIPE = "TrainFinetuneRecipeForNextTokenPrediction"
ROOT = "nemo_automodel.components"
FROM_PRETRAINED = "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained"
PEFT = f"{ROOT}._peft.lora.PeftConfig"
CHAT = f"{ROOT}.datasets.llm.chat_dataset.ChatDataset"
COLUMNS = (
    f"{ROOT}.datasets.llm.column_mapped_text_instruction_dataset.ColumnMappedTextInstructionDataset"
)
LOSS = f"{ROOT}.loss.masked_ce.MaskedCrossEntropy"
COLLATE = f"{ROOT}.datasets.utils.default_collater"
LOADER = "torchdata.stateful_dataloader.StatefulDataLoader"
OPTIMIZERS = {
    "adamw": "torch.optim.AdamW",
    "adamw_8bit": "torchao.optim.AdamW8bit",
    "sgd": "torch.optim.SGD",
}
STYLES = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant",
    "wsd": "WSD",
    "inverse_sqrt": "inverse-square-root",
}
HEADER = """\
A recipe for NVIDIA NeMo AutoModel (written for nemo-automodel 0.7).
  automodel THIS_FILE --nproc-per-node GPUS
On several nodes, in a job of the cluster's queue:
  torchrun --nnodes N --nproc-per-node GPUS ... -m nemo_automodel.cli.app THIS_FILE
A step sees {per_step} sequences; global_batch_size is local_batch_size x GPUs x a whole number.\
"""


def to_nemo(
    spec: JobSpec,
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    *,
    micro_batch_size: int = 1,
) -> Exported:
    """The recipe of a job, resolved as for a local run; `micro_batch_size` rows at once per GPU.

    Without a report, counts that NeMo wants in steps are lost. DPO and plain text have no recipe.
    """
    if spec.training_method != "sft":
        return refused(
            NEMO, "training_method", "training_method is dpo", "its recipes train with sft",
            "Use the Axolotl export",
        )  # fmt: skip
    plan = plan_of(spec, report, info, NEMO, splits=False)
    if isinstance(plan, Exported):
        return plan
    if plan.data_format == "general":
        return refused(
            NEMO, "training_file", "the rows are plain text", "its data sets take messages, or a "
            "prompt with a completion", "Use the Axolotl export",
        )  # fmt: skip
    for name in ("model", "training_file", "validation_file"):
        if "$" in (plan.fields[name] or ""):
            plan.fields.lose(name, f"{NEMO} reads $ as an environment variable. Rename it.")
    text = yaml_text(HEADER.format(per_step=plan.per_step), _recipe(plan, micro_batch_size))
    return Exported(text, plan.fields.lost())


def _recipe(plan: Plan, micro_batch_size: int) -> dict[str, Any]:
    fields = plan.fields
    noise, suffix = fields["neftune_noise_alpha"], fields["suffix"]
    loader = {"_target_": LOADER, "collate_fn": COLLATE}
    validation = _dataset(plan, fields["validation_file"])
    return {
        "recipe": RECIPE,
        "seed": fields["random_seed"],
        "step_scheduler": _steps(plan, micro_batch_size),
        "dist_env": {"backend": "nccl", "timeout_minutes": 30},
        "model": without_none(
            {
                "_target_": FROM_PRETRAINED,
                "pretrained_model_name_or_path": plan.model,
                "revision": fields["hf_model_revision"],
            }
        ),
        "peft": _adapter(plan),
        "quantization": _quantization(fields),
        "distributed": {"strategy": "fsdp2", "dp_size": "none", "tp_size": 1, "cp_size": 1},
        "loss_fn": {"_target_": LOSS},
        "dataset": _dataset(plan, fields["training_file"]),
        "packed_sequence": {"packed_sequence_size": _pack(fields)},
        "dataloader": {**loader, "shuffle": True},
        "validation_dataset": validation,
        "validation_dataloader": loader if validation else None,
        "optimizer": _optimizer(fields),
        "lr_scheduler": _schedule(plan),
        "clip_grad_norm": {"max_norm": as_integer(fields["max_grad_norm"] or math.inf)},
        "checkpoint": {"checkpoint_dir": f"checkpoints/{suffix}"} if suffix else None,
        "neftune": {"noise_alpha": noise} if noise else None,
    }


def _steps(plan: Plan, micro_batch_size: int) -> dict[str, Any]:
    """A checkpoint validates too, so that the end is always measured."""
    fields = plan.fields
    evaluations, checkpoints = fields["n_evals"] or 0, fields["n_checkpoints"]
    measured = bool(evaluations and fields["validation_file"])
    if evaluations and not measured:
        fields.lose("n_evals", "there is no validation file to measure on. Give a validation_file.")
    steps = {
        "global_batch_size": plan.per_step,
        "local_batch_size": micro_batch_size,
        "num_epochs": fields["n_epochs"],
        "max_steps": fields["max_steps"],
        "val_every_steps": plan.every("n_evals", evaluations) if measured else None,
        "ckpt_every_steps": plan.every("n_checkpoints", checkpoints),
        "save_checkpoint_every_epoch": False,
        "validate_on_checkpoint": measured,
    }
    return without_none(steps)


def _adapter(plan: Plan) -> dict[str, Any] | None:
    fields = plan.fields
    if fields["lora"] is False:
        return None
    if fields["use_rslora"]:
        equal = fields["lora_alpha"] * math.sqrt(fields["lora_r"])
        fields.lose(
            "use_rslora",
            f"{NEMO} scales by lora_alpha / lora_r. Set lora_alpha to {equal:.0f} instead, which "
            "scales alike.",
            fix={"use_rslora": None, "lora_alpha": round(equal)},
        )
    return {
        "_target_": PEFT,
        **_targets(plan),
        "dim": fields["lora_r"],
        "alpha": fields["lora_alpha"],
        "dropout": fields["lora_dropout"],
        "dropout_position": "pre",  # as in peft: on what goes into the adapter
        "lora_A_init": "uniform",  # Kaiming's uniform, as in peft
        "use_dora": fields["use_dora"],
    }


def _targets(plan: Plan) -> dict[str, Any]:
    """NeMo takes names or exceptions, not both; its match_all_linear would adapt the head too."""
    excluded = plan.fields["lora_exclude_modules"]
    if plan.modules == ALL_LINEAR:
        return {"exclude_modules": ["lm_head", *excluded]}
    return {"target_modules": [name for name in plan.modules if name not in excluded]}


def _quantization(fields: Fields) -> dict[str, Any] | None:
    kind = fields["quantization"]
    if kind == "none":
        return None
    if kind == "int8":
        return {"load_in_4bit": False, "load_in_8bit": True}
    return {
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_quant_storage": "bfloat16",
    }


def _dataset(plan: Plan, path: str | None) -> dict[str, Any] | None:
    fields = plan.fields
    if path is None:
        return None
    length = {"path_or_dataset_id": path, "split": "train"}
    if fields["max_seq_length"]:
        length |= {"seq_length": fields["max_seq_length"], "truncation": True}
    if fields["over_length"] != "truncate":
        fields.lose("over_length", f"{NEMO} cuts long rows. Use truncate, or take them out first.")
    if plan.data_format == "instruction":
        return _columns(fields, length)
    if fields["train_on_inputs"] is True:
        fields.lose(
            "train_on_inputs",
            f"{NEMO} trains only the answers of a conversation. Use auto, or write the rows as "
            "prompt and completion.",
        )
    return {"_target_": CHAT, **length}


def _columns(fields: Fields, length: dict[str, Any]) -> dict[str, Any]:
    fields.lose(
        "training_file",
        f"{NEMO} joins prompt and completion with a space, and adds no end-of-sequence token where "
        "the tokenizer doesn't. Write the rows as messages to train the same tokens.",
    )
    return {
        "_target_": COLUMNS,
        **length,
        "column_mapping": {"question": "prompt", "answer": "completion"},
        "answer_only_loss_mask": fields["train_on_inputs"] is not True,
    }


def _pack(fields: Fields) -> int:
    if fields["packing"] and not fields["max_seq_length"]:
        fields.lose("packing", "packs need a size. Give max_seq_length.")
    return (fields["max_seq_length"] or 0) if fields["packing"] else 0


def _optimizer(fields: Fields) -> dict[str, Any]:
    kind = fields["optimizer"]
    settings = {
        "_target_": OPTIMIZERS[kind],
        "lr": fields["learning_rate"],
        "weight_decay": fields["weight_decay"],
    }
    if kind != "sgd":
        settings["betas"] = [fields["adam_beta1"], fields["adam_beta2"]]
        settings["eps"] = fields["adam_epsilon"]
    return settings


def _schedule(plan: Plan) -> dict[str, Any]:
    fields = plan.fields
    kind, ratio = fields["lr_scheduler_type"], fields["min_lr_ratio"]
    warmup = plan.steps_in("warmup_ratio", fields["warmup_ratio"])
    settings = {
        "lr_decay_style": STYLES[kind],
        "lr_warmup_steps": warmup or 0,
        "init_lr": 0.0,
        "min_lr": fields["learning_rate"] * ratio,
    }
    if kind == "cosine" and fields["scheduler_num_cycles"] != 0.5:
        fields.lose("scheduler_num_cycles", f"{NEMO} falls once, which is 0.5. Use 0.5.")
    if kind == "inverse_sqrt" and (ratio or not warmup):
        fields.lose(
            "lr_scheduler_type",
            f"{NEMO}'s curve is the same only with warm-up and down to 0. Give a warmup_ratio and "
            "no min_lr_ratio, or choose cosine.",
        )
    if kind == "wsd":
        share = DECAY_SHARE * (1 - fields["warmup_ratio"])
        settings |= {
            "wsd_decay_steps": plan.steps_in("lr_scheduler_type", share) or 1,
            "lr_wsd_decay_style": "linear",
        }
    return settings
