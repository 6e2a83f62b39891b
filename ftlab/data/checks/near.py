"""Rows that say nearly the same: MinHash finds candidates, the exact Jaccard index decides.

Two texts are near duplicates when they share 80 % of their runs of three words. Signatures are
rensa's; without it there is an Issue that says so.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from ftlab.data.checks.registry import Thresholds
from ftlab.issues import LINES_KEPT, Issue

SIMILAR = 0.8
"""Jaccard index from which on two texts are near duplicates."""
MOST_ROWS = 20_000
"""Rows that are compared with each other without being asked."""
MOST_CHARACTERS = 32 << 20
"""And the text of all of them."""
WORDS_KEPT = 4_000
"""Words of a text that are compared; the rest of a longer one is left out."""
LONG_WORD = 64
"""Characters; so many for each of these words are looked at."""
SHINGLE = 3
# 25 bands of 5 find a pair of J = 0.8 in 99.995 of 100 cases: 1 - (1 - 0.8^5)^25.
BANDS, BAND = 25, 5
EARLIER = 4
"""Rows at the start of a group that each other is compared with, so that a file of one template
does not take a square time."""
LIKELY = 0.65
"""Equal numbers of two signatures below which J = 0.8 is four standard deviations away."""
BATCH = 1_000
SEED = 42
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff]+")

Pair = tuple[int, int, float]
Sets = tuple[list[int], list[np.ndarray]]
"""Lines and the shingles of each."""


class NearRows:
    """The rows of a file as sets of shingles; it holds nothing once they are too many."""

    def __init__(self, n_bytes: int | None = None) -> None:
        """`n_bytes`: of the file, where it is known."""
        self.too_many = (n_bytes or 0) > 2 * MOST_CHARACTERS
        self.n_rows = self._n_chars = 0
        self._rows: list[tuple[int, int, np.ndarray]] = []

    def add(self, number: int, text: str, row_hash: int) -> None:
        """Take in a row: its line, what it says, and a hash of all that is in it."""
        if self.too_many:
            return
        self.n_rows += 1
        self._n_chars += len(text)
        if self.n_rows > MOST_ROWS or self._n_chars > MOST_CHARACTERS:
            self.too_many = True
            self._rows.clear()
        else:
            self._rows.append((number, row_hash, shingles_of(text)))

    def all(self) -> Sets:
        """(lines, shingles) of the rows, in file order."""
        rows = sorted((row for row in self._rows if len(row[2])), key=lambda row: row[0])
        return [number for number, _, _ in rows], [shingles for _, _, shingles in rows]

    def different(self) -> Sets:
        """The same, of exact copies the first only: others find those."""
        seen: dict[int, int] = {}
        for number, row_hash, _ in sorted(self._rows, key=lambda row: row[0]):
            seen.setdefault(row_hash, number)
        first = set(seen.values())
        pairs = [pair for pair in zip(*self.all(), strict=True) if pair[0] in first]
        return [number for number, _ in pairs], [shingles for _, shingles in pairs]


def near_rows(rows: Iterable[tuple[int, str]]) -> NearRows:
    """(line, text) of the rows of a small file, to compare them by hand."""
    near = NearRows()
    for number, text in rows:
        near.add(number, text, hash(text))
    return near


def near_duplicates(rows: NearRows) -> list[Pair]:
    """(earlier line, line, Jaccard index) of rows that nearly repeat another's text.

    Texts that are equal to the letter count once: exact copies are found elsewhere. Of a group
    of near duplicates each is paired with one before it. Raises ImportError without rensa.
    """
    return _matches(*rows.different())


def near_leakage(train: NearRows, validation: NearRows) -> list[Pair]:
    """(line in train, line in validation, Jaccard index) of rows that nearly say the same, equal
    texts included."""
    lines, shingles = train.different()
    others, more = validation.all()
    return _matches([*lines, *others], [*shingles, *more], len(lines))


# --- texts to sets of shingles ---------------------------------------------------------------


def shingles_of(text: str) -> np.ndarray:
    """Sorted hashes of a text's runs of three words; of all its words where it has fewer."""
    words = _WORD.findall(text[: WORDS_KEPT * LONG_WORD].casefold())[:WORDS_KEPT]
    if not words:
        return np.zeros(0, np.uint64)
    hashes = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    n = max(len(hashes) - SHINGLE + 1, 1)
    mixed = np.zeros(n, np.uint64)
    for offset in range(min(SHINGLE, len(hashes))):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + hashes[offset : offset + n]
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Shared elements ÷ all elements of two sorted sets."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


# --- candidates ------------------------------------------------------------------------------


def _matches(
    lines: list[int], shingles: list[np.ndarray], n_train: int | None = None
) -> list[Pair]:
    """Verified pairs, at most one for each later row; with `n_train` only pairs of one of the
    first so many rows with one of the others."""
    if not lines:
        return []
    found: dict[int, Pair] = {}
    tried = set[tuple[int, int]]()
    signatures = _signatures(shingles)
    for band in range(BANDS):
        keys = _mixed(signatures[:, band * BAND : (band + 1) * BAND])
        for a, b in _candidates(keys, signatures, n_train):
            small, large = sorted((len(shingles[a]), len(shingles[b])))
            if b in found or small < SIMILAR * large or (a, b) in tried:
                continue
            tried.add((a, b))
            index = jaccard(shingles[a], shingles[b])
            if index >= SIMILAR:
                found[b] = (lines[a], lines[b], index)
    return sorted(found.values(), key=lambda pair: pair[1])


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """One number for the numbers of each row."""
    mixed = np.zeros(len(numbers), np.uint64)
    for column in numbers.T.astype(np.uint64):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + column
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _candidates(
    keys: np.ndarray, signatures: np.ndarray, n_train: int | None
) -> Iterator[tuple[int, int]]:
    """Pairs of rows with the same key: each with the first of its group and the one before it."""
    order = np.argsort(keys, kind="stable")
    new = np.concatenate(([True], keys[order][1:] != keys[order][:-1]))
    here = np.arange(len(keys))
    start = np.maximum.accumulate(np.where(new, here, 0))
    for first in [*(start + k for k in range(EARLIER)), here - 1]:
        fits = (first >= start) & (first < here)
        a, b = order[first[fits]], order[here[fits]]
        if n_train is not None:
            apart = (a < n_train) & (b >= n_train)
            a, b = a[apart], b[apart]
        for at in range(0, len(a), BATCH):
            one, other = a[at : at + BATCH], b[at : at + BATCH]
            likely = (signatures[one] == signatures[other]).mean(axis=1) >= LIKELY
            yield from zip(one[likely].tolist(), other[likely].tolist(), strict=True)


def _signatures(shingles: list[np.ndarray]) -> np.ndarray:
    """One row of `BANDS` × `BAND` numbers per set."""
    from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]

    parts = []
    for start in range(0, len(shingles), BATCH):
        batch = shingles[start : start + BATCH]
        offsets = array("Q", np.concatenate(([0], np.cumsum([len(s) for s in batch]))).tolist())
        matrix: Any = RMinHash.digest_matrix_from_flat_token_hashes(
            np.concatenate(batch), offsets, BANDS * BAND, SEED
        )
        parts.append(np.array(matrix.to_rows(), np.uint32))
    return np.concatenate(parts)


# --- in words --------------------------------------------------------------------------------


def has_rensa() -> bool:
    """Whether near duplicates can be looked for."""
    from importlib.util import find_spec

    return find_spec("rensa") is not None


def near_duplicate_issues(
    name: str, rows: NearRows | None, thresholds: Thresholds | None = None
) -> Iterator[Issue]:
    """The near duplicates of a file; or that they can't be looked for, as without `rows`."""
    limits = thresholds or Thresholds()
    if rows is None:
        yield _missing()
        return
    if rows.too_many:
        yield _not_sought(name)
        return
    pairs = near_duplicates(rows)
    if not pairs:
        return
    later = sorted(b for _, b, _ in pairs)
    a, b, j = pairs[0]
    share = len(later) / rows.n_rows
    yield Issue(
        "warning" if share > limits.near_duplicates else "tip",
        f"{name} line {b}: this row shares {j:.0%} of its wording with line {a}; rows that differ "
        f"in a few words teach little more than one. Keep one of each group. {len(later):,} rows "
        f"({share:.1%}) nearly repeat an earlier one.",
        code="near_duplicates",
        lines=tuple(later[:LINES_KEPT]),
        count=len(later),
    )


def near_leakage_issues(
    train_name: str,
    train: NearRows,
    validation_name: str,
    validation: NearRows,
    known: Collection[int] = (),
) -> Iterator[Issue]:
    """Validation rows that nearly repeat a training row, besides the lines that are `known` to; or
    that the training file is too large to look. What was too large to be searched in itself has
    its own word of it."""
    if train.too_many:
        yield _not_sought(train_name)
    if train.too_many or validation.too_many:
        return
    found = near_leakage(train, validation)
    pairs = {b: (a, j) for a, b, j in sorted(found, key=lambda p: p[2]) if b not in known}
    if not pairs:
        return
    lines = sorted(pairs)
    a, j = pairs[lines[0]]
    yield Issue(
        "warning",
        f"{validation_name} line {lines[0]}: this row shares {j:.0%} of its wording with line {a} "
        f"of {train_name}; what is trained on can't test the model. Take it out of one of the two. "
        f"{len(lines):,} of {validation.n_rows:,} rows have this.",
        code="near_leakage",
        where="validation_file",
        lines=tuple(lines[:LINES_KEPT]),
        count=len(lines),
    )


def _not_sought(name: str) -> Issue:
    return Issue(
        "tip",
        f"Near duplicates were not looked for in {name}: that takes long, and is done for up to "
        f"{MOST_ROWS:,} rows of {MOST_CHARACTERS >> 20} MiB of text in a file of up to "
        f"{2 * MOST_CHARACTERS >> 20} MiB. For a larger file scan a part of it.",
        code="near_duplicates_not_sought",
    )


def _missing() -> Issue:
    return Issue(
        "tip",
        "Near duplicates were not looked for: this takes the package rensa, which is not "
        "installed. Run `pip install rensa`.",
        code="no_rensa",
    )
