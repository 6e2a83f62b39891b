"""The base model with a fresh adapter, on its device and in its number format."""

from __future__ import annotations

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
    """The base model with LoRA layers, ready to train; the adapter is held in float32."""
    folder = fetch(filled(spec.model, "model"), spec.hf_model_revision)
    model = load_base(folder, choose_dtype(options, device), device)
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    return _with_adapter(model, spec)


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
    """The optimizer over the adapter; the loop sets the learning rate of each step."""
    parameters = trainable(model)
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=0.0, weight_decay=spec.weight_decay)
    return torch.optim.AdamW(
        parameters,
        lr=0.0,
        betas=(spec.adam_beta1, spec.adam_beta2),
        eps=spec.adam_epsilon,
        weight_decay=spec.weight_decay,
    )
