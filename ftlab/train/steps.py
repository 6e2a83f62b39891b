"""What an optimizer step is told, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ftlab.train.batches import Row

Values = dict[str, float]


class Told(NamedTuple):
    """What a step says of itself."""

    values: Values
    hardest: list[tuple[int, float]]
    """(line, loss) of the rows with the highest losses, the highest first."""


class Step(NamedTuple):
    """What all processes know of an optimizer step."""

    divisor: int
    """What its loss is the mean over."""
    learning_rate: float
    n_rows: int


def batched(pieces: Iterator[list[Row]], n: int) -> Iterator[list[list[Row]]]:
    """Up to `n` pieces at a time."""
    while some := list(islice(pieces, n)):
        yield some


def rounded(loss: float) -> float:
    """To the digits that are worth their room in a file."""
    return float(f"{loss:.5g}")
