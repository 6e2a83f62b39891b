"""What a diagnosis is made of: findings, each with its evidence, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ftlab.diagnosis.shown import as_html, as_text

UNDECIDED = "undecided"
"""The label while there is too little to say anything."""
GOOD = "good"
Evidence = Mapping[str, float | str]


class Advice(NamedTuple):
    """One thing to do."""

    text: str
    source: str
    """Whose advice it is."""
    changes: Mapping[str, Any] = {}
    """Fields of the spec → their new values; empty where nothing certain follows."""
    cost: str = ""
    """What trying it takes, in words."""

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "changes": dict(self.changes)}


class Finding(NamedTuple):
    """Something that a curve shows."""

    label: str
    confidence: float
    """0 to 1: how likely it is what it looks like."""
    evidence: Evidence
    meaning: str
    advice: tuple[Advice, ...] = ()

    @property
    def title(self) -> str:
        """The label in words: "learning rate too low"."""
        return self.label.replace("lr_", "learning rate ").replace("_", " ")

    def as_dict(self) -> dict[str, Any]:
        return {
            **self._asdict(),
            "evidence": dict(self.evidence),
            "advice": [one.as_dict() for one in self.advice],
        }


@dataclass(frozen=True)
class Diagnosis:
    """What a curve most likely means, what to do, and what else it shows."""

    label: str = UNDECIDED
    confidence: float = 0.0
    evidence: Evidence = field(default_factory=dict)
    meaning: str = ""
    advice: tuple[Advice, ...] = ()
    secondary: tuple[Finding, ...] = ()
    """What it may mean as well, the likelier first."""
    needs: str = ""
    """What a verdict still waits for: "38 more steps"; empty once there is one."""
    next_experiment: Advice | None = None
    """The one worth doing next."""

    @property
    def is_decided(self) -> bool:
        return self.label != UNDECIDED

    @property
    def is_healthy(self) -> bool:
        """Whether nothing speaks against the run so far."""
        return self.label in (GOOD, UNDECIDED) and not self.secondary

    @property
    def first(self) -> Finding:
        """What comes first, as a finding."""
        return Finding(self.label, self.confidence, self.evidence, self.meaning, self.advice)

    @property
    def headline(self) -> str:
        """One line for a person."""
        if not self.is_decided:
            return f"No verdict yet: it needs {self.needs}."
        return f"{self.first.title.capitalize()} ({self.confidence:.0%} sure). {self.meaning}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        {"label", "confidence" (0 to 1), "evidence" {name: number or text}, "advice" [{"text",
        "source", "changes" {field: value}, "cost"}], "secondary" [{"label", "confidence",
        "evidence", "meaning", "advice"}], "meaning", "needs", "next_experiment" (advice or null)}.
        A label is "undecided" while `needs` says what is missing.
        """
        return {
            **self.first.as_dict(),
            "secondary": [one.as_dict() for one in self.secondary],
            "needs": self.needs,
            "next_experiment": self.next_experiment and self.next_experiment.as_dict(),
        }

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)
