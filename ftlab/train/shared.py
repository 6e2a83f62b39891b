"""What the arms of a sweep have in common in memory: rows, weights, and where they begin."""

from __future__ import annotations

import copy
import json
from itertools import chain
from typing import Any

import torch

from ftlab.events import Metrics, RowLosses
from ftlab.job import Job, LocalOptions
from ftlab.spec import JobSpec, filled
from ftlab.train.loop import Prepared, Read, made, read
from ftlab.train.model import load_bare
from ftlab.train.parallel import Room
from ftlab.train.quantised import how_bits_are_read

OF_STEPS = (
    *("learning_rate", "lr_scheduler_type", "warmup_ratio", "min_lr_ratio", "scheduler_num_cycles"),
    *("max_grad_norm", "weight_decay", "optimizer", "adam_beta1", "adam_beta2", "adam_epsilon"),
)
"""What nobody notices before the first step."""
OF_ADAPTERS = (
    *("lora_r", "lora_alpha", "lora_dropout", "lora_trainable_modules", "lora_exclude_modules"),
    *("use_rslora", "use_dora", "neftune_noise_alpha"),
)
"""What rows do not depend on, nor what the base says of them."""


class Shared:
    """What was read and loaded for one arm, for the others. Whatever is not known to be the same
    for two arms is made anew."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._read: dict[str, Read] = {}
        self._before: dict[str, list[Metrics | RowLosses]] = {}
        self._bases: dict[str, Any] = {}

    def prepared(self, job: Job) -> Prepared:
        """A job that is ready for its first step, as it would be by itself. Raises FtlabError when
        it can't run."""
        spec = job.spec
        torch.manual_seed(filled(spec.random_seed, "random_seed"))
        rows = _without(spec, *OF_STEPS, *OF_ADAPTERS)
        if rows not in self._read:
            self._read[rows] = read(job)
        found = self._read[rows]
        trainer = made(job, self.device, found.tokenizer.pad_id, Room(), self._bare(job))
        before = self._before.setdefault(_without(spec, *OF_STEPS), [])
        return Prepared.of(trainer, found, before)

    def _bare(self, job: Job) -> Any:
        """The base model; where only adapters train, its weights are those of all arms."""
        spec, options = job.spec, LocalOptions(**job.options)
        if spec.lora is False:
            return load_bare(spec, options, self.device)
        key = json.dumps([spec.model, spec.hf_model_revision, spec.quantization])
        if key not in self._bases:
            self._bases[key] = load_bare(spec, options, self.device)
        return with_same_weights(self._bases[key])


def with_same_weights(model: Any) -> Any:
    """Another model of the same tensors: what is put on its modules is its own."""
    same = chain(model.parameters(), model.buffers(), how_bits_are_read(model))
    return copy.deepcopy(model, {id(one): one for one in same})


def _without(spec: JobSpec, *fields: str) -> str:
    return spec.model_dump_json(exclude={*fields})
