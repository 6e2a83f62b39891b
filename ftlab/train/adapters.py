"""The adapter on a model: a fresh one, one that goes on, and the model before training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ftlab.adapter_files import WEIGHTS, Adapter, is_of_base, read_adapter
from ftlab.errors import FtlabError, UnreadableData
from ftlab.spec import JobSpec, filled
from ftlab.train.targets import Targets, names_in_files, targets, transposed


def new_adapter(model: Any, spec: JobSpec, folder: Path) -> Any:
    """The model of a folder with a fresh adapter; the spec's seed makes its first weights."""
    chosen = targets(model, spec, names_in_files(folder))
    torch.manual_seed(filled(spec.random_seed, "random_seed"))
    try:
        return _adapted(model, _fresh(model, spec, chosen))
    except ValueError as exc:
        raise FtlabError(
            f"peft could not put an adapter on the model ({exc}); lora_trainable_modules is "
            f"{spec.lora_trainable_modules!r}. Name other layers, or for experts set lora_dropout "
            "to 0 and use_dora to False."
        ) from exc


def _fresh(model: Any, spec: JobSpec, chosen: Targets) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=filled(spec.lora_r, "lora_r"),
        lora_alpha=filled(spec.lora_alpha, "lora_alpha"),
        lora_dropout=spec.lora_dropout,
        target_modules=chosen.modules,
        target_parameters=chosen.parameters or None,
        exclude_modules=chosen.excluded or None,
        use_rslora=spec.use_rslora,
        use_dora=spec.use_dora,
        fan_in_fan_out=any(isinstance(module, transposed()) for module in model.modules()),
    )


def _adapted(model: Any, config: Any) -> Any:
    from peft import get_peft_model

    return get_peft_model(model, config)


# --- one that goes on ------------------------------------------------------------------------


def old_adapter(model: Any, spec: JobSpec) -> Any:
    """The model with the adapter of from_checkpoint, which goes on training.

    Raises UnreadableData when it does not fit the model, or holds values that are no numbers.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    adapter = read_adapter(Path(filled(spec.from_checkpoint, "from_checkpoint")))
    config = _settings(adapter, spec.lora_dropout)
    try:
        model = _adapted(model, config)
    except (ValueError, TypeError, RuntimeError) as exc:
        raise _misfit(adapter, str(exc)) from exc
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    wanted = {name: tuple(values.shape) for name, values in own.items()}
    if difference := _difference(wanted, adapter):
        raise _misfit(adapter, difference)
    set_peft_model_state_dict(model, _values(adapter))
    model.started_from = {n: p.detach().clone() for n, p in _trained(model)}
    return model


def start_on(model: Any, device: str) -> None:
    """Let what an adapter went on from lie where the adapter does."""
    if (start := getattr(model, "started_from", None)) is not None:
        model.started_from = {name: values.to(device) for name, values in start.items()}


TAKEN = (
    *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern"),
    *("target_modules", "target_parameters", "exclude_modules", "fan_in_fan_out"),
    *("layers_to_transform", "layers_pattern"),
)
"""What an adapter's configuration decides here."""
OF_NO_MATTER = (
    *("peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path"),
    *("revision", "inference_mode", "lora_dropout", "init_lora_weights", "megatron_core"),
    *("loftq_config", "eva_config", "corda_config", "runtime_config"),
)
"""What it says of its making, or of other uses."""


def _settings(adapter: Adapter, dropout: float) -> Any:
    """What peft is to make. Only settings that are known are taken over: others may name modules
    to import, or layers that compute differently."""
    from peft import LoraConfig

    usual = LoraConfig().to_dict()
    given = {name: value for name, value in adapter.config.items() if name not in OF_NO_MATTER}
    odd = [n for n, v in given.items() if n not in TAKEN and v and v != usual.get(n)]
    if odd:
        raise UnreadableData(
            f"The adapter in {adapter.folder} has {odd[0]} {given[odd[0]]!r}; ftlab goes on with "
            "plain LoRA adapters. Merge it into its model with peft, and give the result as model."
        )
    known = {name: given[name] for name in TAKEN if given.get(name) is not None}
    return LoraConfig(task_type="CAUSAL_LM", lora_dropout=dropout, **known)


def _difference(wanted: dict[str, tuple[int, ...]], adapter: Adapter) -> str:
    """The first tensor that is not as the model needs it."""
    for name in sorted({*wanted, *adapter.shapes}):
        needs, has = wanted.get(name), adapter.shapes.get(name)
        if needs != has:
            return f"{name} is {has or 'missing'}, and the model takes {needs or 'none'}"
    return ""


def _misfit(adapter: Adapter, what: str) -> UnreadableData:
    return UnreadableData(
        f"The adapter in {adapter.folder} does not fit the model: {what}. An adapter goes on with "
        "the model that it was trained on; name that one, or another adapter."
    )


def _values(adapter: Adapter) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    found = load_file(adapter.folder / WEIGHTS)
    values = {name: value for name, value in found.items() if not is_of_base(name)}
    bad = [name for name, value in values.items() if not value.isfinite().all()]
    if bad:
        raise UnreadableData(
            f"{adapter.folder / WEIGHTS} has values that are no numbers, in {len(bad)} of "
            f"{len(values)} tensors ({bad[0]}); all must be finite. Go on from an earlier one."
        )
    return values


def _trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


# --- the model before training ---------------------------------------------------------------


@contextlib.contextmanager
def reference_of(model: Any) -> Iterator[Any]:
    """The model as it was before training: with the adapter that it went on from as that was, or
    without a fresh one. Where all weights train, it is so before the first step alone."""
    start = getattr(model, "started_from", None)
    if start is not None:
        with _exchanged(model, start):
            yield model
    elif (off := getattr(model, "disable_adapter", None)) is not None:
        with off():
            yield model
    else:
        yield model


@contextlib.contextmanager
def _exchanged(model: Any, values: dict[str, torch.Tensor]) -> Iterator[None]:
    """The parameters with other values for a while; nothing is copied."""
    named = dict(model.named_parameters())
    own = {name: named[name].data for name in values}
    try:
        for name, value in values.items():
            named[name].data = value
        yield
    finally:
        for name, value in own.items():
            named[name].data = value
