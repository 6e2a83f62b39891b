"""Curves of runs, and of files that other trainers wrote."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.advice import recommend
from ftlab.diagnosis import tables
from ftlab.diagnosis.curve import Curve
from ftlab.diagnosis.tried import tried_beside
from ftlab.errors import FtlabError, UnreadableData
from ftlab.html import visible
from ftlab.models import read_info
from ftlab.names import METRIC_NAMES, STEP_NAMES
from ftlab.rates import NARROWEST, SWEEP_WIDTH
from ftlab.spec import JobSpec

if TYPE_CHECKING:
    from ftlab.run import Run

BY_STEP = (
    *("grad_norm", "learning_rate", "loss_tokens", "tokens_per_second", "memory_gib"),
    *("gpu_memory_gib", "utilization", "seconds", "loader_seconds"),
)
COLUMNS = {
    "step": STEP_NAMES,
    **{name: (name,) for name in BY_STEP},
    **METRIC_NAMES,
    "gpu_memory_gib": ("gpu_memory_used_gib", *METRIC_NAMES["gpu_memory_gib"]),
    "seconds": ("step_seconds", "seconds"),
}
"""Our column → its names in a file, the surest first."""
WANTED = frozenset((*tables.SUMMARY, *(name for names in COLUMNS.values() for name in names)))
"""What a row may tell of a curve; the rest of a large file is not kept."""
FOR_ALL = ("step", "train_loss", "eval_loss", "epoch")
LOSSES = {"train_loss", "eval_loss"}
MOST_STEPS = 2**53  # beyond, floats count no longer
SUFFIXES = (".csv", ".json", ".jsonl")
PAIRS_SPREAD = 10.0
"""For preferences the usual rate depends on nothing, and is off by more."""
NARROW_SPREAD = 6.0
"""For models narrower than those of the sweeps; the law says nothing of those below 128."""
TAKEN = (
    "a curve is CSV, JSON or JSONL with the columns step and train_loss, and if there are any "
    f"eval_loss, {', '.join(BY_STEP[:3])}, or a trainer_state.json of transformers"
)
Point = tuple[int, dict[str, float]]
"""A step, and what a row tells of it."""


# --- runs ------------------------------------------------------------------------------------


def curve_of_run(run: Run) -> Curve:
    """What is known of a run so far."""
    history, spec, state = run.history, run.job.spec, run.state
    series = history.series
    losses = series.get("train_loss", {})
    steps = sorted(losses)
    told = {name: next((k for k in COLUMNS[name] if k in series), name) for name in BY_STEP}
    by_step = {name: _at(series.get(key, {}), steps) for name, key in told.items()}
    newest = max((sample.step for sample in history.samples), default=0)
    return Curve(
        steps,
        [losses[step] for step in steps],
        eval_loss=dict(series.get("eval_loss", {})),
        **by_step,
        steps_per_epoch=_steps_per_epoch(series.get("epoch", {})),
        batch_size=spec.batch_size if isinstance(spec.batch_size, int) else None,
        n_steps=history.n_steps,
        is_over=state.ended,
        spec=spec,
        tried=tried_beside(run),
        samples=[sample.text for sample in history.samples if sample.step == newest],
        failure=state.detail if state.status == "failed" else "",
        **_known_of(spec, run.job.provider),
    )


def _known_of(spec: JobSpec, provider: str) -> dict[str, Any]:
    """The vocabulary of the model, and the learning rate that is recommended for it."""
    engine = "together" if provider == "together" else "local"
    try:
        info = read_info(spec.model or "")
        advised = recommend(spec, None, info, engine).get("learning_rate")
    except FtlabError:
        return {}
    width = info.hidden_size or SWEEP_WIDTH
    is_known = width >= (SWEEP_WIDTH if spec.training_method == "dpo" else NARROWEST)
    if advised is None or not advised.low or not advised.high or not is_known:
        return {"vocab_size": info.vocab_size}
    return {
        "vocab_size": info.vocab_size,
        "recommended_lr": advised.value,
        "recommended_spread": spread_of(spec, width, math.sqrt(advised.high / advised.low)),
    }


def spread_of(spec: JobSpec, width: int, spread: float) -> float:
    """How far off a recommendation may be: further where no sweep was."""
    if spec.training_method == "dpo":
        return PAIRS_SPREAD
    return spread if width >= SWEEP_WIDTH else max(spread, NARROW_SPREAD)


def _at(points: Mapping[int, float], steps: Sequence[int]) -> list[float]:
    return [points.get(step, math.nan) for step in steps] if points else []


def _steps_per_epoch(epochs: Mapping[int, float]) -> float | None:
    """Epochs count up in fractions, or the steps of the first are 0, those of the next 1."""
    if not epochs:
        return None
    step, epoch = max(epochs.items())
    if epoch != int(epoch) or all(value > 0 for value in epochs.values()):
        return step / epoch if epoch > 0 else None
    first = min(epochs)
    begun = [step for step, epoch in epochs.items() if epoch >= 1]
    return float(min(begun) - first) if begun else None


# --- files -----------------------------------------------------------------------------------


def curve_of_file(file: Path | str, **known: Any) -> Curve:
    """The curve in a CSV, JSON or JSONL file; `known` are further fields of a Curve.

    Raises UnreadableData when it holds none.
    """
    path = Path(file)
    return curve_of_rows(_rows(path), path.name, **known)


def curve_of_rows(rows: Sequence[Mapping[str, Any]], name: str, **known: Any) -> Curve:
    """The curve of rows with a value for each column; `name` is where they are from. A row without
    a loss is no step, but may tell more of one."""
    table = [tables.plain(row) for row in rows]
    there = {key for row in table for key in row}
    if not all(there.intersection(COLUMNS[column]) for column in ("step", "train_loss")):
        raise _no_curve(name, f"has the columns {', '.join(sorted(there)) or 'of nothing'}")
    columns: dict[str, dict[int, float]] = {}
    read = list(_points(table, name))
    for step, values in read:
        for column, value in values.items():
            columns.setdefault(column, {})[step] = value
    losses = columns.pop("train_loss", {}) | dict.fromkeys(lost(read), math.nan)
    steps = sorted(losses)
    epochs = _steps_per_epoch(columns.pop("epoch", {}))
    given = {key: value for key, value in known.items() if value is not None}
    return Curve(
        steps,
        [losses[step] for step in steps],
        eval_loss=columns.pop("eval_loss", {}),
        **{column: _at(points, steps) for column, points in columns.items()},
        **{"steps_per_epoch": epochs, **given},
    )


def _points(table: list[dict[str, Any]], name: str) -> Iterator[Point]:
    """What each row tells of its step."""
    for place, row in enumerate(table, 1):
        if tables.is_summary(row):
            continue
        values = _values(row, f"{name}, row {place}")
        step = values.pop("step", math.nan)
        if abs(step) < MOST_STEPS:
            yield int(step), values
        elif "train_loss" in values or "eval_loss" in values:
            raise _no_curve(name, f"has no step in row {place}")


def _values(row: Mapping[str, Any], where: str) -> dict[str, float]:
    """Our column → the first of its names' cells in which something stands."""
    return {
        column: _number(row[key], f"{where}: {key}")
        for column in (*FOR_ALL, *BY_STEP)
        if (key := next((k for k in COLUMNS[column] if row.get(k) not in (None, "")), None))
    }


def lost(read: Sequence[Point]) -> list[int]:
    """The steps at the end whose loss was no number, which pandas writes as nothing.

    They look like those with a loss, as no row before them does; since a last row may also be
    something else, there are two of them, or the gradient is no number either.
    """
    trained = [place for place, (_, values) in enumerate(read) if "train_loss" in values]
    if not trained:
        return []
    last, usual = read[trained[-1]][0], {*read[trained[-1]][1]} - {*LOSSES, "grad_norm"}
    without = [
        (step, values.get("grad_norm"))
        for step, values in read
        if not values.keys() & LOSSES and usual <= values.keys()
    ]
    after = [step for step, norm in without if step > last and not math.isfinite(norm or math.nan)]
    is_sure = len(after) > 1 or any(norm is not None and math.isnan(norm) for _, norm in without)
    return after if is_sure and len(after) == len(without) else []


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".csv":
        return tables.read_csv(path, TAKEN, WANTED)
    if path.suffix.lower() == ".jsonl" and path.is_file() and path.stat().st_size > tables.LARGEST:
        return tables.read_lines(path, TAKEN, WANTED)
    try:
        return _of_json(tables.read_json(path, TAKEN))
    except ValueError as exc:
        if isinstance(exc, UnreadableData):
            raise
        raise _no_curve(path.name, f"is no JSON of a curve ({exc})") from exc


def _of_json(found: Any) -> list[dict[str, Any]]:
    """A list of rows, columns of equal length, or what transformers keeps of a run."""
    if isinstance(found, Mapping):
        found = found.get("log_history", found)
    if isinstance(found, Mapping):
        if not all(isinstance(column, list) for column in found.values()):
            return [dict(found)]
        return [dict(zip(found, cells, strict=True)) for cells in zip(*found.values(), strict=True)]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("neither rows nor columns")
    return found


def _number(value: Any, where: str) -> float:
    """Also nan and inf, which a trainer may write."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UnreadableData(
            f"{visible(where)} is {visible(repr(value))[:80]}; it must be a number, nan, inf or "
            "empty. Correct it in the file."
        ) from exc


def _no_curve(name: str, found: str) -> UnreadableData:
    return UnreadableData(
        f"{visible(name)} {visible(found)[:300]}; {TAKEN}. Rename the columns, or give the id of "
        "a run."
    )
