"""Answers of a model in memory to prompts that are token ids already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from ftlab.data.chat import closing_text
from ftlab.data.tokens import Tokenizer


class Answer(NamedTuple):
    """What the model wrote."""

    text: str
    n_tokens: int
    finish_reason: str
    """"stop" when it ended by itself, "length" when max_tokens ended it."""
    n_prompt: int = 0
    """Tokens that it answers."""


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    **settings: Any,
) -> list[Answer]:
    """An answer to each prompt, all in one batch; `settings` are those of transformers' generate,
    and without any the most likely token is taken each time."""
    ends = end_ids(tokenizer)
    rows = generated(model, prompts, max_tokens, tokenizer.pad_id, ends, **settings)
    return [_read(row, tokenizer) for row in rows]


def generated(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    pad_id: int,
    ends: Sequence[int],
    **settings: Any,
) -> list[list[int]]:
    """The same as token ids, padded behind the first that `ends` an answer."""
    ids, mask = _padded(prompts, pad_id)
    with _as_asked(model):
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_tokens,
            eos_token_id=[*ends],
            pad_token_id=pad_id,
            **{"do_sample": False, "use_cache": True, **settings},
        )
    return output[:, ids.shape[1] :].tolist()


@contextlib.contextmanager
def _as_asked(model: Any) -> Iterator[None]:
    """Without what its folder asks for besides (generation_config.json), such as a penalty on
    repetition: the most likely token is then another one, and two models may differ in it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = inner.generation_config
    inner.generation_config = type(own)()
    try:
        yield
    finally:
        inner.generation_config = own


def end_ids(tokenizer: Tokenizer) -> list[int]:
    """The tokens that end an answer: EOS, and what the chat template closes a turn with."""
    closing = closing_text(tokenizer)
    found = tokenizer.backend.token_to_id(closing) if closing else None
    return sorted({i for i in (found, tokenizer.eos_id) if i is not None})


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, tokens) ids and mask, padded on the left so that all answers start together."""
    longest = max(map(len, rows))
    ids = [[pad] * (longest - len(row)) + [*row] for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def _read(ids: list[int], tokenizer: Tokenizer) -> Answer:
    ends = set(end_ids(tokenizer))
    stop = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids if stop is None else ids[:stop]
    text = tokenizer.backend.decode(kept, skip_special_tokens=True)
    return Answer(text, len(kept), "length" if stop is None else "stop")
