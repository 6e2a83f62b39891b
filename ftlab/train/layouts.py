"""Sequences to tensors: end to end in one row without padding, or row by row padded to the longest.

What belongs together in one bundle may begin alike, as the two answers to one question do; laid
flat, the beginning is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from ftlab.data.chat import IGNORED
from ftlab.train.batches import Example
from ftlab.train.device import sent
from ftlab.train.segments import Segment

Layout = Literal["flat", "padded"]
Bundles = Sequence[Sequence[Example]]


class Targets(NamedTuple):
    """Every token that trains, and where the model says what it makes of it."""

    places: torch.Tensor
    """(trained,) place of the token before it, in all rows end to end."""
    tokens: torch.Tensor
    """(trained,) token ids."""
    sequence: torch.Tensor
    """(trained,) which sequence it is of, in the order of the bundles."""
    distinct: torch.Tensor
    """Each of the places once, in their order: two sequences may go on from the same."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes through the model at once."""

    ids: torch.Tensor
    """(rows, tokens), token ids."""
    positions: torch.Tensor
    """(rows, tokens), from 0 in every sequence."""
    targets: Targets
    mask: torch.Tensor | None = None
    """(rows, tokens), 1 for tokens and 0 for padding; None where there is no padding."""
    segments: tuple[Segment, ...] = ()
    """Of the one row, where it is flat."""

    @property
    def inputs(self) -> dict[str, Any]:
        """What a model of transformers takes."""
        return {"input_ids": self.ids, "position_ids": self.positions, "attention_mask": self.mask}


def laid_out(bundles: Bundles, layout: Layout, pad_id: int, device: str) -> Batch:
    """The batch of some bundles, on a device."""
    return flat(bundles, device) if layout == "flat" else padded(bundles, pad_id, device)


def flat(bundles: Bundles, device: str) -> Batch:
    """All sequences in one row; what a bundle's sequences begin with alike is there once."""
    row = _Row()
    for bundle in bundles:
        row.add(bundle)
    ids, positions = (sent(torch.tensor([values]), device) for values in (row.ids, row.positions))
    return Batch(ids, positions, row.targets.on(device), segments=tuple(row.segments))


def padded(bundles: Bundles, pad_id: int, device: str) -> Batch:
    """One sequence per row, padded on the right."""
    sequences = [sequence for bundle in bundles for sequence in bundle]
    longest = max(len(sequence.ids) for sequence in sequences)
    ids = torch.full((len(sequences), longest), pad_id)
    mask, targets = torch.zeros_like(ids), _Targets()
    for row, sequence in enumerate(sequences):
        n = len(sequence.ids)
        ids[row, :n] = torch.tensor(sequence.ids)
        mask[row, :n] = 1
        targets.add(sequence, range(row * longest, row * longest + n))
    positions = torch.arange(longest, device=device).expand(len(sequences), -1)
    return Batch(sent(ids, device), positions, targets.on(device), sent(mask, device))


class _Targets:
    """Targets as they come in."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, int]] = []
        self._n_sequences = 0

    def add(self, sequence: Example, places: Sequence[int]) -> None:
        """A sequence whose tokens lie at those places."""
        for i, label in enumerate(sequence.labels[1:]):
            if label != IGNORED:
                self._found.append((places[i], label, self._n_sequences))
        self._n_sequences += 1

    def on(self, device: str) -> Targets:
        found = torch.tensor(self._found, dtype=torch.long).reshape(-1, 3)
        distinct = torch.tensor(sorted({place for place, *_ in self._found}), dtype=torch.long)
        places, tokens, sequence = sent(found.T.contiguous(), device)
        return Targets(places, tokens, sequence, sent(distinct, device))


class _Row:
    """A flat row as it grows."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.segments: list[Segment] = []
        self.targets = _Targets()

    def add(self, bundle: Sequence[Example]) -> None:
        """The sequences of a bundle, behind the beginning that they share."""
        shared = _shared(bundle)
        begins, behind = len(self.ids), None
        if shared:
            behind = len(self.segments)
            self._append(bundle[0], 0, shared, None)
        for sequence in bundle:
            own = len(self.ids)
            self._append(sequence, shared, len(sequence.ids), behind)
            places = [*range(begins, begins + shared), *range(own, len(self.ids))]
            self.targets.add(sequence, places)

    def _append(self, sequence: Example, start: int, end: int, behind: int | None) -> None:
        self.ids.extend(sequence.ids[start:end])
        self.positions.extend(range(start, end))
        self.segments.append(Segment(end - start, behind))


def _shared(bundle: Sequence[Example]) -> int:
    """Tokens that several sequences begin with alike; each keeps one of its own at least."""
    if len(bundle) < 2:
        return 0
    least = min(len(sequence.ids) for sequence in bundle) - 1
    together = zip(*(sequence.ids[:least] for sequence in bundle), strict=True)
    return next((i for i, tokens in enumerate(together) if len({*tokens}) > 1), max(least, 0))
