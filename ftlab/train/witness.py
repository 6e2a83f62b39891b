"""The tuned model as the trainer has it, and what it says: the reference that an export is held
against."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from ftlab.base import load_base
from ftlab.spec import JobSpec
from ftlab.train.adapters import old_adapter
from ftlab.train.fused import fuse
from ftlab.train.quantised import quantization_config, take_what_bits_stand_for
from ftlab.train.recorded import as_tensors, last_logits

N_GREEDY = 64  # tokens that follow each prompt, each the most likely one
N_BEFORE = 8  # places of the prompt that are compared, too

Logits = list[torch.Tensor]
"""Of each sequence (places, vocabulary), float32."""


class Record(NamedTuple):
    """What the model said when it was saved."""

    prompts: list[list[int]]
    logits: torch.Tensor
    dtype: torch.dtype
    """What it was computed in."""


class Bits(NamedTuple):
    """How a base in few bits trained."""

    dtype: torch.dtype
    """What it was computed in; its weights were rounded to that first."""
    device: str
    """One that can read them."""


def read_record(file: Path) -> Record | None:
    """None where nothing was recorded."""
    if not file.is_file():
        return None
    with safe_open(file, framework="pt") as found:
        ids, lengths = (found.get_tensor(name).tolist() for name in ("ids", "lengths"))
        dtype = getattr(torch, found.metadata()["dtype"])
        return Record(_split(ids, lengths), found.get_tensor("logits"), dtype)


def _split(ids: list[int], lengths: list[int]) -> list[list[int]]:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [ids[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def tuned_model(spec: JobSpec, tuned: Path, base: Path, dtype: torch.dtype, device: str) -> Any:
    """What was tuned, held as it is while it trains in `dtype`."""
    if spec.lora is False:
        return load_base(tuned, dtype, device).eval()
    quantization = quantization_config(spec, dtype, device)
    return _with_adapter(load_base(base, dtype, device, quantization), spec, tuned)


def tuned_in_bits(
    spec: JobSpec, tuned: Path, base: Path, dtype: torch.dtype, device: str, few: Bits
) -> Any:
    """What was tuned on a base in few bits, in `dtype`: its weights are what those bits stand for,
    with an adapter."""
    bare = load_base(base, dtype, device)
    quantization = quantization_config(spec, few.dtype, few.device)
    take_what_bits_stand_for(bare, load_base(base, few.dtype, few.device, quantization))
    gc.collect()  # layers of four bits know themselves
    return _with_adapter(bare, spec, tuned)


def _with_adapter(bare: Any, spec: JobSpec, tuned: Path) -> Any:
    model = old_adapter(bare, spec.changed(from_checkpoint=str(tuned)))
    fuse(model)
    return model.eval()


def recorded_again(model: Any, record: Record, *, trains_all: bool) -> torch.Tensor:
    """The same logits from a model that was loaded."""
    kind = next(model.parameters()).device.type
    lower = trains_all and record.dtype != torch.float32  # as the trainer computes it
    with torch.no_grad(), torch.autocast(kind, record.dtype, enabled=lower):
        found = last_logits(model, record.prompts)
    return found[:, -record.logits.shape[1] :]


@torch.no_grad()
def continued(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Each prompt with the tokens that the model finds most likely, also beyond the end of an
    answer."""
    room = getattr(model.config, "max_position_embeddings", None) or 2**31
    found = list[list[int]]()
    for prompt in prompts:
        ids, past = list(prompt), None
        step = torch.tensor([ids], device=model.device)
        for _ in range(min(N_GREEDY, room - len(prompt))):
            said = model(input_ids=step, past_key_values=past, use_cache=True)
            past, step = said.past_key_values, said.logits[:, -1:].argmax(-1)
            ids.append(int(step))
        found.append(ids)
    return found


@torch.no_grad()
def said(model: Any, rows: Sequence[Sequence[int]], starts: Sequence[int]) -> Logits:
    """The logits behind the last tokens of each prompt and behind all that follow it."""
    found = Logits()
    for row, start in zip(rows, starts, strict=True):
        logits = model(input_ids=torch.tensor([row], device=model.device)).logits[0]
        found.append(logits[max(start - 1 - N_BEFORE, 0) :].float().cpu())
    return found


def as_file(rows: Sequence[Sequence[int]], starts: Sequence[int], **logits: Logits) -> Any:
    """What a proof reads: the sequences, where what follows begins, and logits by name."""
    tensors = {**as_tensors(rows), "starts": torch.tensor(starts)}
    for name, found in logits.items():
        tensors |= {f"{name}.{i}": value.contiguous() for i, value in enumerate(found)}
    return tensors


def largest_difference(some: Sequence[Any], others: Sequence[Any]) -> float:
    """Between the logits of two models; NaN where one of them is."""
    pairs = zip(some, others, strict=True)
    return max(((one - other).abs().max() for one, other in pairs), key=_nan_first).item()


def _nan_first(value: torch.Tensor) -> float:
    return float("inf") if value.isnan() else value.item()
