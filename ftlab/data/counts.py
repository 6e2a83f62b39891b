"""Many sequences to token counts at once: how long they are and where they train.

Nothing but counts leaves this module, so ids are never turned into Python numbers. Where every
token of a tokenizer stands for known bytes (byte-level BPE), the place of a token follows from the
lengths of those before it; a faster tokenizer may then take the place of `tokenizers`, if it gives
the same ids for the first texts. For all others the offsets of `tokenizers` serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ftlab.data.chat import Layout
from ftlab.data.tokens import Tokenizer

COMPARED = 200
"""Texts on which the fast tokenizer must give the same ids."""


class Counts(NamedTuple):
    """One entry per sequence."""

    n_tokens: np.ndarray
    n_trained: np.ndarray
    n_kept: np.ndarray
    """Trained tokens that are left within the length."""
    first: np.ndarray
    """Place of the first trained token; the number of tokens where none trains."""
    last: np.ndarray
    """Place behind the last trained token; 0 where none trains."""
    spans: np.ndarray
    """(2, n): from and to of every run of trained tokens, as places in their own sequence."""
    by_role: dict[str, int]
    """Tokens that belong to each role."""


class TokenCounter:
    """Counts tokens with one tokenizer; not for two threads at once."""

    def __init__(self, tokenizer: Tokenizer, max_seq_length: int | None) -> None:
        self._tokenizer, self._limit = tokenizer, max_seq_length
        self._widths = _widths(tokenizer)
        self._fast = _fast_tokenizer(tokenizer) if self._widths is not None else None
        self._left = COMPARED

    @property
    def name(self) -> str:
        """Of the library that counts."""
        return "tokenizers" if self._fast is None else "gigatoken"

    def count(self, layouts: Sequence[Layout]) -> Counts:
        """The counts of some sequences. Raises TypeError for half a surrogate pair."""
        texts = [layout.text for layout in layouts]
        starts, ends, n_text = self._places(texts)
        lengths = [len(text) for text in texts]
        if self._widths is not None:
            layouts = [_in_bytes(layout) for layout in layouts]
            lengths = [_n_bytes(text) for text in texts]
        lead = np.array([len(layout.lead) for layout in layouts], np.int64)
        tail = np.array([len(layout.tail) for layout in layouts], np.int64)
        at = _Places(starts, ends, n_text, lead, tail, np.array(lengths, np.int64))
        return _counted(layouts, at, self._limit)

    def n_tokens(self, texts: list[str]) -> int:
        """Tokens of some texts together."""
        if self._widths is None:
            return sum(len(self._tokenizer.encode(text)[0]) for text in texts)
        return len(self._ids(texts)[0]) if texts else 0

    def _places(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(start, end, sequence lengths) of all tokens, in the joined texts: in bytes where
        `widths` are known, else in characters."""
        if self._widths is not None:
            ids, n_tokens = self._ids(texts)
            ends = np.cumsum(self._widths[ids], dtype=np.int64)
            if sum(map(_n_bytes, texts)) == (ends[-1] if len(ends) else 0):
                starts = np.concatenate((ends[:1] * 0, ends[:-1]))
                return starts, ends, n_tokens
            self._widths = self._fast = None  # a normalizer, or tokens that overlap
        return _by_offsets(texts, self._tokenizer.backend)

    def _ids(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        if self._fast is not None:
            if self._left > 0:
                self._compare(texts[: self._left])
            if self._fast is not None:
                return _gigatoken_ids(self._fast, texts)
        return _plain_ids(self._tokenizer.backend, texts)

    def _compare(self, texts: list[str]) -> None:
        self._left -= len(texts)
        ours, theirs = (
            _gigatoken_ids(self._fast, texts),
            _plain_ids(self._tokenizer.backend, texts),
        )
        if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
            self._fast = None


def _counted(
    layouts: Sequence[Layout],
    at: _Places,
    limit: int | None,
) -> Counts:
    n_tokens = at.lead + at.n_text + at.tail
    owner, a, b = at.tokens_of([layout.trained for layout in layouts])
    whole = np.array([layout.whole for layout in layouts], bool)
    if whole.any():
        keep = ~whole[owner]
        full = np.flatnonzero(whole)
        owner = np.concatenate((owner[keep], full))
        a = np.concatenate((a[keep], np.zeros(len(full), np.int64)))
        b = np.concatenate((b[keep], n_tokens[full]))
    a = np.maximum(a, 1)  # the first token of a sequence is never predicted
    real = b > a
    owner, a, b = owner[real], a[real], b[real]
    n = len(layouts)
    n_trained = np.bincount(owner, b - a, n).astype(np.int64)
    kept = np.minimum(b, limit) - np.minimum(a, limit) if limit is not None else b - a
    first, last = n_tokens.copy(), np.zeros(n, np.int64)
    np.minimum.at(first, owner, a)
    np.maximum.at(last, owner, b)
    return Counts(
        n_tokens=n_tokens,
        n_trained=n_trained,
        n_kept=np.bincount(owner, kept, n).astype(np.int64),
        first=first,
        last=last,
        spans=np.stack((a, b)),
        by_role=_by_role(layouts, at),
    )


class _Places:
    """Where the tokens of a batch lie in its joined texts."""

    def __init__(
        self,
        starts: np.ndarray,
        ends: np.ndarray,
        n_text: np.ndarray,
        lead: np.ndarray,
        tail: np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        self.starts, self.ends, self.n_text, self.lead, self.tail = starts, ends, n_text, lead, tail
        self._begins = np.concatenate(([0], np.cumsum(lengths)))
        self._first = np.concatenate(([0], np.cumsum(n_text)))

    def tokens_of(
        self, spans: list[list[tuple[int, int]]]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sequence, from, to) of the tokens that overlap each span of each sequence; from and to
        are places in the sequence."""
        owner = np.repeat(np.arange(len(spans)), [len(one) for one in spans])
        pairs = np.array([pair for one in spans for pair in one], np.int64).reshape(-1, 2)
        begin, end = self._begins[owner], self._begins[owner + 1]
        low, high = pairs[:, 0] + begin, pairs[:, 1] + begin
        # A span that goes past its text takes EOS with it, but nothing of the next sequence.
        past = np.where(high > end, self.tail[owner], 0)
        a = np.searchsorted(self.ends, low, side="right") - self._first[owner]
        b = np.searchsorted(self.starts, np.minimum(high, end), side="left") - self._first[owner]
        lead, n_text = self.lead[owner], self.n_text[owner]
        return owner, np.clip(a, 0, n_text) + lead, np.clip(b, 0, n_text) + lead + past


def _by_role(layouts: Sequence[Layout], at: _Places) -> dict[str, int]:
    names = [who for layout in layouts for who, _ in layout.turns]
    owner, a, b = at.tokens_of([[span for _, span in layout.turns] for layout in layouts])
    # A token that reaches into two turns belongs to the first of them.
    same = np.concatenate(([False], owner[1:] == owner[:-1])) if len(owner) else owner == 1
    a = np.where(same, np.maximum(a, np.concatenate(([0], b[:-1]))), a) if len(a) else a
    # What the tokenizer puts before a text belongs to whom the text belongs.
    opens = [low == 0 < high for layout in layouts for _, (low, high) in layout.turns]
    a = np.where(np.array(opens, bool) & (a < b), a - at.lead[owner], a)
    found: dict[str, int] = {}
    for name, n in zip(names, np.maximum(b - a, 0).tolist(), strict=True):
        if n:
            found[name] = found.get(name, 0) + n
    rest = int((at.n_text + at.lead + at.tail).sum()) - sum(found.values())
    return {**found, "template": rest} if rest else found


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


def _plain_ids(backend: Any, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    found = [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)]
    flat = np.fromiter(chain.from_iterable(found), np.uint32)
    return flat, np.array([len(ids) for ids in found], np.int64)


def _gigatoken_ids(fast: Any, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    layout = fast.encode_batch(texts).layout
    offsets = np.asarray(layout.offsets.data, np.int64)
    ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    return ids, np.diff(offsets)


def _by_offsets(texts: list[str], backend: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encodings = backend.encode_batch(texts, add_special_tokens=False)
    begin, pairs = 0, []
    for text, encoding in zip(texts, encodings, strict=True):
        pairs.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + begin)
        begin += len(text)
    flat = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
    # A token that stands for no text overlaps what stands at its place, as in `chat`.
    ends = np.maximum(flat[:, 1], flat[:, 0] + 1)
    return flat[:, 0], ends, np.array([len(e.ids) for e in encodings], np.int64)


def _widths(tokenizer: Tokenizer) -> np.ndarray | None:
    """Bytes that each id stands for; None when a token's text is not the text that it came from."""
    backend = tokenizer.backend
    decoder = type(backend.decoder).__name__ if backend.decoder is not None else ""
    if decoder != "ByteLevel" or backend.normalizer is not None:
        return None
    widths = np.zeros(backend.get_vocab_size(with_added_tokens=True) + 1, np.int32)
    size = len(widths)
    for text, place in backend.get_vocab(with_added_tokens=False).items():
        if place >= size:
            return None
        widths[place] = len(text)
    for place, token in backend.get_added_tokens_decoder().items():
        if place >= size or token.lstrip or token.rstrip or token.normalized:
            return None
        widths[place] = len(token.content.encode())
    return widths


def _fast_tokenizer(tokenizer: Tokenizer) -> Any:
    """The same tokenizer in gigatoken, or None without it or where it can't read the file."""
    try:
        import gigatoken
    except ImportError:
        return None
    try:
        return gigatoken.Tokenizer(str(tokenizer.folder / "tokenizer.json"))
    except Exception:  # the Rust side raises a bare Exception
        return None
