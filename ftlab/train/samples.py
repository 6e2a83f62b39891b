"""Answers to the sample prompts by the model that trains, which notices nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import torch

from ftlab.data.chat import prompt_text
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer
from ftlab.errors import FtlabError
from ftlab.generation import end_ids, generate, generated
from ftlab.train.device import is_out_of_memory, random_state, set_random_state
from ftlab.train.model import autocast
from ftlab.train.trainer import Trainer

LONGEST = 128  # tokens of an answer
NO_ROOM = (
    "The memory did not suffice for the answers to sample_prompts, which are left out at this "
    "step; training goes on. Give fewer or shorter prompts."
)


class Sampler:
    """The prompts as the model sees them: by its chat template, or as they are without one."""

    def __init__(self, prompts: Sequence[str], tokenizer: Tokenizer, now: datetime) -> None:
        """Raises FtlabError for a prompt that the chat template refuses."""
        self._tokenizer = tokenizer
        self._ids = [_as_ids(prompt, tokenizer, now) for prompt in prompts]

    @property
    def prompts(self) -> list[list[int]]:
        """As token ids."""
        return self._ids

    def answers(self, trainer: Trainer, ends: Callable[[], bool]) -> list[str] | None:
        """The most likely answer to each, of at most `LONGEST` tokens; None when it `ends` before
        all are there, or when the memory does not suffice, which the trainer then notes."""
        longest = self._longest(trainer)
        try:
            self._tell(trainer, longest)
            with undisturbed(trainer) as model:
                found = generate(
                    model,
                    self._tokenizer,
                    self._ids,
                    longest,
                    stopping_criteria=[_when(ends)],
                    synced_gpus=trainer.scorer.is_sharded,
                )
        except RuntimeError as problem:
            if trainer.scorer.is_sharded or not is_out_of_memory(problem):
                raise
            trainer.notes.append(NO_ROOM)
            return None
        return None if ends() else [answer.text for answer in found]

    def _tell(self, trainer: Trainer, longest: int) -> None:
        """Where all processes compute a layer together, they answer together."""
        if trainer.scorer.is_sharded:
            tokenizer = self._tokenizer
            rest = {"pad_id": tokenizer.pad_id, "ends": end_ids(tokenizer)}
            told = {"prompts": self._ids, "max_tokens": longest, **rest}
            trainer.room.tell("answer", text=json.dumps(told))

    def _longest(self, trainer: Trainer) -> int:
        """Tokens that an answer may have, by the room that the model has. Raises FtlabError."""
        config = trainer.scorer.inner.config
        room = getattr(config, "max_position_embeddings", None) or 2**31
        prompt = max(map(len, self._ids))
        if prompt >= room:
            raise FtlabError(
                f"A prompt of sample_prompts has {prompt:,} tokens; the model takes {room:,} with "
                "its answer. Shorten it, or leave it out."
            )
        return min(LONGEST, room - prompt)


def answered(trainer: Trainer, **told: Any) -> None:
    """Do the same as the first process, which keeps the answers."""
    with undisturbed(trainer) as model:
        generated(model, **told, synced_gpus=True)


def _as_ids(prompt: str, tokenizer: Tokenizer, now: datetime) -> list[int]:
    if not prompt.strip():
        raise FtlabError("A prompt of sample_prompts is empty; each asks something. Leave it out.")
    if tokenizer.template_for(tools=False) is None:
        return [*tokenizer.prefix, *tokenizer.encode(prompt)[0]]
    try:
        text = prompt_text([{"role": "user", "content": prompt}], tokenizer, now=now)
    except CannotRender as exc:
        raise FtlabError(
            f"The prompt {prompt[:40]!r} of sample_prompts can't be asked ({exc}); the model's "
            "chat template must take it as a question. Change it, or leave it out."
        ) from exc
    return tokenizer.encode(text)[0]


@contextmanager
def undisturbed(trainer: Trainer) -> Iterator[Any]:
    """The model ready to answer; afterwards it goes on as if it had not been asked."""
    model, device = trainer.model, trainer.device
    was_training, before = model.training, random_state(device)
    model.eval()
    try:
        # Not inference_mode: what a layer keeps from it would be no good for training.
        with trainer.scorer.as_usual(), torch.no_grad(), _autocast(trainer):
            yield model
    finally:
        model.train(was_training)
        set_random_state(before, device)


def _autocast(trainer: Trainer) -> Any:
    return autocast(trainer.spec, trainer.options, trainer.device)


def _when(ends: Callable[[], bool]) -> Callable[..., torch.Tensor]:
    """The same as transformers asks it, of every row."""

    def done(ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((len(ids),), ends(), device=ids.device)

    return done
