"""Watch: the diagnosis of a run while it goes on."""

from __future__ import annotations

from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.doctor import AT_ONCE, diagnose
from ftlab.diagnosis.findings import UNDECIDED, Diagnosis

EVERY = 10
"""Steps from one look to the next."""
HITS = 2
"""Looks in a row that must say the same before it is shown."""


class Watch:
    """Looks at a run every ten steps; what it says changes only when two looks agree, so that
    nothing flickers. What needs no course (no number, no gradient, no mask) is said at once."""

    def __init__(self) -> None:
        self.diagnosis = Diagnosis(needs="the first steps")
        self._looked_at = 0
        self._was_over = False
        self._seen: dict[str, int] = {}

    def add(self, curve: Curve) -> Diagnosis:
        """What is to be shown now that the run is so far."""
        last = curve.steps[-1] if curve.steps else 0
        if last < self._looked_at:  # a resumed attempt went back
            self.__init__()
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
        secondary = tuple(one for one in found.secondary if self._is_steady(one.label))
        if self._is_steady(found.label) or found.label == UNDECIDED:
            return _with(found, secondary)
        return _with(self.diagnosis, secondary)

    def _is_steady(self, label: str) -> bool:
        return label in (*AT_ONCE, "out_of_memory") or self._seen.get(label, 0) >= HITS


def _with(found: Diagnosis, secondary: tuple) -> Diagnosis:
    from dataclasses import replace

    return replace(found, secondary=secondary)
