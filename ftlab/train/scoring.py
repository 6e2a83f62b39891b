"""What a model says of sequences: the cross-entropy of every trained token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from ftlab.train import attention, head, last
from ftlab.train.kernels.kernel import Kernel
from ftlab.train.layouts import Batch, Bundles, Layout, laid_out
from ftlab.train.sharded import is_sharded, with_whole_weights


class Losses(NamedTuple):
    """Of every trained token of a batch."""

    values: torch.Tensor
    """(trained,), cross-entropy in nats."""
    sequence: torch.Tensor
    """(trained,), which sequence the token is of, in the order of the bundles."""

    def means(self, n: int) -> torch.Tensor:
        """(n,) the mean of each of `n` sequences, 0 where nothing trains; without a way back."""
        values = self.values.detach().float()
        both = torch.stack([values, torch.ones_like(values)], dim=1)
        sums = both.new_zeros(n, 2).index_add(0, self.sequence, both)
        return sums[:, 0] / sums[:, 1].clamp(min=1)


@dataclass(frozen=True)
class Scorer:
    """A model and the way through it."""

    model: Any
    pad_id: int
    device: str
    kernel: Kernel | None = None
    """Keeps the sequences of a flat row apart; None where rows are padded."""
    own_head: bool = False
    """Whether the logits are made here, at the trained places alone, or by the model."""
    narrow: bool = False
    """Whether the last layer leaves out what is not of the trained places."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Kernel → why it is not the one."""
    remark: str = ""
    """What else is to be said of the way."""

    @property
    def layout(self) -> Layout:
        """How rows lie before the model."""
        return "padded" if self.kernel is None else "flat"

    @property
    def in_words(self) -> str:
        """How rows lie before the model, and why no better kernel keeps them apart."""
        reasons = "; ".join(f"{kernel}: {why}" for kernel, why in self.passed_over.items())
        found = "Rows are padded"
        if self.kernel is not None:
            found = f"Sequences lie end to end; {self.kernel.title} keeps them apart"
        because = f" ({reasons})" if reasons else ""
        return f"{found}{because}. {self.remark}".rstrip()

    @property
    def inner(self) -> Any:
        """The model of transformers, within its adapter."""
        return self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model

    @property
    def is_sharded(self) -> bool:
        """Whether the processes of the run compute every layer together."""
        return is_sharded(self.inner)

    def losses(self, bundles: Bundles) -> Losses:
        """The loss of each trained token."""
        batch = laid_out(bundles, self.layout, self.pad_id, self.device)
        values = self._by_own_head(batch) if self.own_head else self._by_model(batch)
        return Losses(values, batch.targets.sequence)

    def in_use(self, *, noting: bool = False) -> Scorer:
        """Make the model take its attention as this way needs it, `noting` its windows."""
        attention.use(self.inner, self.kernel or self.usual_attention, noting=noting)
        return self

    @contextlib.contextmanager
    def as_usual(self) -> Iterator[Any]:
        """The model with its usual attention, for rows that are padded."""
        attention.use(self.inner, self.usual_attention)
        last.look_at(None)
        try:
            yield self.model
        finally:
            self.in_use()

    @property
    def usual_attention(self) -> str:
        """What transformers would choose."""
        return "sdpa" if self.inner._supports_sdpa else "eager"

    def _by_own_head(self, batch: Batch) -> torch.Tensor:
        attention.attend_within(batch.segments)
        last.look_at(batch.targets.distinct if self.narrow else None, batch.ids.shape[1])
        return with_whole_weights(self.inner, partial(self._beside, batch))

    def _beside(self, batch: Batch) -> torch.Tensor:
        inner = self.inner
        hidden = inner.get_decoder()(**batch.inputs, use_cache=False).last_hidden_state
        chosen = hidden.flatten(0, 1).index_select(0, batch.targets.places)
        return head.losses(inner.get_output_embeddings(), chosen, batch.targets.tokens)

    def _by_model(self, batch: Batch) -> torch.Tensor:
        attention.attend_within(batch.segments)
        last.look_at(None)
        logits = self.inner(**batch.inputs, use_cache=False).logits.flatten(0, 1)
        chosen = logits.index_select(0, batch.targets.places).float()
        return cross_entropy(chosen, batch.targets.tokens, reduction="none")
