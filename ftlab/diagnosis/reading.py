"""Curves of runs, and of files that other trainers wrote."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.advice import recommend
from ftlab.diagnosis.curve import Curve
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
    *("utilization", "seconds", "loader_seconds"),
)
COLUMNS = {
    "step": STEP_NAMES,
    **{name: (name,) for name in BY_STEP},
    **METRIC_NAMES,
    "memory_gib": ("memory_gib", *METRIC_NAMES["gpu_memory_gib"]),
}
"""Our column → its names in a file, the surest first."""
FOR_ALL = ("step", "train_loss", "eval_loss", "epoch")
SUFFIXES = (".csv", ".json", ".jsonl")
PAIRS_SPREAD = 10.0
"""For preferences the usual rate depends on nothing, and is off by more."""
NARROW_SPREAD = 6.0
"""For models narrower than those of the sweeps; the law says nothing of those below 128."""
TAKEN = (
    "a curve is CSV, JSON or JSONL with the columns step and train_loss, and if there are any "
    f"eval_loss, {', '.join(BY_STEP[:3])}"
)


# --- runs ------------------------------------------------------------------------------------


def curve_of_run(run: Run) -> Curve:
    """What is known of a run so far."""
    history, spec, state = run.history, run.job.spec, run.state
    series = history.series
    losses = series.get("train_loss", {})
    steps = sorted(losses)
    memory = "gpu_memory_gib" if "gpu_memory_gib" in series else "memory_gib"
    by_step = {name: _at(series.get(name, {}), steps) for name in BY_STEP}
    newest = max((sample.step for sample in history.samples), default=0)
    return Curve(
        steps,
        [losses[step] for step in steps],
        eval_loss=dict(series.get("eval_loss", {})),
        **{**by_step, "memory_gib": _at(series.get(memory, {}), steps)},
        steps_per_epoch=_steps_per_epoch(series.get("epoch", {})),
        batch_size=spec.batch_size if isinstance(spec.batch_size, int) else None,
        n_steps=history.n_steps,
        is_over=state.ended,
        spec=spec,
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
    """The curve of rows with a value for each column; `name` is where they are from."""
    columns: dict[str, dict[int, float]] = {}
    there = {key for row in rows for key in row}
    if not all(there.intersection(COLUMNS[column]) for column in ("step", "train_loss")):
        raise _no_curve(name, f"has the columns {', '.join(sorted(there)) or 'of nothing'}")
    for place, row in enumerate(rows, 1):
        values = {
            column: _number(row[key], f"{name}, row {place}: {key}")
            for column in (*FOR_ALL, *BY_STEP)
            if (key := next((key for key in COLUMNS[column] if key in row), None)) is not None
        }
        step = values.pop("step", None)
        if step is None or not math.isfinite(step):
            raise _no_curve(name, f"has no step in row {place}")
        if values.get("train_loss") is None and values.get("eval_loss") is None:
            values["train_loss"] = math.nan  # pandas writes what is no number as nothing
        for column, value in values.items():
            if value is not None:
                columns.setdefault(column, {})[int(step)] = value
    losses = columns.pop("train_loss", {})
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


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise UnreadableData(
            f"{visible(str(path))} can't be read ({exc}); {TAKEN}. Give the path of one, or the "
            "id of a run."
        ) from exc
    if path.suffix.lower() == ".csv":
        return list(csv.DictReader(text.splitlines()))
    try:
        return _of_json(text)
    except ValueError as exc:
        raise _no_curve(path.name, f"is no JSON ({exc})") from exc


def _of_json(text: str) -> list[dict[str, Any]]:
    """A list of rows, columns of equal length, or a row on each line."""
    try:
        found = json.loads(text)
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(found, Mapping):
        if not all(isinstance(column, list) for column in found.values()):
            return [dict(found)]
        return [dict(zip(found, cells, strict=True)) for cells in zip(*found.values(), strict=True)]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("neither rows nor columns")
    return found


def _number(value: Any, where: str) -> float | None:
    """None where nothing stands; nan and inf are numbers that a trainer may write."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as exc:
        raise UnreadableData(
            f"{visible(where)} is {visible(repr(value))[:80]}; it must be a number, nan, inf or "
            "empty. Correct it in the file."
        ) from exc


def _no_curve(name: str, found: str) -> UnreadableData:
    return UnreadableData(
        f"{visible(name)} {visible(found)[:300]}; {TAKEN}. Rename the columns, or give the id of "
        "a run."
    )
