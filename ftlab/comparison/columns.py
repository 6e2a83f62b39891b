"""Rows of other tools, one for each time that something was logged, as a Track."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ftlab.comparison.track import Steps, Track, summed
from ftlab.diagnosis.tables import Row, is_summary, plain
from ftlab.names import METRIC_NAMES, STEP_NAMES

TOKENS = (
    *("num_input_tokens_seen", "train/num_input_tokens_seen", "num_tokens", "train/num_tokens"),
    *("tokens", "tokens_seen"),
)
"""Tokens until then."""
SECONDS = ("_runtime", "relative time (process)", "seconds")
STAMPS = ("_timestamp", "wall_time", "timestamp", "time")
"""When it was logged: seconds since the epoch, or a date."""


def track_of_rows(
    rows: Iterable[Row], name: str, source: str, settings: Mapping[str, Any] | None = None
) -> Track:
    """The curves in rows; one without a step stands at its place, from 1, and of two values at a
    step the later one counts."""
    series: dict[str, dict[int, float]] = {}
    tokens, seconds, stamps = dict[int, float](), dict[int, float](), dict[int, float]()
    for place, row in enumerate((plain(row) for row in rows), start=1):
        step = _step(row, place)
        for metric, names in METRIC_NAMES.items():
            value = _first(row, names)
            if value is not None and not (metric == "train_loss" and is_summary(row)):
                series.setdefault(metric, {})[step] = value
        for known, names in ((tokens, TOKENS), (seconds, SECONDS), (stamps, STAMPS)):
            if (value := _first(row, names)) is not None and math.isfinite(value):
                known[step] = value
    ordered = {metric: _rising(points) for metric, points in series.items()}
    told = _rising(tokens) or summed(ordered.get("loss_tokens", {}))
    passed = _rising(seconds) or _since_the_first(_rising(stamps))
    return Track(name, source, ordered, told, passed, settings or {})


def _step(row: Row, place: int) -> int:
    found = _first(row, STEP_NAMES)
    return place if found is None or not math.isfinite(found) else int(found)


def _first(row: Row, names: Iterable[str]) -> float | None:
    return next((x for name in names if (x := _number(row.get(name))) is not None), None)


def _number(value: Any) -> float | None:
    """A number, also one written as text or as a date (seconds since the epoch); None for anything
    else, and for nothing."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return _seconds_of(value)


def _seconds_of(value: Any) -> float | None:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _rising(points: Steps) -> dict[int, float]:
    return dict(sorted(points.items()))


def _since_the_first(stamps: Steps) -> dict[int, float]:
    start = min(stamps.values(), default=0.0)
    return {step: at - start for step, at in stamps.items()}
