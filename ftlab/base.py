"""The base model in memory, as the trainer and the answering process both load it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ftlab.errors import UnreadableData
from ftlab.model_files import folder_info
from ftlab.number_formats import Shape, is_faster, remember, shape_of

FASTER = 1.5
"""How much less time the products must take in bfloat16: besides them much stays in float32."""
ROWS, TRIES = 256, 3
STORED = {"BF16": torch.bfloat16, "F16": torch.float16}
"""As safetensors names formats."""


def best_dtype(device: str, folder: Path | None = None) -> torch.dtype:
    """What a model is best computed with on a device.

    bfloat16 on GPUs made for it and float16 on older ones; on a CPU bfloat16 where products of
    the model's own size are much faster in it, as measured; float32 everywhere else.
    """
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            modern = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if modern else torch.float16
    return _best_on_cpu(folder) if device == "cpu" and folder is not None else torch.float32


@lru_cache(maxsize=8)  # every piece of a step asks
def _best_on_cpu(folder: Path) -> torch.dtype:
    shape = shape_of(folder_info("", folder))
    return torch.bfloat16 if shape and _is_faster_in_bfloat16(shape) else torch.float32


def needs_scaling(dtype: torch.dtype) -> bool:
    """Whether gradients in it get lost unless the loss is scaled up (torch.amp.GradScaler)."""
    return dtype == torch.float16


def stored_format(folder: Path) -> torch.dtype:
    """What all weights of a folder are stored in; float32 where that is not one format."""
    from safetensors import safe_open

    found = set[str]()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            found |= {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    return STORED.get(found.pop(), torch.float32) if len(found) == 1 else torch.float32


def _is_faster_in_bfloat16(shape: Shape) -> bool:
    """Measured once on each machine."""
    faster = is_faster(shape)
    if faster is None:
        single, half = (_seconds(shape, dtype) for dtype in (torch.float32, torch.bfloat16))
        faster = single > FASTER * half
        remember(shape, faster=faster)
    return faster


def _seconds(shape: Shape, dtype: torch.dtype) -> float:
    """What the product of some rows with a layer takes at best."""
    rows, layer = (torch.ones(n, shape[0], dtype=dtype) for n in (ROWS, shape[1]))
    times = []
    for _ in range(TRIES + 1):  # the first one sets things up
        began = time.perf_counter()
        torch.nn.functional.linear(rows, layer)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def load_base(folder: Path, dtype: torch.dtype, device: str, quantization: Any = None) -> Any:
    """The model of a folder, with its linear layers in few bits if transformers is told how.

    Raises UnreadableData when a weight is missing: transformers would fill it at random, and
    everything would seem to work.
    """
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM
    settings = {} if quantization is None else {"quantization_config": quantization}
    if settings:  # it is quantised where it will stay
        settings["device_map"] = {"": device}
    # The format is said: otherwise the file's own is taken, and float16 does not train.
    model, found = loader.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **settings
    )
    missing = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if missing:
        raise UnreadableData(
            f"{folder} lacks {len(missing)} of the weights that its config.json asks for "
            f"({missing[0]}, …); all must be there. Download or copy the model again."
        )
    return model if settings else model.to(device)
