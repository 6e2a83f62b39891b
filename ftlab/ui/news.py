"""What tells whether a run has anything new to show."""

from __future__ import annotations

from typing import Any

from ftlab.run import Run


def news_of(run: Run) -> tuple[Any, ...]:
    """Another one whenever the run has told something, was asked for something, or has ended."""
    history = run.history
    points = (len(values) for values in history.series.values())
    told = (len(history.statuses), len(history.logs), len(history.decisions))
    stands = (run.id, run.name, run.state, run.is_alive, run.asked())
    return (*stands, history.last_step, *told, *points)
