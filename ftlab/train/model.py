"""The model that trains: the base with a fresh adapter, or all of its weights."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from ftlab.base import best_dtype, load_base
from ftlab.errors import FtlabError
from ftlab.job import LocalOptions
from ftlab.models import fetch
from ftlab.spec import JobSpec, filled, module_names


def choose_dtype(options: LocalOptions, device: str) -> torch.dtype:
    """The device's best format, unless one was chosen."""
    return best_dtype(device) if options.dtype == "auto" else getattr(torch, options.dtype)


def load_model(spec: JobSpec, options: LocalOptions, device: str) -> Any:
    """The base model, ready to train. What trains is held in float32: the LoRA layers, or all
    weights."""
    folder = fetch(filled(spec.model, "model"), spec.hf_model_revision)
    trains_all = spec.lora is False
    dtype = torch.float32 if trains_all else choose_dtype(options, device)
    model = load_base(folder, dtype, device)
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    if trains_all:
        return model.requires_grad_(requires_grad=True)
    return _with_adapter(model, spec)


def autocast(spec: JobSpec, options: LocalOptions, device: str) -> Any:
    """Where all weights train, they are computed with in the device's best format."""
    dtype = choose_dtype(options, device)
    if spec.lora is not False or dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


def _with_adapter(model: Any, spec: JobSpec) -> Any:
    from peft import LoraConfig, get_peft_model

    names = module_names(spec.lora_trainable_modules)
    torch.manual_seed(filled(spec.random_seed, "random_seed"))
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=filled(spec.lora_r, "lora_r"),
        lora_alpha=filled(spec.lora_alpha, "lora_alpha"),
        lora_dropout=spec.lora_dropout,
        target_modules="all-linear" if names == ("all-linear",) else list(names),
        exclude_modules=list(spec.lora_exclude_modules) or None,
        use_rslora=spec.use_rslora,
        use_dora=spec.use_dora,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as exc:
        raise FtlabError(
            f"peft could not put an adapter on the model ({exc}); lora_trainable_modules is "
            f"{spec.lora_trainable_modules!r}. Name layers that the model has, or all-linear."
        ) from exc


def trainable(model: Any) -> list[torch.nn.Parameter]:
    """The parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def make_optimizer(model: Any, spec: JobSpec) -> torch.optim.Optimizer:
    """The optimizer over what trains; the loop sets the learning rate of each step."""
    groups = _decay_groups(model, spec.weight_decay)
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0)
    betas = (spec.adam_beta1, spec.adam_beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=spec.adam_epsilon)


def _decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Norms and biases don't decay, as in transformers' Trainer; they are vectors, and so are
    DoRA's magnitudes, which do."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decaying = [p for name, p in named if p.ndim > 1 or "lora_magnitude" in name]
    others = [p for name, p in named if p.ndim <= 1 and "lora_magnitude" not in name]
    groups = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
