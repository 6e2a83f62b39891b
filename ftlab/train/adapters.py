"""The adapter on a model: which layers get one, one that goes on, and the model before training."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.errors import FtlabError, UnreadableData
from ftlab.model_files import tensor_shapes
from ftlab.origin import WEIGHTS, Adapter, read_adapter
from ftlab.spec import JobSpec, filled, is_pattern, means, module_names

NAMED = 20  # layers that a message names at most


class Targets(NamedTuple):
    """What gets an adapter, in peft's words."""

    modules: str | list[str]
    parameters: list[str]
    """Weights of all experts of a layer in one tensor."""
    excluded: list[str]


def new_adapter(model: Any, spec: JobSpec, folder: Path) -> Any:
    """The model of a folder with a fresh adapter; the spec's seed makes its first weights."""
    chosen = targets(model, spec, _names_in_files(folder))
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
        fan_in_fan_out=any(isinstance(module, _transposed()) for module in model.modules()),
    )


def _adapted(model: Any, config: Any) -> Any:
    from peft import get_peft_model

    return get_peft_model(model, config)


# --- which layers ----------------------------------------------------------------------------


def targets(model: Any, spec: JobSpec, in_files: Collection[str] = ()) -> Targets:
    """The layers that the spec's names and patterns mean.

    A pattern means linear layers but the output head, and experts; a name any layer that can have
    an adapter. `in_files` are paths as the model's files have them, where experts are layers of
    their own: peft knows those names too. Raises FtlabError for what means nothing.
    """
    linear, experts = linear_layers(model), expert_weights(model)
    layers = [*linear, *_others(model)]
    wanted = module_names(spec.lora_trainable_modules)
    excluded = _excluded(spec, [*layers, *experts])
    left_out = {path for path in experts if any(means(name, path) for name in excluded)}
    excluded = [name for name in excluded if any(means(name, path) for path in layers)]
    if wanted == ("all-linear",):
        if not left_out:
            return Targets("all-linear", [], excluded)
        wanted = ("*",)
    modules, parameters, unknown = list[str](), list[str](), list[str]()
    for name in wanted:
        found = [path for path in (linear if is_pattern(name) else layers) if means(name, path)]
        inside = [path for path in experts if means(name, path)]
        modules += found if is_pattern(name) else [name] if found or not inside else []
        parameters += inside
        if not found and not inside and not any(means(name, path) for path in in_files):
            unknown.append(name)
    if unknown:
        raise _unknown("lora_trainable_modules", unknown, [*layers, *experts])
    return Targets(modules, sorted({*parameters} - left_out), excluded)


def linear_layers(model: Any) -> list[str]:
    """Paths of all linear layers but the output head, also of those that GPT-2 calls Conv1D."""
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, _transposed())
    return [n for n, m in model.named_modules() if isinstance(m, kinds) and m is not head]


def _transposed() -> type:
    from transformers.pytorch_utils import Conv1D

    return Conv1D


def expert_weights(model: Any) -> set[str]:
    """Paths of tensors with one matrix per expert."""
    return {n for n, p in model.named_parameters() if p.ndim == 3 and ".experts." in f".{n}"}


def _others(model: Any) -> list[str]:
    """The output head and the embeddings, which get an adapter only by name."""
    named = [model.get_output_embeddings(), model.get_input_embeddings()]
    return [name for name, module in model.named_modules() if any(module is m for m in named)]


def _excluded(spec: JobSpec, paths: Collection[str]) -> list[str]:
    """The spec's exclusions; of patterns, which peft does not know, the paths that they mean."""
    meant = {
        name: [path for path in paths if means(name, path)] for name in spec.lora_exclude_modules
    }
    if unknown := [name for name, found in meant.items() if not found]:
        raise _unknown("lora_exclude_modules", unknown, paths)
    return [p for name, found in meant.items() for p in (found if is_pattern(name) else [name])]


def _unknown(field: str, names: Collection[str], layers: Collection[str]) -> FtlabError:
    """With the last parts of the paths that there are, and one path as an example."""
    known = list(dict.fromkeys(path.rpartition(".")[2] for path in layers))
    more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    return FtlabError(
        f"{field} names {', '.join(names)}; the model has {', '.join(known[:NAMED])}{more}, each "
        f"under a path such as {next(iter(layers), 'none')}. Use those names, or patterns of them."
    )


def _names_in_files(folder: Path) -> set[str]:
    return {name.removesuffix(".weight") for name in tensor_shapes(folder)}


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
    wanted = {n: tuple(t.shape) for n, t in get_peft_model_state_dict(model).items()}
    if difference := _difference(wanted, adapter):
        raise _misfit(adapter, difference)
    set_peft_model_state_dict(model, _values(adapter))
    model.started_from = {n: p.detach().clone() for n, p in _trained(model)}
    return model


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

    values = load_file(adapter.folder / WEIGHTS)
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
