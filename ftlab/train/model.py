"""The model that trains: the base with an adapter, or all of its weights."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ftlab.base import best_dtype, load_base, needs_scaling, stored_format
from ftlab.job import LocalOptions
from ftlab.models import fetch
from ftlab.spec import JobSpec, filled
from ftlab.train.adapters import new_adapter, old_adapter
from ftlab.train.noise import add_noise
from ftlab.train.optimizers import make_optimizer as make_optimizer
from ftlab.train.quantised import quantization_config


def choose_dtype(spec: JobSpec, options: LocalOptions, device: str) -> torch.dtype:
    """What is computed in: what was chosen, or the device's best format for the model."""
    if options.dtype != "auto":
        return getattr(torch, options.dtype)
    return best_dtype(device, _folder(filled(spec.model, "model"), spec.hf_model_revision))


@lru_cache(maxsize=2)  # every piece of a step asks for its format
def _folder(model: str, revision: str | None) -> Path:
    return fetch(model, revision)


def load_bare(spec: JobSpec, options: LocalOptions, device: str) -> Any:
    """The base model as it is, in the format that it is held in while it trains."""
    folder = _folder(filled(spec.model, "model"), spec.hf_model_revision)
    trains_all = spec.lora is False
    dtype = torch.float32 if trains_all else choose_dtype(spec, options, device)
    if options.shard and trains_all:
        dtype = stored_format(folder)  # what is read as it is takes no memory until it is used
    where = "cpu" if options.shard else device
    return load_base(folder, dtype, where, quantization_config(spec, dtype, device))


def load_model(spec: JobSpec, options: LocalOptions, device: str, bare: Any = None) -> Any:
    """The base model, ready to train; `bare` where that is loaded. What trains is held in float32:
    the LoRA layers, or all weights. Raises FtlabError with the three facts when the job can't have
    it."""
    folder = _folder(filled(spec.model, "model"), spec.hf_model_revision)
    model = load_bare(spec, options, device) if bare is None else bare
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    if spec.neftune_noise_alpha:
        add_noise(model, spec.neftune_noise_alpha)
    if spec.lora is False:
        return model.requires_grad_(requires_grad=True)
    return old_adapter(model, spec) if spec.from_checkpoint else new_adapter(model, spec, folder)


def autocast(spec: JobSpec, options: LocalOptions, device: str) -> Any:
    """Where all weights train, they are computed with in the device's best format."""
    if spec.lora is not False or options.shard:
        return contextlib.nullcontext()
    dtype = choose_dtype(spec, options, device)
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


def gradient_scaler(spec: JobSpec, options: LocalOptions, device: str) -> torch.amp.GradScaler:
    """What keeps small gradients in float16; it changes nothing in other formats."""
    enabled = needs_scaling(choose_dtype(spec, options, device))
    return torch.amp.GradScaler(torch.device(device).type, enabled=enabled)


def trainable(model: Any) -> list[torch.nn.Parameter]:
    """The parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
