"""One base model in memory, and any number of adapters switched on and off on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ftlab.base import best_dtype, load_base
from ftlab.data.tokens import load_tokenizer
from ftlab.generation import Answer, generate

BASE = "base"


class Answerer:
    """Answers prompts with the base model, with an adapter on it, or with another whole model."""

    def __init__(self, folder: Path, device: str) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.device = device
        self._model = load_base(folder, best_dtype(device), device).eval()
        self._adapters: dict[str, str] = {}
        self._other: tuple[str, Any] = "", None
        """The folder and the model of which all weights were tuned that answered last."""

    def answer(
        self,
        prompts: Sequence[str],
        adapter: str,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        add_special_tokens: bool = False,
    ) -> list[Answer]:
        """Answers to texts that are rendered already, in one batch; `adapter` is the folder of an
        adapter or of a whole model, or "base". At temperature 0 the most likely token is taken each
        time. Plain text takes `add_special_tokens`; what a chat template wrote has them in it."""
        prefix = list(self.tokenizer.prefix) if add_special_tokens else []
        ids = [prefix + self.tokenizer.encode(text)[0] for text in prompts]
        torch.manual_seed(seed)
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
        with self.switched(adapter) as model, torch.inference_mode():
            return generate(model, self.tokenizer, ids, max_tokens, **sampling)

    @contextlib.contextmanager
    def switched(self, adapter: str) -> Iterator[Any]:
        """The model with one adapter on, or with none."""
        if adapter == BASE:
            off = self._model.disable_adapter() if self._adapters else contextlib.nullcontext()
            with off:
                yield self._model
            return
        if not (Path(adapter) / "adapter_config.json").is_file():
            if self._other[0] != adapter:
                self._other = "", None  # the old one goes before the new one comes
                model = load_base(Path(adapter), best_dtype(self.device), self.device)
                self._other = adapter, model.eval()
            yield self._other[1]
            return
        self._load(adapter)
        self._model.set_adapter(self._adapters[adapter])
        yield self._model

    def _load(self, adapter: str) -> None:
        if adapter in self._adapters:
            return
        from peft import PeftModel

        name = f"adapter{len(self._adapters)}"
        if self._adapters:
            self._model.load_adapter(adapter, adapter_name=name)
        else:
            self._model = PeftModel.from_pretrained(self._model, adapter, adapter_name=name)
        self._model.eval()
        self._adapters[adapter] = name
