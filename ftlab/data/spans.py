"""Where the sequences of a batch train and whose their texts are, as arrays.

Rows that went through a skeleton share it with many others of their batch, so that their spans
come from one sum over a table of lengths instead of from lists of tuples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from ftlab.data.chat import Layout, Span
from ftlab.data.skeleton import Filled, Skeleton


class Spans(NamedTuple):
    """Parts of texts; the three arrays have one entry per span, those of a sequence together."""

    owner: np.ndarray
    """Place of the sequence in its batch."""
    low: np.ndarray
    """Where the span starts in its text."""
    high: np.ndarray
    """Where it ends; one past the text where EOS belongs to it."""


class Marked(NamedTuple):
    """A batch of sequences without their texts."""

    lengths: np.ndarray
    """Of the texts."""
    lead: np.ndarray
    """Tokens that stand before each text."""
    tail: np.ndarray
    """And behind it."""
    whole: np.ndarray
    """Whether every token trains."""
    trained: Spans
    turns: Spans
    roles: np.ndarray
    """Per turn the place of its role in `names`."""
    names: list[str]


def marked(sequences: Sequence[Layout | Filled], *, in_bytes: bool) -> Marked:
    """Lengths and spans in bytes of UTF-8, or in characters."""
    groups: dict[Skeleton, tuple[list[int], list[Filled]]] = {}
    places, layouts = list[int](), list[Layout]()
    for place, one in enumerate(sequences):
        if isinstance(one, Filled):
            group = groups.setdefault(one.skeleton, ([], []))
            group[0].append(place)
            group[1].append(one)
        else:
            places.append(place)
            layouts.append(_in_bytes(one) if in_bytes else one)
    batch = _Batch(len(sequences), in_bytes=in_bytes)
    batch.add_layouts(places, layouts)
    for skeleton, (owners, filled) in groups.items():
        batch.add_filled(skeleton, np.array(owners), filled)
    return batch.marked()


class _Batch:
    """The arrays of a batch as they fill up."""

    def __init__(self, n: int, *, in_bytes: bool) -> None:
        self._in_bytes = in_bytes
        self._lengths, self._lead, self._tail = np.zeros((3, n), np.int64)
        self._whole = np.zeros(n, bool)
        self._names: dict[str, int] = {}
        self._trained: list[Spans] = []
        self._turns: list[Spans] = []
        self._roles: list[np.ndarray] = []

    def _codes(self, roles: Iterable[str]) -> np.ndarray:
        names = self._names
        return np.array([names.setdefault(role, len(names)) for role in roles], np.int64)

    def add_layouts(self, places: list[int], layouts: list[Layout]) -> None:
        length = _n_bytes if self._in_bytes else len
        for place, one in zip(places, layouts, strict=True):
            self._lengths[place] = length(one.text)
            self._lead[place], self._tail[place] = len(one.lead), len(one.tail)
            self._whole[place] = one.whole
        self._trained.append(_listed(places, [one.trained for one in layouts]))
        self._turns.append(_listed(places, [[span for _, span in one.turns] for one in layouts]))
        self._roles.append(self._codes(who for one in layouts for who, _ in one.turns))

    def add_filled(self, skeleton: Skeleton, owner: np.ndarray, filled: list[Filled]) -> None:
        offsets = skeleton.in_bytes if self._in_bytes else skeleton.in_characters
        before = np.zeros((len(filled), len(skeleton.literals)), np.int64)
        np.cumsum(_content_lengths(filled, self._in_bytes), axis=1, out=before[:, 1:])
        self._lengths[owner] = before[:, -1] + offsets.n_literal
        self._whole[owner] = skeleton.whole
        self._trained.append(_spans(owner, before, offsets.trained))
        self._turns.append(_spans(owner, before, offsets.turns))
        codes = self._codes(who for who, _, _ in skeleton.turns)
        self._roles.append(np.tile(codes, len(filled)))

    def marked(self) -> Marked:
        return Marked(
            self._lengths,
            self._lead,
            self._tail,
            self._whole,
            _joined(self._trained),
            _joined(self._turns),
            np.concatenate(self._roles),
            list(self._names),
        )


def _content_lengths(filled: list[Filled], in_bytes: bool) -> np.ndarray:  # noqa: FBT001
    """(sequences, contents)."""
    lengths = [
        [len(text.encode()) for text in one.contents]
        if in_bytes and not one.text.isascii()
        else list(map(len, one.contents))
        for one in filled
    ]
    return np.array(lengths, np.int64)


def _spans(owner: np.ndarray, before: np.ndarray, offsets: np.ndarray) -> Spans:
    """`offsets` (4, spans): contents before the start, letters besides; the same of the end."""
    low = before[:, offsets[0]] + offsets[1]
    high = before[:, offsets[2]] + offsets[3]
    return Spans(np.repeat(owner, offsets.shape[1]), low.ravel(), high.ravel())


def _listed(places: list[int], spans: list[list[Span]]) -> Spans:
    owner = np.repeat(np.array(places, np.int64), [len(some) for some in spans])
    pairs = np.array(list(chain.from_iterable(spans)), np.int64).reshape(-1, 2)
    return Spans(owner, pairs[:, 0], pairs[:, 1])


def _joined(parts: list[Spans]) -> Spans:
    return Spans(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _n_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _in_bytes(layout: Layout) -> Layout:
    """The layout with its places counted in bytes."""
    text = layout.text
    if text.isascii():
        return layout
    places = {at for span in layout.trained for at in span}
    places.update(at for _, span in layout.turns for at in span)
    inside, before, n_bytes = {}, 0, 0
    for at in sorted(places):
        n_bytes += _n_bytes(text[before:at]) + max(at - max(len(text), before), 0)
        inside[at], before = n_bytes, at
    turns = [(who, (inside[a], inside[b])) for who, (a, b) in layout.turns]
    trained = [(inside[a], inside[b]) for a, b in layout.trained]
    return layout._replace(turns=turns, trained=trained)
