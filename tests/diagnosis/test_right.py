"""How often the doctor is right, on what no threshold was chosen by and on recorded real runs."""

from __future__ import annotations

from tests.benchmarks.doctor import (
    false_alarms,
    generated_cases,
    healthy_cases,
    judged,
    real_cases,
    right_share,
)
from tests.diagnosis.truth import (
    FALSE_ALARMS,
    HELD_OUT,
    REAL_HELD_OUT,
    REAL_TUNING,
    RIGHT_GENERATED,
    RIGHT_REAL,
)


def test_generated_curves():
    assert right_share(judged(generated_cases(HELD_OUT, per_label=20))) >= RIGHT_GENERATED


def test_healthy_curves():
    assert false_alarms(judged(healthy_cases(HELD_OUT))) <= FALSE_ALARMS


def test_real_runs():
    cases = real_cases((*REAL_TUNING, REAL_HELD_OUT))
    assert len(cases) >= 40
    assert right_share(judged(cases)) >= RIGHT_REAL
