"""Which layers of a model get an adapter."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.errors import FtlabError
from ftlab.models import tensor_shapes
from ftlab.spec import JobSpec, is_pattern, means, module_names

NAMED = 20  # layers that a message names at most


class Targets(NamedTuple):
    """What gets an adapter, in peft's words."""

    modules: str | list[str]
    parameters: list[str]
    """Weights of all experts of a layer in one tensor."""
    excluded: list[str]


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
    kinds = (torch.nn.Linear, transposed())
    return [n for n, m in model.named_modules() if isinstance(m, kinds) and m is not head]


def transposed() -> type:
    """GPT-2's linear layer, which holds its weights the other way round."""
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


def names_in_files(folder: Path) -> set[str]:
    """Paths of the layers as the files of a model have them."""
    return {name.removesuffix(".weight") for name in tensor_shapes(folder)}
