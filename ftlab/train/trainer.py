"""What the steps of one run share: the loss of rows, and one optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from ftlab.job import LocalOptions
from ftlab.pieces import PIECE_TOKENS
from ftlab.spec import JobSpec
from ftlab.train.batches import Pair, Row, pieces
from ftlab.train.cutting import agree_on_pieces, in_memory
from ftlab.train.device import brought, sent
from ftlab.train.gauges import Gauges
from ftlab.train.methods import Method, method_of
from ftlab.train.methods.method import Loss, added
from ftlab.train.model import autocast, trainable
from ftlab.train.parallel import Room
from ftlab.train.scoring import Scorer
from ftlab.train.sent import dealt
from ftlab.train.sharded import in_each, whole
from ftlab.train.steps import Step, Told, Values

HARDEST = 3  # rows of each step


@dataclass
class Trainer:
    """What the steps of one run share."""

    spec: JobSpec
    options: LocalOptions
    scorer: Scorer
    optimizer: torch.optim.Optimizer
    room: Room = field(default_factory=Room)
    piece_tokens: int = PIECE_TOKENS
    """Most tokens that go through the model at once; fewer once the memory did not suffice."""
    notes: list[str] = field(default_factory=list)
    """What a person should be told, since whoever tells it took them last."""
    scaler: torch.amp.GradScaler = field(
        default_factory=lambda: torch.amp.GradScaler(enabled=False)
    )
    """Keeps small gradients in float16; does nothing in other formats."""

    @property
    def model(self) -> Any:
        return self.scorer.model

    @property
    def device(self) -> str:
        return self.scorer.device

    @property
    def works_ahead(self) -> bool:
        """Whether a step goes on by itself once it is launched."""
        return self.device.startswith("cuda")

    @property
    def rehearses(self) -> bool:
        """Whether the memory is tried before the first step. What a CPU's process takes is known by
        the estimate, and trying would take as long as a step; what takes a share of every layer
        can't do so alone."""
        return self.device.startswith("cuda") and not self.scorer.is_sharded

    @cached_property
    def method(self) -> Method:
        return method_of(self.spec)

    def pieces(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The rows in pieces that fit in memory, the largest first: what it leaves free in the
        process has room for the others."""
        padded = self.scorer.layout == "padded"
        found = pieces(rows, self.options.micro_batch_size, self.piece_tokens, padded=padded)
        return iter(sorted(found, key=_size, reverse=True))

    def rounds(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The pieces; where all processes compute a layer together, as many in each."""
        own = list(self.pieces(rows))
        if self.scorer.is_sharded:  # asked before the first of them, which all begin together
            own += [self.nothing] * (self.room.most(len(own)) - len(own))
        return iter(own)

    @cached_property
    def nothing(self) -> list[Row]:
        """A piece that adds nothing."""
        return [self.method.nothing]

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
            shares = dealt(unseen, self.room.size)
            self.room.tell("refer", shares)
            self.look(shares[0])
            found = self.room.replies(list[tuple[float, float]])
            for share, references in zip(shares[1:], found, strict=True):
                for row, reference in zip(share, references, strict=True):
                    row.reference = reference

    def look(self, pairs: Sequence[Row]) -> None:
        """Note what the model said of these before training."""
        in_memory(self, pairs, lambda: self._refer(pairs))

    def _refer(self, pairs: Sequence[Row]) -> None:
        with autocast(self.spec, self.options, self.device):
            self.method.refer(self.scorer, self.rounds(pairs))

    def step(self, rows: Sequence[Row], learning_rate: float) -> Values:
        """One optimizer step; the loss is the mean over what the method counts."""
        return self.launch(rows, learning_rate)().values

    def launch(
        self, rows: Sequence[Row], learning_rate: float, waited: float = 0.0
    ) -> Callable[[], Told]:
        """The same, without waiting for a GPU; what is returned waits, and says what happened. The
        rows took `waited` seconds to come."""
        lap = self._gauges.lap(waited)
        self.refer(rows)
        shares = dealt(rows, self.room.size)
        step = Step(max(self.method.divisor(rows), 1), learning_rate, len(rows))
        self.room.tell("step", shares, **step._asdict())
        found, norm = self.take(shares[0], step)
        lines = [row.line for share in shares for row in share]
        k = min(HARDEST, len(lines))
        highest = found.rows.topk(k)
        figures = torch.stack([found.total, norm, *found.sums.values()])
        figures = torch.cat([figures, highest.values, highest.indices])
        lap.launched()  # before they are brought: once they are there, that mark has passed, too
        figures = brought(figures)

        def told() -> Told:
            loss, grad_norm, *more = figures()
            sums, losses, places = more[: -2 * k], more[-2 * k : -k], more[-k:]
            taken = lap.taken()
            values = {
                "train_loss": loss,
                "grad_norm": grad_norm,
                "learning_rate": learning_rate,
                "loss_tokens": sum(row.n_trained for row in rows),
                "tokens_per_second": sum(row.n_tokens for row in rows) / taken["step_seconds"],
                **taken,
                **dict(zip(found.sums, sums, strict=True)),
                **self._gauges.values(),
            }
            return Told(values, [(lines[int(i)], x) for i, x in zip(places, losses, strict=True)])

        return told

    def take(self, rows: Sequence[Row], step: Step, place: int = 0) -> tuple[Loss, torch.Tensor]:
        """A step with these rows, which begin at `place` among all; the loss of all of them, and
        the norm of the gradient."""
        found = in_memory(self, rows, lambda: self.backward(rows, step.divisor))
        summed = in_each(trainable(self.model))
        agree_on_pieces(self, self.room.sum_gradients(summed, self.piece_tokens))
        self.scaler.unscale_(self.optimizer)
        limit = self.spec.max_grad_norm or math.inf
        norm = whole(torch.nn.utils.clip_grad_norm_(trainable(self.model), limit))
        for group in self.optimizer.param_groups:
            group["lr"] = step.learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return self.room.added(found, place, step.n_rows), norm

    @cached_property
    def _gauges(self) -> Gauges:
        return Gauges(self.device)

    def backward(self, rows: Sequence[Row], divisor: int) -> Loss:
        """What the rows add to the mean loss of their step, with its gradients."""
        parts = list[tuple[list[Row], Loss]]()
        for piece in self.rounds(rows):
            found = self.loss(piece) / divisor
            self.scaler.scale(found.total).backward()
            if piece is not self.nothing:
                parts.append((piece, found._replace(total=found.total.detach())))
        found = self.of_all(rows, parts)
        if not parts:
            self.scaler.scale(found.total)  # without which it could not be asked for its scale
        return found

    def of_all(self, rows: Sequence[Row], parts: Sequence[tuple[Sequence[Row], Loss]]) -> Loss:
        """The loss of all rows, in their order, from that of each piece: how they were cut is
        known to the process alone that did it, and may change on the way."""
        if not parts:  # fewer rows than processes
            return Loss.none(self.method.figures, self.device)
        found = added([loss for _, loss in parts])
        places = {id(row): place for place, row in enumerate(rows)}
        order = torch.tensor([places[id(row)] for piece, _ in parts for row in piece])
        own = torch.empty_like(found.rows).index_copy_(0, sent(order, self.device), found.rows)
        return found._replace(rows=own)


def _size(piece: Sequence[Row]) -> int:
    return sum(row.n_tokens for row in piece)
