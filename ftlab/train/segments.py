"""What a flat row is made of, and what follows from it for the attention of every layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import torch

from ftlab.train.device import sent

Made = TypeVar("Made")


class Segment(NamedTuple):
    """A stretch of a flat row."""

    length: int
    behind: int | None
    """The segment that its sequence begins with, by its place; None for a whole sequence."""


class Segments:
    """The segments of a row, and what is made of them once for all layers."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.all = segments
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made under that key, now or before."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def lengths(self) -> list[int]:
        return [segment.length for segment in self.all]

    @cached_property
    def n_tokens(self) -> int:
        return sum(self.lengths)

    @cached_property
    def is_shared(self) -> bool:
        """Whether one segment stands behind another."""
        return any(segment.behind is not None for segment in self.all)

    @cached_property
    def key_lengths(self) -> list[int]:
        """Keys of each segment, those that it stands behind among them."""
        return [
            s.length if s.behind is None else self.all[s.behind].length + s.length for s in self.all
        ]

    def mask(self, queries: int, keys: int, window: int | None, device: Any) -> torch.Tensor | None:
        """(queries, keys), true where the last queries of a sequence look at its keys; None where
        each sees all before it and itself."""
        if queries == keys and (window is None or keys <= window):
            return None
        key = ("mask", queries, keys, window)
        return self.once(key, lambda: _seen(queries, keys, window, device))

    def ends(self, device: Any) -> torch.Tensor:
        """(segments + 1,) where the queries of each begin and end."""
        return self.once("ends", lambda: _ends(self.lengths, device))

    def key_ends(self, device: Any) -> torch.Tensor:
        """The same of the keys."""
        return self.once("key ends", lambda: _ends(self.key_lengths, device))

    def key_places(self, device: Any) -> torch.Tensor:
        """Places of the keys of all segments in turn."""
        return self.once("key places", lambda: sent(torch.tensor(self._key_places()), device))

    def _key_places(self) -> list[int]:
        starts, places = list(accumulate(self.lengths, initial=0)), list[int]()
        for i, segment in enumerate(self.all):
            parts = [i] if segment.behind is None else [segment.behind, i]
            places += [place for part in parts for place in range(starts[part], starts[part + 1])]
        return places

    def owners(self, device: Any) -> torch.Tensor:
        """(3, tokens): the segment of each token, the one that this stands behind or -1, and the
        token's place in its sequence."""
        return self.once("owners", lambda: sent(torch.tensor(self._owners()), device))

    def _owners(self) -> list[list[int]]:
        own, behind, places = list[int](), list[int](), list[int]()
        for i, segment in enumerate(self.all):
            own += [i] * segment.length
            behind += [-1 if segment.behind is None else segment.behind] * segment.length
            places += range(self.key_lengths[i] - segment.length, self.key_lengths[i])
        return [own, behind, places]


def _seen(queries: int, keys: int, window: int | None, device: Any) -> torch.Tensor:
    whole = torch.ones(queries, keys, dtype=torch.bool, device=device)
    seen = whole.tril(keys - queries)
    if window is not None:  # a token and the window - 1 before it
        seen &= whole.triu(keys - queries - window + 1)
    return seen


def _ends(lengths: Sequence[int], device: Any) -> torch.Tensor:
    return sent(torch.tensor([0, *accumulate(lengths)], dtype=torch.int32), device)
