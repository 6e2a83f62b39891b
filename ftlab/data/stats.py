"""Statistics of token counts, kept so that every figure follows exactly from what is stored."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, ConfigDict

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


class TokenStats(BaseModel):
    """Tokens per sequence; a preference row is two sequences."""

    model_config = ConfigDict(frozen=True)

    lengths: dict[int, int]
    """Length in tokens → number of sequences; everything below follows from it exactly."""
    by_role: dict[str, int]
    """Tokens of each role; "template" is what the chat template writes between them."""

    @property
    def n_sequences(self) -> int:
        return sum(self.lengths.values())

    @property
    def total(self) -> int:
        return sum(length * count for length, count in self.lengths.items())

    @property
    def longest(self) -> int:
        return max(self.lengths, default=0)

    def total_within(self, max_seq_length: int | None) -> int:
        """Tokens left when sequences are cut at that length."""
        if max_seq_length is None:
            return self.total
        return sum(min(length, max_seq_length) * n for length, n in self.lengths.items())

    def n_longer(self, max_seq_length: int | None) -> int:
        """Sequences above that length."""
        if max_seq_length is None:
            return 0
        return sum(n for length, n in self.lengths.items() if length > max_seq_length)

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
