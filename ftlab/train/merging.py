"""An adapter merged into its model, layer by layer, and what was tuned written anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from ftlab.adapter_files import CONFIG, WEIGHTS

SHARD = "5GB"
BESIDE = ("*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "NOTICE*", "USE_POLICY*")
"""What comes with a model: its tokenizer, its templates, its licence."""
OF_WEIGHTS = ("config.json", "adapter_config.json", "training.json", "manifest.json")
TEMPLATES = "additional_chat_templates"


def merged(model: Any) -> Any:
    """The model of transformers with its adapter in its weights. They are added up in float32, one
    layer after the other, whatever the model is held in."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    _untie(model)
    for layer in [m for m in model.modules() if isinstance(m, BaseTunerLayer)]:
        own = list(layer.get_base_layer().parameters())
        formats = [parameter.dtype for parameter in own]
        for parameter in own:
            parameter.data = parameter.data.float()
        layer.merge()
        for parameter, dtype in zip(own, formats, strict=True):
            parameter.data = parameter.data.to(dtype)
    return model.unload()


def _untie(model: Any) -> None:
    """Where only one of embeddings and head has an adapter, they are two matrices from now on."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    inner = model.get_base_model()
    ends = inner.get_input_embeddings(), inner.get_output_embeddings()
    adapted = [isinstance(end, BaseTunerLayer) for end in ends]
    first, last = (
        end.get_base_layer() if is_adapted else end
        for end, is_adapted in zip(ends, adapted, strict=True)
    )
    if not any(adapted) or last is None or last.weight is not first.weight:
        return
    last.weight = torch.nn.Parameter(first.weight.detach().clone(), requires_grad=False)
    inner.config.tie_word_embeddings = False


def round_to(model: Any, dtype: torch.dtype, only: str = "") -> None:
    """Round the parameters whose names hold `only`; buffers stay, which no file has."""
    for name, parameter in model.named_parameters():
        if only in name and parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def write_model(model: Any, folder: Path, base: Path) -> None:
    """Write a whole model with all that comes with it."""
    from transformers import GenerationConfig

    # Its own settings come as a file: what a model's maker wrote, transformers may not write.
    model.generation_config = GenerationConfig.from_model_config(model.config)
    model.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)
    copy_beside(base, folder)


def write_adapter(
    tuned: Path, folder: Path, base: Path, dtype: torch.dtype | None, names: dict[str, Any]
) -> None:
    """Write an adapter with a tokenizer; `names` say in its settings what its model is."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    copy_beside(base, folder)
    config = json.loads((tuned / CONFIG).read_text(encoding="utf-8"))
    text = json.dumps({**config, **names}, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    if dtype is None:
        shutil.copyfile(tuned / WEIGHTS, folder / WEIGHTS)
        return
    with safe_open(tuned / WEIGHTS, framework="pt") as found:
        tensors = {name: found.get_tensor(name).to(dtype) for name in found.keys()}  # noqa: SIM118
        save_file(tensors, folder / WEIGHTS, found.metadata())


def copy_beside(base: Path, folder: Path) -> None:
    """Copy what comes with a model, without its weights and their settings."""
    for pattern in BESIDE:
        for file in base.glob(pattern):
            if file.name not in OF_WEIGHTS and not file.name.endswith(".index.json"):
                shutil.copyfile(file, folder / file.name)
    if (base / TEMPLATES).is_dir():
        shutil.copytree(base / TEMPLATES, folder / TEMPLATES, dirs_exist_ok=True)
