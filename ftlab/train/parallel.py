"""The processes of a run, one for each of its devices: what they say to each other and sum.

The first is the run's own: it alone reads rows, decides and writes. The others hold the same
model and do what it tells them, each with its share of the rows. Gradients are summed before any
optimizer takes its step, so that all models stay the same to the last bit. A run with one process
says nothing and sums nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec
import torch
import torch.distributed as dist

from ftlab.errors import FtlabError
from ftlab.pieces import GRADIENTS
from ftlab.train.batches import Row
from ftlab.train.device import is_out_of_memory
from ftlab.train.methods.method import Loss
from ftlab.train.sent import Shared, packed, unpacked

PATIENCE = timedelta(minutes=30)
"""For the others in the middle of a step; the shares of one are about as long as each other."""


LOST = ("gloo", "NCCL", "Connection closed")  # what torch says of another process that is gone
Answer = TypeVar("Answer")


What = Literal[
    "make",
    "load",
    "step",
    "refer",
    "score",
    "answer",
    "generators",
    "weights",
    "optimizer",
    "end",
]


class Gone(FtlabError):
    """Another process of the run is there no more."""


class Order(msgspec.Struct, frozen=True):
    """What the first process tells another one to do."""

    what: What
    rows: list[Shared] = []
    divisor: int = 1
    learning_rate: float = 0.0
    place: int = 0
    """Of its first row, among all rows of the step as they were dealt."""
    n_rows: int = 0
    """Of the whole step."""
    piece_tokens: int = 0
    """Most tokens at once, where that is known from before."""
    text: str = ""

    @property
    def share(self) -> list[Row]:
        """Its rows, as they train."""
        return [unpacked(row) for row in self.rows]


@dataclass
class Room:
    """The processes of a run as one of them sees the others."""

    rank: int = 0
    size: int = 1
    why_gone: Callable[[Exception], str] = str
    """Says what is to be said when another one is there no more."""
    _orders: Any = None
    """The group that they go through, which may be waited for."""

    # --- the first one tells the others ------------------------------------------------------

    def tell(self, what: str, shares: Sequence[Sequence[Row]] = (), **more: Any) -> None:
        """Let each of the others do something with its share of some rows; the first is ours."""
        place = len(shares[0]) if shares else 0
        for rank in range(1, self.size):
            rows = shares[rank] if rank < len(shares) else ()
            order_rows = [packed(row) for row in rows]
            order = Order(what, order_rows, place=place, **more)  # pyright: ignore[reportArgumentType]
            self._send(msgspec.msgpack.encode(order), rank, self._orders)
            place += len(rows)

    def replies(self, kind: type[Answer]) -> list[Answer]:
        """What the others answer, in their order."""
        found = [self._receive(rank) for rank in range(1, self.size)]
        return [msgspec.msgpack.decode(data, type=kind) for data in found]

    def leave(self) -> None:
        """Let the others end, and end what was common; one that is gone by now does no harm."""
        if self.size > 1:
            with contextlib.suppress(Gone, RuntimeError):
                self.tell("end")
                dist.destroy_process_group()
            self.size = 1

    # --- another one follows -----------------------------------------------------------------

    def next_order(self) -> Order:
        """What is to be done next; blocks until it is known."""
        return msgspec.msgpack.decode(self._receive(0, self._orders), type=Order)

    def reply(self, answer: Any) -> None:
        """Answer the first one."""
        self._send(msgspec.msgpack.encode(answer), 0)

    # --- all of them together ----------------------------------------------------------------

    def share_machine(self, device: str) -> None:
        """Take one's own part of the machine, where there are others. A GPU becomes the one that
        kernels run on which don't look where their numbers lie."""
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        elif self.size > 1:
            torch.set_num_threads(max(torch.get_num_threads() // self.size, 1))

    def make_equal(self, parameters: Sequence[torch.Tensor]) -> None:
        """Give all the parameters of the first one."""
        if self.size > 1:
            with self._together(), torch.no_grad():
                for parameter in parameters:
                    dist.broadcast(parameter.data, 0)

    def sum_gradients(self, parameters: Sequence[torch.Tensor], piece_tokens: int) -> int:
        """Give each parameter the sum of its gradients; one that has none anywhere keeps none.

        Returns the least `piece_tokens` of all: what suffices for the memory of each.
        """
        if self.size == 1:
            return piece_tokens
        # Where gradients are is known before a GPU has made them: it need not be waited for.
        has = torch.tensor([-piece_tokens, *(p.grad is not None for p in parameters)])
        with self._together():
            dist.all_reduce(has, dist.ReduceOp.MAX)
        least, *there = has.tolist()
        trained = [p for p, is_there in zip(parameters, there, strict=True) if is_there]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for some in _some_at_once([p.grad for p in trained if p.grad is not None]):
            self._sum(some)
        return -least

    def most(self, n: int) -> int:
        """The largest of the numbers that they have."""
        if self.size == 1:
            return n
        found = torch.tensor([n])
        with self._together():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def added(self, loss: Loss, place: int, n_rows: int) -> Loss:
        """The loss of the whole step from that of each share, whose rows begin at `place`."""
        if self.size == 1:
            return loss
        n = 1 + len(loss.sums)
        figures = loss.total.new_zeros(n + n_rows, dtype=torch.float64)
        figures[:n] = torch.stack([loss.total, *loss.sums.values()])
        figures[n + place : n + place + len(loss.rows)] = loss.rows
        with self._together():
            dist.all_reduce(figures)
        sums = dict(zip(loss.sums, figures[1:n], strict=True))
        return Loss(figures[0], sums, figures[n:].float())

    @contextlib.contextmanager
    def noticing(self) -> Iterator[None]:
        """Say in words that another process is gone, around all that a model in shares computes."""
        try:
            yield
        except RuntimeError as problem:
            if is_out_of_memory(problem) or not any(sign in str(problem) for sign in LOST):
                raise
            raise Gone(self.why_gone(problem)) from problem

    # --- what they are made of ---------------------------------------------------------------

    def _send(self, data: bytes, rank: int, group: Any = None) -> None:
        with self._together():
            dist.send(torch.tensor([len(data)]), rank, group)
            dist.send(torch.frombuffer(bytearray(data), dtype=torch.uint8), rank, group)

    def _receive(self, rank: int, group: Any = None) -> bytes:
        size = torch.zeros(1, dtype=torch.int64)
        with self._together():
            dist.recv(size, rank, group)
            data = torch.empty(int(size), dtype=torch.uint8)
            dist.recv(data, rank, group)
        return data.numpy().tobytes()

    def _sum(self, gradients: Sequence[torch.Tensor]) -> None:
        """All in one go; one that is alone needs no copy."""
        if len(gradients) == 1 and gradients[0].is_contiguous():
            with self._together():
                dist.all_reduce(gradients[0])
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with self._together():
            dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Say in words what torch says when another process is gone; around nothing else, where
        what failed here would be taken for that."""
        try:
            yield
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise
            raise Gone(self.why_gone(problem)) from problem


def no_answer(problem: Exception) -> str:
    """What is to be said of a process that is gone while nobody knows why."""
    return (
        f"Another process of the run did not answer ({str(problem)[:300]}); a step takes all of "
        "them. Look into the run's log.txt, and resume the run."
    )


# --- gradients ---------------------------------------------------------------------------------


def _some_at_once(gradients: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """All of an adapter's together; those of all weights in parts."""
    some, n = list[torch.Tensor](), 0
    for gradient in gradients:
        if some and n + gradient.numel() > GRADIENTS:
            yield some
            some, n = [], 0
        some.append(gradient)
        n += gradient.numel()
    if some:
        yield some
