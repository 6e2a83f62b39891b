"""Counts and intervals. ftlab and Together say how often; the other tools, every how many steps.

A count survives a change of the data, an interval doesn't; to turn one into the other takes the
number of steps, hence of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeGuard

from ftlab.advice import training_sequences
from ftlab.data.report import DataReport
from ftlab.issues import LARGEST
from ftlab.schedule import total_steps
from ftlab.spec import JobSpec, parse

SCAN = "Name a training_file that is here (in code: give a report of its scan), or set max_steps."

NO_END = 1_000_000_000
"""An interval in steps that no run reaches: only at the end."""


def n_steps_of(values: JobSpec | Mapping[str, Any], report: DataReport | None) -> int | None:
    """Optimizer steps of a job; None when neither rows nor max_steps tell them.

    A batch_size that is not known yet leaves them unknown too.
    """
    spec, _ = parse(values)
    n_rows = training_sequences(spec, report)
    if n_rows is None:
        return spec.max_steps
    if spec.batch_size == "max":
        return None
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    return total_steps(n_rows, per_step, spec.n_epochs, spec.max_steps)


def every(n_steps: int, count: int) -> int:
    """The interval in steps that makes `count` (1 or more) of something, or one fewer or so where
    the steps do not divide; the same rounding as transformers' own of a share."""
    return max(1, math.ceil(n_steps / count))


def how_often(interval: float, n_steps: int | None) -> int | None:
    """The count that comes nearest to an interval, at least 1; None when the steps are unknown.

    Below 1 it is a share of the run, as in transformers, and needs no steps.
    """
    if 0 < interval < 1:
        return max(1, min(round(1 / max(interval, 1 / NO_END)), n_steps or NO_END))
    if not 1 <= interval < math.inf or (n_steps is None and interval < NO_END):
        return None
    return max(1, round((n_steps or 0) / interval))


def share_of(part: Any, whole: Any) -> float | None:
    """part / whole, where both are numbers that allow it."""
    return part / whole if is_number(part) and is_number(whole) and whole > 0 else None


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether one can calculate with it; not a switch, not infinite, nor too large for a float."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def number(value: Any) -> Any:
    """The number that a text stands for, anything else as it is: YAML 1.1 reads 1e-5 as text."""
    for kind in (int, float) if isinstance(value, str) else ():
        with suppress(ValueError):
            return kind(value)
    return value
