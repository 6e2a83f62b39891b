"""Presets: a handful of fields set together for a purpose, each with its reason.

A preset sets only what its purpose asks for; the rest stays as typed or as recommended. The
learning rate is left to the recommendation (`advice`), which knows the model, except in NeMo's
scenarios, which are given as they were published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftlab.spec import KNOBS, Engine

NEMO = "NeMo AutoModel's fine-tuning hyperparameter guide, 2026-08"


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    why: str
    """What it is for, and what it gives up."""
    values: dict[str, Any]
    """Field of JobSpec → value."""
    reasons: dict[str, str]
    """Field → why this value; every field has one."""
    source: str

    def values_for(self, engine: Engine, given: Mapping[str, Any]) -> dict[str, Any]:
        """What to set on an engine in a spec with the values `given`.

        Left out is what the engine has no setting for, rows held back where there is a validation
        file, and evaluations where there is nothing to evaluate on.
        """
        found = {n: v for n, v in self.values.items() if engine in KNOBS[n].providers}
        if given.get("validation_file"):
            found.pop("validation_split", None)
        elif not found.get("validation_split") and not given.get("validation_split"):
            found.pop("n_evals", None)
        return found


def _preset(name: str, title: str, why: str, source: str, **fields: tuple[Any, str]) -> Preset:
    values = {field: value for field, (value, _) in fields.items()}
    reasons = {field: reason for field, (_, reason) in fields.items()}
    return Preset(name, title, why, values, reasons, source)


_ALL = (
    _preset(
        "quick look",
        "Quick look",
        "Shows in minutes whether data and template are right; not a result to keep.",
        "ftlab; NeMo's guide for the 200 steps of a trial",
        max_train_rows=(2_000, "enough to see the loss fall"),
        max_steps=(200, "as many as a trial of a learning rate takes"),
        n_epochs=(1, "the steps end the run first"),
        batch_size=(8, "small steps are quick steps"),
        lora_r=(8, "a small adapter learns format and tone soon"),
        warmup_ratio=(0.05, "10 of 200 steps"),
    ),
    _preset(
        "careful",
        "Careful",
        "For a result to keep: holds rows back, looks often, and goes easy on the weights.",
        "NeMo's and Tinker's guides",
        validation_split=(0.05, "5 to 10 % of the rows show what was only learned by heart"),
        n_evals=(10, "the turn of the curve is found within a tenth of the run"),
        n_epochs=(2, "a second look at each row; beyond 3, small data is learned by heart"),
        warmup_ratio=(0.1, "early spikes come from too quick a start"),
        max_grad_norm=(1.0, "a single bad batch can't throw the weights far"),
        weight_decay=(0.01, "a little against learning by heart"),
        lora_dropout=(0.05, "a little against learning by heart"),
    ),
    _preset(
        "small data",
        "Small data (under 5,000 rows)",
        "Little room to learn by heart, and still enough steps to learn at all.",
        NEMO,
        n_epochs=(3, "few rows need several looks; above 3 the guide warns"),
        batch_size=(16, "small steps, so that there are enough of them"),
        lora_r=(8, "4 to 8: little room to learn by heart"),
        lora_alpha=(16, "twice the rank"),
        lora_dropout=(0.1, "0.05 to 0.1 for so few rows"),
        weight_decay=(0.05, "0.01 to 0.1 for so few rows"),
        warmup_ratio=(0.1, "short runs need 5 to 10 steps"),
    ),
    _preset(
        "large data",
        "Large data (over 50,000 rows)",
        "One pass, large steps, and an adapter with room for it all.",
        f"{NEMO}; Tinker's guide",
        n_epochs=(1, "one pass shows enough variety"),
        batch_size=(64, "64 to 128 rows: steady gradients, and steps enough"),
        lora_r=(32, "16 to 64; in published sweeps 64 gained 0.3 % on 16"),
        lora_alpha=(64, "twice the rank"),
        lora_dropout=(0.0, "there is too much to be learned by heart"),
        weight_decay=(0.0, "0 to 0.01 for so many rows"),
        warmup_ratio=(0.03, "a few dozen steps; 1,000 at most"),
    ),
    _preset(
        "consumer GPU",
        "Consumer GPU (up to 24 GB)",
        "Keeps activations and optimiser small. Memory goes with the longest row, less with rank.",
        "the memory formula of ftlab/cost.py; NeMo's guide",
        lora=(True, "gradients and optimiser states of all weights take 12 bytes each"),
        lora_r=(16, "its states are small beside the activations"),
        max_seq_length=(1_024, "activations grow with the tokens of a row"),
        batch_size=(16, "cut into pieces that fit; the steps stay those of 16 rows"),
    ),
    _preset(
        "NeMo 1: small data",
        "NeMo's scenario 1: under 1,000 rows, LoRA",
        "As published: strong regularisation and a very careful rate.",
        f"{NEMO}, scenario 1",
        lora=(True, "few rows"),
        lora_r=(4, "very low, against overfitting"),
        lora_alpha=(16, "four times the rank"),
        lora_dropout=(0.1, "higher dropout for regularisation"),
        learning_rate=(2e-5, "as published; sweeps of large data find ten times as much best"),
        weight_decay=(0.05, "moderate"),
        batch_size=(16, "as published"),
        n_epochs=(3, "few epochs"),
    ),
    _preset(
        "NeMo 2: medium data",
        "NeMo's scenario 2: 5,000 to 50,000 rows, LoRA",
        "As published: moderate values throughout, and a very careful rate.",
        f"{NEMO}, scenario 2",
        lora=(True, "moderate data"),
        lora_r=(16, "upper end of 8 to 16"),
        lora_alpha=(32, "twice the rank"),
        lora_dropout=(0.05, "a little"),
        learning_rate=(1e-5, "as published; sweeps of large data find thirty times as much best"),
        weight_decay=(0.0, "as published"),
        batch_size=(64, "upper end of 32 to 64"),
        n_epochs=(2, "lower end of 2 to 4"),
    ),
    _preset(
        "NeMo 3: large data, all weights",
        "NeMo's scenario 3: over 50,000 rows, full fine-tuning",
        "As published: all weights train, which needs enough data and memory.",
        f"{NEMO}, scenario 3",
        lora=(False, "there is data enough for all weights"),
        learning_rate=(2e-5, "middle of 1e-5 to 3e-5"),
        min_lr_ratio=(0.05, "min_lr 1e-6 of 2e-5"),
        lr_scheduler_type=("cosine", "as published"),
        weight_decay=(0.0, "lower end of 0 to 0.01"),
        batch_size=(128, "upper end of 64 to 128"),
        n_epochs=(2, "middle of 1 to 3"),
        max_grad_norm=(1.0, "as published"),
    ),
    _preset(
        "NeMo 4: one consumer GPU",
        "NeMo's scenario 4: 4-bit base, one consumer GPU",
        "As published: QLoRA, which fits an 8B model into 24 GB.",
        f"{NEMO}, scenario 4",
        lora=(True, "a 4-bit base can't be trained itself"),
        quantization=("nf4", "a quarter of the memory of bf16 weights"),
        lora_r=(16, "lower end of 16 to 64"),
        lora_alpha=(32, "twice the rank"),
        lora_dropout=(0.1, "upper end of 0.05 to 0.1"),
        learning_rate=(1e-5, "lower end of 1e-5 to 2e-4"),
        weight_decay=(0.01, "as published"),
        batch_size=(32, "as published"),
        max_steps=(500, "as published"),
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
