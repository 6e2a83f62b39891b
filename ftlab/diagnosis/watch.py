"""Watch: the diagnosis of a run while it goes on."""

from __future__ import annotations

from dataclasses import replace

from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.doctor import diagnose
from ftlab.diagnosis.findings import UNDECIDED, Diagnosis, Finding

EVERY = 10
"""Steps from one look to the next."""
HITS = 2
"""Looks in a row that must say the same before it is shown."""
CERTAIN = 0.97
"""Confidence of what one look is enough for."""


class Watch:
    """Looks at a run every ten steps; what it says changes only when two looks agree, so that
    nothing flickers. What is certain (no number, no gradient, no trained token) is said at once."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.diagnosis = Diagnosis(needs="the first steps")
        self._looked_at = 0
        self._was_over = False
        self._seen: dict[str, int] = {}

    def add(self, curve: Curve) -> Diagnosis:
        """What is to be shown now that the run is so far."""
        last = curve.steps[-1] if curve.steps else 0
        if last < self._looked_at:  # a resumed attempt went back
            self._begin()
        due = last - self._looked_at >= EVERY or last < EVERY
        if not due and curve.is_over == self._was_over:
            return self.diagnosis
        self._looked_at, self._was_over = last, curve.is_over
        self.diagnosis = self._steadied(diagnose(curve), curve)
        return self.diagnosis

    def _steadied(self, found: Diagnosis, curve: Curve) -> Diagnosis:
        labels = {found.label, *(one.label for one in found.secondary)}
        self._seen = {label: self._seen.get(label, 0) + 1 for label in labels}
        if curve.is_over:
            return found
        secondary = tuple(filter(self._is_steady, found.secondary))
        if self._is_steady(found.first) or found.label == UNDECIDED:
            return replace(found, secondary=secondary)
        return replace(self.diagnosis, secondary=secondary)

    def _is_steady(self, found: Finding) -> bool:
        """Whether it has been seen often enough, or is certain."""
        return found.confidence >= CERTAIN or self._seen.get(found.label, 0) >= HITS
