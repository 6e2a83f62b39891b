"""Prompts in, answers out, as their tokens come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.data.problems import half_character, has_half_character
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import FtlabError
from ftlab.generation import Answer, end_ids, generate
from ftlab.infer.loaded import Loaded
from ftlab.infer.spoken import Pieces

COLDEST = 1e-5
"""Below that logits grow beyond float32, and what is drawn is the most likely token anyway."""
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
        if self.temperature < COLDEST:
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
        self.models = Loaded(folder, device)
        self.still_wanted: Callable[[], None] = lambda: None
        """Is called after each token, and raises where nobody wants the rest; who does something
        else that lasts calls it, too."""

    def answer(
        self,
        prompts: Sequence[str],
        name: str,
        *,
        add_special_tokens: bool = False,
        heard: Heard = lambda _at, _piece: None,
        **sampling: Any,
    ) -> list[Answer]:
        """Answers to texts that are rendered already, in one batch, drawn by `Sampling`; `name` is
        the folder of an adapter or of a whole model, or "base". Plain text takes
        `add_special_tokens`; what a chat template wrote has them in it. `heard` hears them as they
        come. Raises FtlabError for one prompt that leaves no room for an answer; rows of data are
        taken as they are."""
        how = Sampling(**sampling)
        prefix = list(self.tokenizer.prefix) if add_special_tokens else []
        ids = [prefix + self._ids_of(text) for text in prompts]
        if not all(ids):
            raise FtlabError(
                "The prompt is empty; a model goes on from at least one token. Write one."
            )
        pieces = [Pieces(self._text_of, set(end_ids(self.tokenizer))) for _ in prompts]

        def step(so_far: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            self.still_wanted()
            for at, token in enumerate(so_far[:, -1].tolist()):
                if piece := pieces[at].after(token):
                    heard(at, piece)
            return torch.zeros(len(so_far), dtype=torch.bool, device=so_far.device)

        with self.models.switched(name) as model, torch.inference_mode():
            longest = how.max_tokens if ids[1:] else min(how.max_tokens, self._room(model, ids[0]))
            torch.manual_seed(how.seed)
            found = generate(
                model, self.tokenizer, ids, longest, stopping_criteria=[step], **how.settings
            )
        for at, one in enumerate(pieces):
            if piece := one.rest():
                heard(at, piece)
        return [a._replace(text=p.said, n_prompt=len(i)) for a, p, i in zip(found, pieces, ids)]  # noqa: B905

    def _ids_of(self, text: str) -> list[int]:
        if has_half_character(text):
            raise FtlabError(half_character("The prompt"))
        return self.tokenizer.encode(text)[0]

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
