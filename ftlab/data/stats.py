"""Statistics of token counts, kept so that every figure follows exactly from what is stored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate

from pydantic import BaseModel, ConfigDict, Field

from ftlab.packs import count_packs

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


class Places:
    """Places with how often each occurs, asked again and again for what lies beyond a limit."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._sorted = sorted(counts)
        self._n = [0, *accumulate(counts[place] for place in self._sorted)]
        self._sum = [0, *accumulate(place * counts[place] for place in self._sorted)]

    def beyond(self, limit: int | None) -> int:
        """How many lie above it; none above None."""
        return 0 if limit is None else self._n[-1] - self._n[bisect_right(self._sorted, limit)]

    def below(self, limit: int | None) -> int:
        """How many lie under it; all under None."""
        return self._n[-1 if limit is None else bisect_left(self._sorted, limit)]

    def reach(self, limit: int | None) -> int:
        """The sum of all places, those above the limit taken as the limit."""
        if limit is None:
            return self._sum[-1]
        return self._sum[bisect_right(self._sorted, limit)] + limit * self.beyond(limit)


class TokenStats(BaseModel):
    """Tokens per sequence; a preference row is two sequences."""

    model_config = ConfigDict(frozen=True)

    lengths: dict[int, int]
    """Length in tokens → number of sequences; everything below follows from it exactly."""
    by_role: dict[str, int]
    """Tokens of each role; "template" is what the chat template writes between them."""
    run_starts: dict[int, int] = Field(default_factory=dict)
    """Place of the first token of a run of trained tokens → number of such runs."""
    run_ends: dict[int, int] = Field(default_factory=dict)
    """Place behind the last token of a run → number of runs. Both give what any length keeps."""
    first_trained: dict[int, int] = Field(default_factory=dict)
    """Place of a sequence's first trained token → sequences; those without one are left out."""
    last_trained: dict[int, int] = Field(default_factory=dict)
    """Place behind a sequence's last trained token → sequences that have one."""

    @cached_property
    def n_sequences(self) -> int:
        return sum(self.lengths.values())

    @cached_property
    def total(self) -> int:
        return sum(length * count for length, count in self.lengths.items())

    @cached_property
    def longest(self) -> int:
        return max(self.lengths, default=0)

    @cached_property
    def _lengths(self) -> Places:
        return Places(self.lengths)

    @cached_property
    def _starts(self) -> Places:
        return Places(self.run_starts)

    @cached_property
    def _ends(self) -> Places:
        return Places(self.run_ends)

    @cached_property
    def _first(self) -> Places:
        return Places(self.first_trained)

    @cached_property
    def _last(self) -> Places:
        return Places(self.last_trained)

    def total_within(self, max_seq_length: int | None) -> int:
        """Tokens left when sequences are cut at that length."""
        return self._lengths.reach(max_seq_length)

    @cached_property
    def _packs(self) -> dict[int, int]:
        """Length → packs, once they are counted: the form asks with every key."""
        return {}

    def packs_within(self, length: int) -> int:
        """Packs of that length that the sequences fill."""
        if length not in self._packs:
            self._packs[length] = count_packs(self.lengths, length)
        return self._packs[length]

    def n_longer(self, max_seq_length: int | None) -> int:
        """Sequences above that length."""
        return self._lengths.beyond(max_seq_length)

    def trained_within(self, max_seq_length: int | None) -> int:
        """Trained tokens left when sequences are cut at that length."""
        return self._ends.reach(max_seq_length) - self._starts.reach(max_seq_length)

    def n_untrained(self, max_seq_length: int | None) -> int:
        """Sequences of which no token trains within that length."""
        return self.n_sequences - self._first.below(max_seq_length)

    def n_answer_cut(self, max_seq_length: int | None) -> int:
        """Sequences that lose trained tokens at that length."""
        return self._last.beyond(max_seq_length)

    def recommended_length(self, share: float = 0.999) -> int:
        """The smallest multiple of 64 that keeps `share` of the trained tokens whole."""
        wanted = share * self.trained_within(None)
        lengths = range(64, self.longest + 64, 64)
        place = bisect_left(lengths, wanted, key=self.trained_within)
        return lengths[min(place, len(lengths) - 1)] if lengths else 0

    def packing_efficiency(self, max_seq_length: int | None) -> float:
        """Share of places that hold a token when sequences are packed into such lengths, longest
        first, each where it leaves the least room; 1 where nothing is left empty."""
        length = max_seq_length or self.longest
        if not length or not self.lengths:
            return 1.0
        return self.total_within(length) / (self.packs_within(length) * length)

    def quantile(self, share: float) -> int:
        """The smallest length that `share` (0 to 1) of the sequences do not exceed."""
        wanted, seen = share * self.n_sequences, 0
        for length in sorted(self.lengths):
            seen += self.lengths[length]
            if seen >= wanted:
                return length
        return self.longest

    def quantiles(self) -> dict[str, int]:
        """p5 to p99, and the longest."""
        found = {f"p{share * 100:g}": self.quantile(share) for share in QUANTILES}
        return {**found, "max": self.longest}

    def histogram(self, n_bins: int = 24) -> list[tuple[int, int, int]]:
        """(from, to, sequences) of equal bins from 0 to the longest; `to` is not in the bin."""
        width = max(1, -(-(self.longest + 1) // n_bins))
        counts = Counter[int]()
        for length, n in self.lengths.items():
            counts[length // width] += n
        n_used = self.longest // width + 1
        return [(i * width, (i + 1) * width, counts[i]) for i in range(n_used)]
