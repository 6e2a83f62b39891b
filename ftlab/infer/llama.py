"""A GGUF file as llama.cpp itself reads it, where its Python package is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

FLOAT32 = 0
"""As ggml numbers formats."""


class Llama:
    """The model of a file, on the CPU; what it remembers of a sequence is held in float32."""

    def __init__(self, file: Path, longest: int) -> None:
        import llama_cpp  # pyright: ignore[reportMissingImports]

        self.version = f"llama-cpp-python {llama_cpp.__version__}"
        self._model: Any = llama_cpp.Llama(
            str(file),
            n_ctx=longest + 8,
            n_gpu_layers=0,
            logits_all=True,
            type_k=FLOAT32,
            type_v=FLOAT32,
            verbose=False,
        )

    def tokens(self, text: str) -> list[int]:
        return self._model.tokenize(text.encode(), add_bos=False, special=True)

    def said(self, ids: list[int]) -> torch.Tensor:
        """(places, vocabulary): the logits behind every token of a sequence."""
        self._model.reset()
        self._model.eval(ids)
        return torch.from_numpy(self._model.scores[: len(ids)].copy())
