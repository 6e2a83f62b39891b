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
from ftlab.data.skeleton import Filled
from ftlab.data.spans import Marked, Spans, marked
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


class _Ids(NamedTuple):
    """Texts as tokens, one text behind the other."""

    ids: np.ndarray
    n_tokens: np.ndarray
    """Per text."""


class Encoded(NamedTuple):
    """Where the tokens of some texts lie in the joined texts."""

    starts: np.ndarray | None
    """None where every token starts where the one before it ends."""
    ends: np.ndarray
    n_tokens: np.ndarray
    """Per text."""
    in_bytes: bool
    """And not in characters."""


class TokenCounter:
    """Counts tokens with one tokenizer. Two threads may `encode` at once where `name` is that of
    the standard library; the fast one is for one thread."""

    def __init__(self, tokenizer: Tokenizer, max_seq_length: int | None) -> None:
        self._tokenizer, self._limit = tokenizer, max_seq_length
        self._widths = _widths(tokenizer)
        self._fast = _fast_tokenizer(tokenizer) if self._widths is not None else None
        self._left = COMPARED

    @property
    def name(self) -> str:
        """Of the library that counts."""
        return "tokenizers" if self._fast is None else "gigatoken"

    def count(self, sequences: Sequence[Layout | Filled]) -> Counts:
        """The counts of some sequences. Raises TypeError for half a surrogate pair."""
        return self.counted(sequences, self.encode([one.text for one in sequences]))

    def encode(self, texts: list[str]) -> Encoded:
        """The texts as tokens; most of the work leaves Python's lock to other threads."""
        widths = self._widths  # `counted` may take it away meanwhile
        if widths is None:
            return _by_offsets(texts, self._tokenizer.backend)
        ids, n_tokens = self._ids(texts)
        ends = np.cumsum(widths[ids], dtype=np.int32)
        return Encoded(None, ends, n_tokens, in_bytes=True)

    def counted(self, sequences: Sequence[Layout | Filled], encoded: Encoded) -> Counts:
        """The counts of sequences whose texts were encoded."""
        batch = marked(sequences, in_bytes=encoded.in_bytes)
        if encoded.in_bytes and not np.array_equal(_text_ends(encoded), batch.lengths.cumsum()):
            # A normalizer, or tokens that overlap: the bytes of the tokens are not the texts'.
            self._widths = self._fast = None
            encoded = _by_offsets([one.text for one in sequences], self._tokenizer.backend)
            batch = marked(sequences, in_bytes=False)
        return _counted(batch, _Places(encoded, batch), self._limit)

    def n_tokens(self, texts: list[str]) -> int:
        """Tokens of some texts together."""
        if self._widths is None:
            return sum(len(self._tokenizer.encode(text)[0]) for text in texts)
        return len(self._ids(texts).ids) if texts else 0

    def _ids(self, texts: list[str]) -> _Ids:
        if self._fast is not None and self._left > 0:
            self._compare(texts[: self._left])
        if (fast := self._fast) is not None:
            return _gigatoken_ids(fast, texts)
        return _plain_ids(self._tokenizer.backend, texts)

    def _compare(self, texts: list[str]) -> None:
        self._left -= len(texts)
        ours, theirs = (
            _gigatoken_ids(self._fast, texts),
            _plain_ids(self._tokenizer.backend, texts),
        )
        if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
            self._fast = None


def _text_ends(encoded: Encoded) -> np.ndarray:
    """Where each text ends by its tokens."""
    n_before = encoded.n_tokens.cumsum()
    ends = np.zeros(len(n_before), np.int64)
    ends[n_before > 0] = encoded.ends[n_before[n_before > 0] - 1]
    return ends


def _counted(batch: Marked, at: _Places, limit: int | None) -> Counts:
    n_tokens = batch.lead + at.n_text + batch.tail
    owner, a, b = at.tokens_of(batch.trained)
    if batch.whole.any():
        keep, full = ~batch.whole[owner], np.flatnonzero(batch.whole)
        owner = np.concatenate((owner[keep], full))
        a = np.concatenate((a[keep], np.zeros(len(full), np.int64)))
        b = np.concatenate((b[keep], n_tokens[full]))
    a = np.maximum(a, 1)  # the first token of a sequence is never predicted
    real = b > a
    owner, a, b = owner[real], a[real], b[real]
    n = len(n_tokens)
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
        by_role=_by_role(batch, at, int(n_tokens.sum())),
    )


class _Places:
    """Where the tokens of a batch lie in its joined texts."""

    def __init__(self, found: Encoded, batch: Marked) -> None:
        self._starts, self._ends, self.n_text = found.starts, found.ends, found.n_tokens
        self._lead, self._tail = batch.lead, batch.tail
        self._begins = np.concatenate(([0], np.cumsum(batch.lengths)))
        self._first = np.concatenate(([0], np.cumsum(self.n_text)))

    def tokens_of(self, spans: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sequence, from, to) of the tokens that overlap each span; from and to are places in the
        sequence."""
        owner = spans.owner
        begin, end = self._begins[owner], self._begins[owner + 1]
        low, high = spans.low + begin, spans.high + begin
        # A span that goes past its text takes EOS with it, but nothing of the next sequence.
        past = np.where(high > end, self._tail[owner], 0)
        a = np.searchsorted(self._ends, self._as_ends(low), side="right") - self._first[owner]
        b = self._started(np.minimum(high, end)) - self._first[owner]
        lead, n_text = self._lead[owner], self.n_text[owner]
        return owner, np.clip(a, 0, n_text) + lead, np.clip(b, 0, n_text) + lead + past

    def _started(self, places: np.ndarray) -> np.ndarray:
        """How many tokens start before each place."""
        if self._starts is not None:
            return np.searchsorted(self._starts, places, side="left")
        before = np.searchsorted(self._ends[:-1], self._as_ends(places), side="left")
        return before + (places > 0)

    def _as_ends(self, places: np.ndarray) -> np.ndarray:
        """Of the same type, or numpy would copy all the ends."""
        return places.astype(self._ends.dtype)


def _by_role(batch: Marked, at: _Places, n_tokens: int) -> dict[str, int]:
    owner, a, b = at.tokens_of(batch.turns)
    # A token that reaches into two turns belongs to the first of them.
    same = np.concatenate(([False], owner[1:] == owner[:-1]))[: len(owner)]
    a = np.where(same, np.maximum(a, np.concatenate(([0], b[:-1]))[: len(a)]), a)
    # What the tokenizer puts before a text belongs to whom the text belongs.
    opens = (batch.turns.low == 0) & (batch.turns.high > 0) & (a < b)
    a = np.where(opens, a - batch.lead[owner], a)
    totals = np.bincount(batch.roles, np.maximum(b - a, 0), len(batch.names)).astype(np.int64)
    found = {name: n for name, n in zip(batch.names, totals.tolist(), strict=True) if n}
    rest = n_tokens - sum(found.values())
    return {**found, "template": rest} if rest else found


def _plain_ids(backend: Any, texts: list[str]) -> _Ids:
    found = [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)]
    n_tokens = np.array([len(ids) for ids in found], np.int64)
    return _Ids(np.fromiter(chain.from_iterable(found), np.uint32, int(n_tokens.sum())), n_tokens)


def _gigatoken_ids(fast: Any, texts: list[str]) -> _Ids:
    layout = fast.encode_batch(texts, parallel=False).layout
    offsets = np.asarray(layout.offsets.data, np.int64)
    ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    return _Ids(ids, np.diff(offsets))


def _by_offsets(texts: list[str], backend: Any) -> Encoded:
    encodings = backend.encode_batch(texts, add_special_tokens=False)
    begin, pairs = 0, []
    for text, encoding in zip(texts, encodings, strict=True):
        pairs.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + begin)
        begin += len(text)
    flat = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
    # A token that stands for no text overlaps what stands at its place, as in `chat`.
    ends = np.maximum(flat[:, 1], flat[:, 0] + 1)
    n_tokens = np.array([len(encoding.ids) for encoding in encodings], np.int64)
    return Encoded(flat[:, 0], ends, n_tokens, in_bytes=False)


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
