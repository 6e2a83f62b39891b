"""What the steps of one run share: the loss of rows, one optimizer step, an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import torch

from ftlab.events import Metrics, RowLosses
from ftlab.job import LocalOptions
from ftlab.pieces import PIECE_TOKENS
from ftlab.spec import JobSpec
from ftlab.train.batches import Examples, Pair, Row, pieces
from ftlab.train.device import is_out_of_memory, random_state, set_random_state
from ftlab.train.gauges import Gauges
from ftlab.train.methods import Method, method_of
from ftlab.train.methods.method import Loss, added
from ftlab.train.model import autocast, trainable
from ftlab.train.parallel import Room
from ftlab.train.scoring import Scorer
from ftlab.train.sent import Scores, as_loss, dealt
from ftlab.train.sharded import in_each, whole
from ftlab.train.steps import Step, Told, Values, batched, rounded

Made = TypeVar("Made")
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

    @cached_property
    def method(self) -> Method:
        return method_of(self.spec)

    def pieces(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The rows in pieces that fit in memory, the largest first: what it leaves free in the
        process has room for the others."""
        padded = self.scorer.layout == "padded"
        found = pieces(rows, self.options.micro_batch_size, self.piece_tokens, padded=padded)
        return iter(sorted(found, key=_size, reverse=True))

    def _rounds(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The pieces; where all processes compute a layer together, as many in each."""
        own = list(self.pieces(rows))
        if self.scorer.is_sharded:  # asked before the first of them, which all begin together
            own += [self._nothing] * (self.room.most(len(own)) - len(own))
        return iter(own)

    @cached_property
    def _nothing(self) -> list[Row]:
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
        self._in_memory(pairs, lambda: self._refer(pairs))

    def _refer(self, pairs: Sequence[Row]) -> None:
        with autocast(self.spec, self.options, self.device):
            self.method.refer(self.scorer, self._rounds(pairs))

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
        lines = [line for share in shares for line in self._lines(share)]
        k = min(HARDEST, len(lines))
        highest = found.rows.topk(k)
        figures = torch.stack([found.total, norm, *found.sums.values()])
        figures = torch.cat([figures, highest.values, highest.indices])
        lap.launched()

        def told() -> Told:
            loss, grad_norm, *more = figures.tolist()
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
        found = self._in_memory(rows, lambda: self._backward(rows, step.divisor))
        summed = in_each(trainable(self.model))
        self._agree_on_pieces(self.room.sum_gradients(summed, self.piece_tokens))
        self.scaler.unscale_(self.optimizer)
        limit = self.spec.max_grad_norm or math.inf
        norm = whole(torch.nn.utils.clip_grad_norm_(trainable(self.model), limit))
        for group in self.optimizer.param_groups:
            group["lr"] = step.learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return self.room.added(found, place, step.n_rows), norm

    def _lines(self, rows: Sequence[Row]) -> list[int]:
        """Of the rows, in the order in which they go through the model."""
        return [row.line for piece in self.pieces(rows) for row in piece]

    @cached_property
    def _gauges(self) -> Gauges:
        return Gauges(self.device)

    def _in_memory(self, rows: Sequence[Row], work: Callable[[], Made]) -> Made:
        """What the work on these rows makes: in smaller pieces, from now on, when the memory did
        not suffice."""
        while True:
            before = random_state(self.device)
            try:
                return work()
            except RuntimeError as problem:  # torch's own kind of it is one
                alone = not self.scorer.is_sharded  # else the others are in the middle of a layer
                if not (alone and is_out_of_memory(problem) and self._halve(rows)):
                    raise
            # Only out here is what the failed attempt held let go.
            self.optimizer.zero_grad(set_to_none=True)
            set_random_state(before, self.device)

    def _backward(self, rows: Sequence[Row], divisor: int) -> Loss:
        """What the rows add to the mean loss of their step, with its gradients."""
        parts = list[Loss]()
        for piece in self._rounds(rows):
            found = self.loss(piece) / divisor
            self.scaler.scale(found.total).backward()
            if piece is not self._nothing:
                parts.append(found._replace(total=found.total.detach()))
        if not parts:  # fewer rows than processes
            found = Loss.none(self.method.figures, self.device)
            self.scaler.scale(found.total)  # without which it could not be asked for its scale
            return found
        return added(parts)

    def _halve(self, rows: Sequence[Row]) -> bool:
        """Take smaller pieces from now on; False when they are single rows already."""
        before = [len(piece) for piece in self.pieces(rows)]
        if max(before) == 1:
            return False
        tokens = self.piece_tokens
        while [len(piece) for piece in self.pieces(rows)] == before:
            self.piece_tokens //= 2
        self._note_less(tokens)
        return True

    def _agree_on_pieces(self, tokens: int) -> None:
        """Take as small pieces as the process whose memory had room for least."""
        before, self.piece_tokens = self.piece_tokens, tokens
        if tokens < before:
            self._note_less(before)

    def _note_less(self, before: int) -> None:
        self.notes.append(
            f"The memory did not suffice for pieces of up to {before:,} tokens; a step is now cut "
            f"into pieces of at most {self.piece_tokens:,}, which changes nothing but its time. "
            "To begin so, lower micro_batch_size."
        )

    def evaluate(
        self, step: int, rows: Examples | Sequence[Row], ends: Callable[[], bool]
    ) -> Iterator[Metrics | RowLosses]:
        """The mean loss (SFT: per trained token, in nats; DPO: per pair), then that of each row;
        nothing when it `ends` before it is known."""
        everything = [rows[i] for i in range(len(rows))]
        divisor = max(self.method.divisor(everything), 1)
        parts = list[Loss]()
        self.model.eval()
        try:
            for some in batched(self.pieces(everything), self.room.size):
                if ends():
                    return
                self.refer([row for piece in some for row in piece])
                self.room.tell("score", some, divisor=divisor)
                parts += self.scored(some[0], divisor)
                for scores in self.room.replies(list[Scores]):
                    parts += [as_loss(one, self.device) for one in scores]
        finally:
            self.model.train()
        found = added(parts)
        means = {f"eval_{name}": value.item() for name, value in found.sums.items()}
        yield Metrics(step=step, values={"eval_loss": found.total.item(), **means})
        lines, losses = self._lines(everything), map(rounded, found.rows.tolist())
        yield RowLosses(step=step, file="validation", lines=tuple(lines), losses=tuple(losses))

    def scored(self, rows: Sequence[Row], divisor: int) -> list[Loss]:
        """What the rows add to the mean loss of an evaluation, in pieces."""
        return self._in_memory(rows, partial(self._scored, rows, divisor))

    @torch.no_grad()
    def _scored(self, rows: Sequence[Row], divisor: int) -> list[Loss]:
        found = [(piece, self.loss(piece) / divisor) for piece in self._rounds(rows)]
        return [loss for piece, loss in found if piece is not self._nothing]


def _size(piece: Sequence[Row]) -> int:
    return sum(row.n_tokens for row in piece)
