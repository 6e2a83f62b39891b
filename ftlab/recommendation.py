"""Recommendation: a value for one field with its range, its source, and who says otherwise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ftlab.html import escaped, rate, table

SMALLEST_PLAIN = 0.01  # smaller numbers are rates, written with a power of ten


@dataclass(frozen=True, slots=True)
class Other:
    """What another source says of the same field."""

    value: str
    """A value or a range in words: "1e-5 to 2e-4"."""
    source: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A value for one field, and why."""

    value: Any
    source: str
    """Whose opinion it is."""
    why: str
    low: float | None = None
    """The lowest value that is still reasonable; None where a range means nothing."""
    high: float | None = None
    others: tuple[Other, ...] = ()
    """Sources that disagree."""


class Recommendations(dict[str, Recommendation]):
    """Field → recommendation; shows itself as a table in a notebook and as lines in a terminal."""

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain data for JSON.

        {field: {"value", "low", "high", "source", "why", "others": [{"value", "source"}, …]}};
        `low` and `high` are numbers or null, `others` may be empty.
        """
        return {name: asdict(advice) for name, advice in self.items()}

    def __str__(self) -> str:
        return "\n".join(_lines(name, advice) for name, advice in self.items())

    def _repr_html_(self) -> str:
        header = ("field", "value", "range", "why", "source", "others say")
        rows = ((escaped(cell) for cell in _cells(*item)) for item in self.items())
        return table(header, rows)


def shown(value: Any) -> str:
    """A value as people write it: 0.00047 as 4.7e-4, 0.05 as it is."""
    small = isinstance(value, float) and 0 < abs(value) < SMALLEST_PLAIN
    return rate(value) if small else f"{value:g}" if isinstance(value, float) else str(value)


def in_range(low: float | None, high: float | None) -> str:
    """A range in words (1e-4 to 1e-3), or nothing where there is none."""
    if low is None or high is None:
        return ""
    return shown(low) if low == high else f"{shown(low)} to {shown(high)}"


def _cells(name: str, advice: Recommendation) -> tuple[str, ...]:
    others = "; ".join(f"{other.value} ({other.source})" for other in advice.others)
    spread = in_range(advice.low, advice.high)
    return name, shown(advice.value), spread, advice.why, advice.source, others


def _lines(name: str, advice: Recommendation) -> str:
    spread = in_range(advice.low, advice.high)
    first = f"{name}: {shown(advice.value)}" + (f" ({spread})" if spread else "")
    others = [f"    others: {other.value}, {other.source}" for other in advice.others]
    return "\n".join([first, f"    {advice.why}; {advice.source}", *others])
