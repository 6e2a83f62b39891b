"""What runs were estimated to take when they were submitted, and what they took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from ftlab.comparison.track import Track
from ftlab.estimated import duration_in_words
from ftlab.prices import Price, dollars
from ftlab.run import Run
from ftlab.running_costs import SECONDS_PER_HOUR
from ftlab.units import duration

TITLES = ("run", "time estimated", "time taken", "price estimated", "price paid")


class Cost(NamedTuple):
    """None is unknown. Ranges are (low, high)."""

    seconds_estimated: tuple[float, float] | None = None
    seconds: float | None = None
    """Of training until now."""
    usd_estimated: tuple[float, float] | None = None
    usd: float | None = None
    """By the person's own rate on this machine; what the service says of a job of its own."""

    def cells(self) -> tuple[str, ...]:
        """In words, in the order of TITLES."""
        estimated = self.usd_estimated
        return (
            duration_in_words(self.seconds_estimated) if self.seconds_estimated else "",
            "" if self.seconds is None else duration(self.seconds),
            Price(*estimated).in_words() if estimated else "",
            "" if self.usd is None else dollars(self.usd),
        )


def cost_of(run: Run) -> Cost:
    """What is known of a run by now."""
    told = run.job.estimate
    seconds = max(run.history.seconds.values(), default=None)
    rate = run.job.options.get("usd_per_hour")
    usd = None
    if run.is_hosted:
        usd = _billed(run)
    elif rate and seconds is not None:
        usd = rate * seconds / SECONDS_PER_HOUR
    return Cost(told.seconds, seconds, told.usd, usd)


def costs_cells(tracks: Sequence[Track]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of the runs of which more than the time is known."""
    known = [(track.name, cost_of(track.run)) for track in tracks if track.run is not None]
    told = [(name, one) for name, one in known if any(one._replace(seconds=None))]
    return list(TITLES), [[name, *one.cells()] for name, one in told]


def without_blanks(titles: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A table for a person without the columns in which no row has a value; what reads JSON finds
    all of them."""
    kept = [place for place in range(len(titles)) if any(row[place] for row in rows)]
    return [titles[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _billed(run: Run) -> float | None:
    """What the service said last of the job's price."""
    from ftlab.providers.together.listing import in_dollars

    try:
        lines = run.said_file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if "total_price" in line and (price := in_dollars(_price(line))):
            return price
    return None


def _price(line: str) -> object:
    """The price in a reply of the service, whatever was asked."""
    try:
        replies = json.loads(line).values()
    except (ValueError, AttributeError):
        return None
    found = (
        one["total_price"] for one in replies if isinstance(one, dict) and "total_price" in one
    )
    return next(found, None)
