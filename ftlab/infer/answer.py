"""One base model in memory, and any number of adapters switched on and off on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.base import best_dtype, load_base
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import FtlabError
from ftlab.generation import Answer, end_ids, generate
from ftlab.infer.spoken import Pieces

BASE = "base"
MOST_ADAPTERS = 8  # kept in memory; one of rank 64 takes a fiftieth of its model

Heard = Callable[[int, str], None]
"""Hears the place of an answer among those of a batch, and the next piece of its text."""


class Sampling(NamedTuple):
    """How answers are drawn; at temperature 0 the most likely token is taken each time."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The same for transformers' generate. Its own limit of 50 tokens to choose from is off:
        what is drawn from is what was asked for."""
        if not self.temperature:
            return {}
        return {
            "do_sample": True,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0,
        }


class Answerer:
    """Answers prompts with the base model, with an adapter on it, or with another whole model."""

    def __init__(self, folder: Path, device: str) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.device = device
        self.still_wanted: Callable[[], None] = lambda: None
        """Is called after each token, and raises where nobody wants the rest; who does something
        else that lasts calls it, too."""
        self._model = load_base(folder, best_dtype(device), device).eval()
        self._adapters: dict[tuple[str, int], str] = {}
        """(folder, when it was written) → peft's name of it, the oldest first."""
        self._n_loaded = 0
        self._other: tuple[str, Any] = "", None
        """The folder and the model of which all weights were tuned that answered last."""

    def answer(
        self,
        prompts: Sequence[str],
        adapter: str,
        *,
        add_special_tokens: bool = False,
        heard: Heard = lambda _at, _piece: None,
        **sampling: Any,
    ) -> list[Answer]:
        """Answers to texts that are rendered already, in one batch, drawn by `Sampling`; `adapter`
        is the folder of an adapter or of a whole model, or "base". Plain text takes
        `add_special_tokens`; what a chat template wrote has them in it. `heard` hears them as they
        come. Raises FtlabError for one prompt that leaves no room for an answer; rows of data are
        taken as they are."""
        how = Sampling(**sampling)
        prefix = list(self.tokenizer.prefix) if add_special_tokens else []
        ids = [prefix + self.tokenizer.encode(text)[0] for text in prompts]
        pieces = [Pieces(self._text_of, set(end_ids(self.tokenizer))) for _ in prompts]

        def step(so_far: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            self.still_wanted()
            for at, token in enumerate(so_far[:, -1].tolist()):
                if piece := pieces[at].after(token):
                    heard(at, piece)
            return torch.zeros(len(so_far), dtype=torch.bool, device=so_far.device)

        with self.switched(adapter) as model, torch.inference_mode():
            longest = how.max_tokens if ids[1:] else min(how.max_tokens, self._room(model, ids[0]))
            torch.manual_seed(how.seed)
            found = generate(
                model, self.tokenizer, ids, longest, stopping_criteria=[step], **how.settings
            )
        for at, one in enumerate(pieces):
            if piece := one.rest():
                heard(at, piece)
        return [a._replace(text=p.said, n_prompt=len(i)) for a, p, i in zip(found, pieces, ids)]  # noqa: B905

    def _text_of(self, ids: list[int]) -> str:
        return self.tokenizer.backend.decode(ids, skip_special_tokens=True)

    def _room(self, model: Any, ids: list[int]) -> int:
        """Tokens that the model takes after these."""
        most = getattr(model.config, "max_position_embeddings", None) or 2**31
        if len(ids) >= most:
            raise FtlabError(
                f"The prompt has {len(ids):,} tokens; the model takes {most:,} with its answer. "
                "Shorten it, or begin a new chat."
            )
        return most - len(ids)

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
        name = self._load(adapter)  # the first one makes another model of it
        self._model.set_adapter(name)
        yield self._model

    def _load(self, adapter: str) -> str:
        """The name under which it is loaded, as its file is now."""
        weights = Path(adapter) / "adapter_model.safetensors"
        key = adapter, weights.stat().st_mtime_ns
        if key in self._adapters:
            return self._adapters[key]
        from peft import PeftModel

        self._n_loaded += 1
        name = f"adapter{self._n_loaded}"
        if self._adapters:
            self._model.load_adapter(adapter, adapter_name=name)
        else:
            self._model = PeftModel.from_pretrained(self._model, adapter, adapter_name=name)
        self._model.eval()
        self._adapters[key] = name
        while len(self._adapters) > MOST_ADAPTERS:
            self._model.delete_adapter(self._adapters.pop(next(iter(self._adapters))))
        return name
