"""What the steps of one run share: the loss of rows, one optimizer step, an evaluation."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ftlab.events import Metrics
from ftlab.job import LocalOptions
from ftlab.spec import JobSpec
from ftlab.train.batches import Examples, Pair, Row, pieces
from ftlab.train.methods import Method, method_of
from ftlab.train.methods.method import Loss
from ftlab.train.model import autocast, trainable
from ftlab.train.scoring import Scorer


@dataclass
class Trainer:
    """What the steps of one run share."""

    spec: JobSpec
    options: LocalOptions
    scorer: Scorer
    optimizer: torch.optim.Optimizer

    @property
    def model(self) -> Any:
        return self.scorer.model

    @property
    def device(self) -> str:
        return self.scorer.device

    @cached_property
    def method(self) -> Method:
        return method_of(self.spec)

    def pieces(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The rows in pieces that fit in memory."""
        return pieces(rows, self.options.micro_batch_size, padded=self.scorer.layout == "padded")

    def loss(self, piece: Sequence[Row]) -> Loss:
        """The method's loss of some rows, computed in the format of the device."""
        with autocast(self.spec, self.options, self.device):
            return self.method.loss(self.scorer, piece)

    def refer(self, rows: Sequence[Row]) -> None:
        """Note what the model said of the rows before training, where nobody has yet."""
        if self.method.needs_reference:
            unseen = [row for row in rows if isinstance(row, Pair) and row.reference is None]
            if not unseen:
                return
            with autocast(self.spec, self.options, self.device):
                self.method.refer(self.scorer, self.pieces(unseen))

    def step(self, rows: Sequence[Row], learning_rate: float) -> dict[str, float]:
        """One optimizer step; the loss is the mean over what the method counts."""
        began, loss, sums = time.perf_counter(), 0.0, Counter[str]()
        self.refer(rows)
        divisor = max(self.method.divisor(rows), 1)
        for piece in self.pieces(rows):
            found = self.loss(piece)
            part = found.total / divisor
            part.backward()
            loss += part.item()
            sums.update(found.sums)
        limit = self.spec.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(trainable(self.model), limit)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        values = {
            "train_loss": loss,
            "grad_norm": norm.item(),
            "learning_rate": learning_rate,
            "loss_tokens": sum(row.n_trained for row in rows),
            "tokens_per_second": sum(row.n_tokens for row in rows) / (time.perf_counter() - began),
            **_means(sums, divisor),
        }
        if self.device.startswith("cuda"):
            values["gpu_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
        return values

    def evaluate(
        self, step: int, rows: Examples | Sequence[Row], ends: Callable[[], bool]
    ) -> Iterator[Metrics]:
        """The mean loss (SFT: per trained token, in nats; DPO: per pair); nothing when it `ends`
        before it is known."""
        everything = [rows[i] for i in range(len(rows))]
        divisor, total, sums = max(self.method.divisor(everything), 1), 0.0, Counter[str]()
        self.model.eval()
        try:
            for piece in self.pieces(everything):
                if ends():
                    return
                self.refer(piece)
                with torch.no_grad():
                    found = self.loss(piece)
                total += found.total.item()
                sums.update(found.sums)
        finally:
            self.model.train()
        means = {f"eval_{name}": value for name, value in _means(sums, divisor).items()}
        yield Metrics(step=step, values={"eval_loss": total / divisor, **means})


def _means(sums: Mapping[str, float], divisor: int) -> dict[str, float]:
    return {name: value / divisor for name, value in sums.items()}
