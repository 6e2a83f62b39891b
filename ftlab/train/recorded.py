"""What a model says of a few fixed prompts at the moment when it is saved.

Whatever is made of the saved weights later must say the same; what was saved wrong, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ftlab.data.chat import IGNORED
from ftlab.files import replace_file
from ftlab.run_folder import RECORDED
from ftlab.train.batches import Example, Examples, Pair
from ftlab.train.device import is_out_of_memory
from ftlab.train.model import choose_dtype
from ftlab.train.samples import undisturbed
from ftlab.train.trainer import Trainer

N_PROMPTS, SHORTEST, LONGEST = 4, 8, 128  # prompts, and tokens of each
MOST = 2**20  # logits of one record: 4 MB


def fixed_prompts(asked: Sequence[Sequence[int]], rows: Examples) -> list[list[int]]:
    """Token ids: of the sample prompts, then of the first rows up to where they train."""
    some = (rows[i] for i in range(min(N_PROMPTS, len(rows))))
    found = [*asked, *(_prompt(row.chosen if isinstance(row, Pair) else row) for row in some)]
    return [list(ids[:LONGEST]) for ids in found[:N_PROMPTS]]


def _prompt(row: Example) -> list[int]:
    first = next((i for i, label in enumerate(row.labels) if label != IGNORED), 0)
    return list(row.ids[: max(first, SHORTEST)])


def recorded(trainer: Trainer, prompts: Sequence[Sequence[int]]) -> bytes:
    """The logits behind the last tokens of each prompt, as a safetensors file; nothing where no
    process has the whole model, or the memory does not suffice."""
    if trainer.scorer.is_sharded:
        return b""
    try:
        with undisturbed(trainer) as model:
            tensors = {**as_tensors(prompts), "logits": last_logits(model, prompts)}
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        return b""
    dtype = choose_dtype(trainer.spec, trainer.options, trainer.device)
    return save(tensors, {"dtype": str(dtype).removeprefix("torch.")})


def as_tensors(rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Token ids of several sequences, end to end."""
    ids = [token for row in rows for token in row]
    return {"ids": torch.tensor(ids), "lengths": torch.tensor([len(row) for row in rows])}


def last_logits(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """(rows, places, vocabulary) float32: what a model says at the last places of each sequence,
    at as many as `MOST` allows; one after the other, so that none is padded."""
    found = list[torch.Tensor]()
    for row in rows:
        logits = model(input_ids=torch.tensor([row], device=model.device)).logits[0]
        places = max(1, MOST // (logits.shape[-1] * len(rows)))
        found.append(logits[-min(places, *map(len, rows)) :].float().cpu())
    return torch.stack(found)


def keep_recorded(said: bytes | Path, file: Path) -> None:
    """Write a record, or copy that of a checkpoint; none is left where there is none."""
    if isinstance(said, Path):
        source = said / RECORDED
        said = source.read_bytes() if source.is_file() else b""
    if said:
        replace_file(file, said)
    else:
        file.unlink(missing_ok=True)
