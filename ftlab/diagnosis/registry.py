"""How a detector is written and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.findings import Advice, Evidence, Finding
from ftlab.diagnosis.statistics import Statistics


class Hit(NamedTuple):
    """What a detector returns when it finds what it looks for."""

    confidence: float
    """0 to 1."""
    evidence: Evidence
    meaning: str = ""
    """In place of the detector's, where more is known."""


Find = Callable[[Statistics], Hit | None]
Advise = Callable[[Statistics], tuple[Advice, ...]]


@dataclass(frozen=True, slots=True)
class Detector:
    label: str
    find: Find
    meaning: str
    """One sentence for a person."""
    source: str
    """Who describes it."""
    advise: Advise
    example: Callable[[], Curve]
    """Makes a curve that shows it."""
    least_steps: int
    """Below these nothing is said."""

    def finding(self, facts: Statistics) -> Finding | None:
        """What it finds, with advice."""
        hit = self.find(facts) if facts.curve.n >= self.least_steps else None
        if hit is None:
            return None
        sure = round(min(max(hit.confidence, 0.0), 1.0), 2)
        means = hit.meaning or self.meaning
        return Finding(self.label, sure, _rounded(hit.evidence), means, self.advise(facts))


VERDICTS: list[Detector] = []
"""Of these a run gets one: the first that hits, in this order."""
OBSERVATIONS: list[Detector] = []
"""What may be seen besides."""


def detector(
    into: list[Detector],
    *,
    meaning: str,
    source: str,
    advise: Advise,
    example: Callable[[], Curve],
    least_steps: int,
) -> Callable[[Find], Find]:
    """Register a function under its name as what finds a label."""

    def register(find: Find) -> Find:
        into.append(Detector(find.__name__, find, meaning, source, advise, example, least_steps))
        return find

    return register


def sure(value: float, least: float, clear: float) -> float:
    """0.5 at the threshold, 0.9 where it is clear, at most 0.95."""
    return min(0.5 + 0.4 * (value - least) / (clear - least), 0.95)


def _rounded(evidence: Evidence) -> Evidence:
    """Numbers to four digits: no more is known."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in evidence.items()
    }
