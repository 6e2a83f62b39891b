"""The base model in memory, as the trainer and the answering process both load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ftlab.errors import UnreadableData


def best_dtype(device: str) -> torch.dtype:
    """bfloat16 on GPUs that compute in it, float32 everywhere else."""
    on_gpu = device.startswith("cuda")
    half = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if half else torch.float32


def load_base(folder: Path, dtype: torch.dtype, device: str) -> Any:
    """The model of a folder. Raises UnreadableData when a weight is missing: transformers would
    fill it at random, and everything would seem to work."""
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM
    # The format is said: otherwise the file's own is taken, and float16 does not train.
    model, found = loader.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if missing:
        raise UnreadableData(
            f"{folder} lacks {len(missing)} of the weights that its config.json asks for "
            f"({missing[0]}, …); all must be there. Download or copy the model again."
        )
    return model.to(device)
