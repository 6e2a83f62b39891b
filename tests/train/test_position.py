"""Early stopping by hand: what is judged, what improves, and when it is enough."""

from __future__ import annotations

import math

import pytest

from ftlab.spec import JobSpec
from ftlab.train.position import Position, Verdicts, is_enough, judged

STOPPING = JobSpec(
    early_stopping_enabled=True, early_stopping_patience=2, early_stopping_warmup_evals=1
)


def after(spec, *losses):
    """The verdicts after evaluations at steps 1, 2, …, and the step at which it was enough."""
    verdicts = Verdicts()
    for step, loss in enumerate(losses, start=1):
        verdicts = judged(verdicts, spec, step, loss)
        if is_enough(verdicts, spec):
            return verdicts, step
    return verdicts, None


@pytest.mark.parametrize(
    ("changes", "losses", "best", "ended"),
    [
        ({}, (9.0, 3.0, 2.0, 1.0), 4, None),
        ({}, (9.0, 3.0, 3.1, 3.0), 2, 4),
        ({}, (1.0, 3.0, 2.9, 3.1, 2.95), 3, 5),  # the first is not judged, however low
        ({"early_stopping_warmup_evals": 0}, (1.0, 3.0, 2.9), 1, 3),
        ({"early_stopping_min_delta": 0.5}, (9.0, 3.0, 2.8, 2.6), 4, 4),  # best, and not better
        ({"early_stopping_min_delta": 0.5}, (9.0, 3.0, 2.8, 2.2, 2.1), 5, None),
        ({}, (9.0, 3.0, math.nan, math.nan), 2, 4),
        ({"early_stopping_patience": 1}, (9.0, 3.0, 3.0), 2, 3),
        ({"early_stopping_enabled": False}, (3.0, 9.0, 9.0, 9.0), 1, None),
    ],
)
def test_when_it_is_enough(changes, losses, best, ended):
    verdicts, step = after(STOPPING.changed(**changes), *losses)
    assert (verdicts.best_step, step) == (best, ended)


def test_a_position_comes_back_as_it_was():
    for verdicts in (Verdicts(), after(STOPPING, 3.0, 0.1 + 0.2)[0]):
        position = Position(step=7, rows_seen=50, evaluated=6, verdicts=verdicts)
        assert Position.model_validate_json(position.model_dump_json()) == position
