"""A job, supervised or by preferences, as a YAML of Axolotl, to run it on many GPUs or nodes.

The schema is that of axolotl 0.19.0 (`utils/schemas` there), which ignores keys that it does not
know; the tests see to it that it knows every key that is written here, and keeps its value.
Axolotl trains with transformers and TRL, so schedules are named as transformers names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange import axolotl_run as run
from ftlab.exchange.ledger import Exported, Fields
from ftlab.exchange.plan import ALL_LINEAR, Plan, plan_of, yaml_text
from ftlab.exchange.together import DPO_SWITCHES
from ftlab.models import ModelInfo
from ftlab.spec import JobSpec

AXOLOTL = "Axolotl"
EXCESS = {"truncate": "truncate", "drop": "drop", "stop": "raise"}
DPO_BETA = 0.1  # the service's and TRL's own
TYPES = {
    "conversation": {"type": "chat_template", "field_messages": "messages"},
    "instruction": {
        "type": {
            "field_instruction": "prompt",
            "field_output": "completion",
            "format": "{instruction}",
            "no_input_format": "{instruction}",
        }
    },
    "general": {"type": "completion", "field": "text"},
    "preference": {
        "type": "chat_template.default",
        "field_messages": "messages",
        "field_chosen": "chosen",
        "field_rejected": "rejected",
    },
}
HEADER = """\
A configuration for Axolotl (written for axolotl 0.19).
  axolotl train THIS_FILE
A step sees micro_batch_size x gradient_accumulation_steps x GPUs sequences, here {per_step} on \
{n_gpus} GPU{s}.
On more GPUs divide gradient_accumulation_steps by their number.\
"""


def to_axolotl(
    spec: JobSpec,
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    *,
    micro_batch_size: int = 1,
    n_gpus: int = 1,
) -> Exported:
    """The configuration of a job, resolved as for a local run.

    `micro_batch_size` rows go through the model at once on each of `n_gpus`; the accumulation
    that is left makes up the step.
    """
    plan = plan_of(spec, report, info, AXOLOTL, splits=True)
    if isinstance(plan, Exported):
        return plan
    settings = {
        **_model(plan),
        **_adapter(plan),
        **_preferences(plan.fields),
        **_data(plan),
        **run.amounts(plan, micro_batch_size, n_gpus),
        **run.optimizer(plan),
        **run.schedule(plan),
        **run.counts(plan),
    }
    header = HEADER.format(per_step=plan.per_step, n_gpus=n_gpus, s="s" if n_gpus > 1 else "")
    return Exported(yaml_text(header, settings), plan.fields.lost())


def flat_preferences(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Preference rows as Axolotl reads them: the messages, the chosen and the rejected answer."""
    for row in rows:
        yield {
            "messages": row["input"]["messages"],
            "chosen": row["preferred_output"][0],
            "rejected": row["non_preferred_output"][0],
        }


def _model(plan: Plan) -> dict[str, Any]:
    fields = plan.fields
    suffix = fields["suffix"]
    return {
        "base_model": plan.model,
        "revision_of_model": fields["hf_model_revision"],
        "output_dir": f"./outputs/{suffix}" if suffix else "./outputs",
        "bf16": "auto",
        "seed": fields["random_seed"],
    }


def _adapter(plan: Plan) -> dict[str, Any]:
    fields = plan.fields
    if fields["lora"] is False:
        return {}
    kind = fields["quantization"]
    excluded = fields["lora_exclude_modules"]
    is_all = plan.modules == ALL_LINEAR
    if is_all and excluded:
        fields.lose(
            "lora_exclude_modules",
            f"{AXOLOTL} takes all linear layers or names. Name the layers that get an adapter.",
        )
    names = [name for name in plan.modules if name not in excluded]
    return {
        "adapter": "qlora" if kind == "nf4" else "lora",
        "load_in_4bit": kind == "nf4",
        "load_in_8bit": kind == "int8",
        "lora_r": fields["lora_r"],
        "lora_alpha": fields["lora_alpha"],
        "lora_dropout": fields["lora_dropout"],
        **({"lora_target_linear": True} if is_all else {"lora_target_modules": names}),
        "peft_use_rslora": fields["use_rslora"],
        "peft_use_dora": fields["use_dora"],
    }


def _preferences(fields: Fields) -> dict[str, Any]:
    """The losses as TRL names them; more than one are summed with their weights."""
    if fields["training_method"] != "dpo":
        return {}
    beta = fields["dpo_beta"] or DPO_BETA
    if gamma := fields["simpo_gamma"]:
        fields.read(*DPO_SWITCHES)  # SimPO is both
        # TRL's CPO adds its own likelihood term unless told otherwise; SimPO has none.
        return {"rl": "simpo", "rl_beta": beta, "simpo_gamma": gamma, "cpo_alpha": 0.0}
    losses = ["sigmoid_norm" if fields["dpo_normalize_logratios_by_length"] else "sigmoid"]
    settings: dict[str, Any] = {"rl": "dpo", "rl_beta": beta, "dpo_loss_type": losses}
    if weight := fields["rpo_alpha"]:
        settings |= {"dpo_loss_type": [*losses, "sft"], "dpo_loss_weights": [1.0, weight]}
    return settings


def _data(plan: Plan) -> dict[str, Any]:
    fields = plan.fields
    share = fields["validation_split"]
    if plan.data_format == "preference":
        fields.lose(
            "training_file",
            f"{AXOLOTL} reads flat preference rows. Write them with "
            "ftlab.exchange.axolotl.flat_preferences to a file, and name that.",
        )
    if share:
        fields.lose(
            "validation_split",
            f"{AXOLOTL} draws the share anew, and equal rows may come on both sides. Write two "
            "files with `ftlab split`.",
            level="tip",
        )
    if plan.data_format == "conversation" and fields["train_on_inputs"] is True:
        fields.lose(
            "train_on_inputs",
            f"{AXOLOTL} trains all messages, but not the template's words between them. Nothing "
            "to do.",
            level="tip",
        )
    if not fields["max_seq_length"]:
        fields.lose("max_seq_length", f"{AXOLOTL} then cuts rows at 512 tokens. Give a length.")
    validation = fields["validation_file"]
    return {
        "datasets": [_dataset(plan, fields["training_file"])],
        "test_datasets": [_dataset(plan, validation)] if validation else None,
        "val_set_size": share or 0.0,
        "train_on_inputs": fields["train_on_inputs"] is True,
        "sequence_len": fields["max_seq_length"],
        "excess_length_strategy": EXCESS[fields["over_length"]],
        **_packing(fields),
    }


def _dataset(plan: Plan, path: str) -> dict[str, Any]:
    reading = TYPES[plan.data_format]
    if plan.data_format == "conversation":
        reading = {**reading, "roles_to_train": ["assistant"], "train_on_eos": "turn"}
    return {"path": path, "split": "train", **reading}


def _packing(fields: Fields) -> dict[str, Any]:
    if not fields["packing"]:
        return {"sample_packing": False}
    if fields["training_method"] == "dpo":
        fields.lose("packing", f"{AXOLOTL} packs no preference rows. Leave it out.")
        return {"sample_packing": False}
    return {"sample_packing": True, "attn_implementation": "flash_attention_2"}
