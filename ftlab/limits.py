"""What an engine accepts for a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ftlab.spec import ENGINES, Engine

ABOUT = ("engine", "source", "as_of")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine accepts for a model; None is unknown, and then nothing is checked."""

    min_batch_size: int | None = None
    max_batch_size: int | None = None
    max_batch_size_dpo: int | None = None
    min_batch_size_full: int | None = None
    """The batch sizes again, for training all weights."""
    max_batch_size_full: int | None = None
    max_batch_size_dpo_full: int | None = None
    default_lora_r: int | None = None
    max_lora_r: int | None = None
    lora_trainable_modules: tuple[str, ...] = ()
    min_learning_rate: float | None = None
    max_learning_rate: float | None = None
    max_n_epochs: int | None = None
    max_n_evals: int | None = None
    max_n_checkpoints: int | None = None
    min_max_seq_length: int | None = None
    """The least that max_seq_length may be."""
    max_seq_length_sft: int | None = None
    max_seq_length_dpo: int | None = None
    default_gradient_accumulation_steps: int | None = None
    lora: bool | None = None
    """Whether an adapter can be trained."""
    full: bool | None = None
    """Whether all weights can be trained."""
    vision: bool | None = None
    """Whether the model sees images."""
    no_low_bits: str | None = None
    """Why weights and an optimizer's states can't be held in 8 or 4 bits; None when they can."""
    engine: Engine | None = None
    """Who refuses what lies outside; None is everybody."""
    source: str = ""
    as_of: str = ""
    """When somebody wrote them down; empty when they were read just now."""

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Who refuses what lies outside."""
        return ENGINES if self.engine is None else (self.engine,)

    def batch_sizes(
        self, training_method: str = "sft", *, lora: bool = True
    ) -> tuple[int | None, int | None]:
        """The smallest and the largest batch_size."""
        low, sft, dpo = self.min_batch_size, self.max_batch_size, self.max_batch_size_dpo
        if not lora:
            low, sft = self.min_batch_size_full, self.max_batch_size_full
            dpo = self.max_batch_size_dpo_full
        if dpo is None and sft is not None:
            # What the service's client took while the service did not say it (together 1.5.34).
            dpo = max(low or 1, sft // 2 // 8 * 8)
        return low, dpo if training_method == "dpo" else sft

    def longest_sequence(self, training_method: str = "sft") -> int | None:
        """The most that max_seq_length may be."""
        return self.max_seq_length_dpo if training_method == "dpo" else self.max_seq_length_sft

    def over(self, others: Limits | None) -> Limits:
        """These, and where they are unknown the others: the service's reply over a catalogue."""
        if others is None:
            return self
        unknown = {
            field.name: getattr(others, field.name)
            for field in fields(self)
            if getattr(self, field.name) in (None, (), "") and field.name not in ABOUT
        }
        taken = {name: value for name, value in unknown.items() if value not in (None, ())}
        if not taken:
            return self
        source = "; ".join(filter(None, (self.source, f"what it leaves out: {others.told()}")))
        return replace(self, **taken, source=source)

    def told(self) -> str:
        """The source and its date: "docs.together.ai, 2026-02-13"."""
        return ", ".join(filter(None, (self.source, self.as_of)))

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> Limits:
        """From the service's own answer to GET /v1/fine-tunes/models/limits; what is missing in it,
        or is of no use, stays unknown."""
        adapters, weights = _part(reply, "lora_training"), _part(reply, "full_training")
        is_whole = "lora_training" in reply
        # Where all weights can't be trained, their part is missing, null, or all zeros.
        has_full = bool(_count(weights, "max_batch_size")) and (
            reply.get("supports_full_training") is not False
        )
        modules = adapters.get("target_modules")
        vision = reply.get("supports_vision")
        return cls(
            min_batch_size=_count(adapters, "min_batch_size"),
            max_batch_size=_count(adapters, "max_batch_size"),
            max_batch_size_dpo=_count(adapters, "max_batch_size_dpo"),
            min_batch_size_full=_count(weights, "min_batch_size"),
            max_batch_size_full=_count(weights, "max_batch_size"),
            max_batch_size_dpo_full=_count(weights, "max_batch_size_dpo"),
            default_lora_r=_count(adapters, "default_rank"),
            max_lora_r=_count(adapters, "max_rank"),
            lora_trainable_modules=tuple(m for m in modules if isinstance(m, str))
            if isinstance(modules, (list, tuple))
            else (),
            min_learning_rate=_number(reply, "min_learning_rate"),
            max_learning_rate=_number(reply, "max_learning_rate"),
            max_n_epochs=_count(reply, "max_num_epochs"),
            max_n_evals=_count(reply, "max_num_evals"),
            max_n_checkpoints=_count(reply, "max_num_checkpoints"),
            min_max_seq_length=_count(reply, "min_max_seq_length"),
            max_seq_length_sft=_count(reply, "max_seq_length_sft"),
            max_seq_length_dpo=_count(reply, "max_seq_length_dpo"),
            default_gradient_accumulation_steps=_count(
                reply, "default_gradient_accumulation_steps"
            ),
            lora=bool(adapters) if is_whole else None,
            full=has_full if is_whole or "full_training" in reply else None,
            vision=vision if isinstance(vision, bool) else None,
            engine="together",
            source="the service's own limits",
        )


def _part(reply: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = reply.get(name)
    return part if isinstance(part, Mapping) else {}


def _count(reply: Mapping[str, Any], name: str) -> int | None:
    """A whole number above 0; anything else is unknown."""
    value = reply.get(name)
    return value if type(value) is int and value > 0 else None


def _number(reply: Mapping[str, Any], name: str) -> float | None:
    """A number above 0; anything else is unknown."""
    value = reply.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return value
    return None
