"""Recommended values, each with a range, a source and a reason.

Advice is opinion and says whose; what is certain is a rule (`rules.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.models import ModelInfo

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.spec import JobSpec

# Tinker's supervised sweeps (tinker-cookbook, hyperparam_utils.py, 2026-08): the best rate falls
# with the width of the model by a power that depends on the family.
TINKER_BASE, TINKER_LORA, TINKER_WIDTH = 5e-5, 10, 2000
TINKER_POWER = {"llama": 0.781, "qwen": 0.0775}
# On the same published sweeps a constant rate loses 0.32 % of the best loss on average.
LORA_LEARNING_RATE = 3e-4
ENOUGH_STEPS = 100  # Tinker's guide: at least 100 steps
SMALL_BATCH = 4
BATCH_SIZES = (64, 32, 16, 8, 4, 2, 1)
LORA_RANK = 16
EVALUATIONS = 5
LENGTH_UNIT = 64  # tokens


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A value for one field, and why."""

    value: Any
    source: str
    why: str
    low: float | None = None
    high: float | None = None


def recommend(
    spec: JobSpec, report: DataReport | None = None, info: ModelInfo | None = None
) -> dict[str, Recommendation]:
    """What to choose for the fields that depend on the model and the data, by field name."""
    info = info or ModelInfo(name=spec.model or "")
    n_rows = training_rows(spec, report)
    found = {
        "learning_rate": learning_rate(info, lora=spec.lora is not False),
        "batch_size": _batch_size(n_rows, spec.n_epochs),
        "lora_r": _rank(n_rows),
        "max_seq_length": _length(report, info),
    }
    return {name: advice for name, advice in found.items() if advice is not None}


def learning_rate(info: ModelInfo, *, lora: bool = True) -> Recommendation:
    """Tinker's formula where it is calibrated, otherwise the best constant of the same sweeps."""
    scale = 1 if lora else 1 / TINKER_LORA
    family = next((f for f in TINKER_POWER if f in (info.family or "").lower()), None)
    if family is None or info.hidden_size is None:
        return Recommendation(
            value=LORA_LEARNING_RATE * scale,
            low=1e-4 * scale,
            high=1e-3 * scale,
            source="Tinker's published sweeps",
            why="the rate that lost least over 35 models; nothing is known for this family",
        )
    power = TINKER_POWER[family]
    rate = TINKER_BASE * TINKER_LORA * scale * (TINKER_WIDTH / info.hidden_size) ** power
    return Recommendation(
        value=float(f"{rate:.2g}"),
        low=rate / 3,
        high=rate * 3,
        source="Tinker's formula",
        why=f"5e-5 × {TINKER_LORA * scale:g} × (2000 / {info.hidden_size})^{power} for {family}",
    )


def _batch_size(n_rows: int | None, n_epochs: int) -> Recommendation | None:
    """The largest of at most 16 (32, 64 for more rows) that leaves a hundred steps."""
    if n_rows is None:
        return None
    ceiling = 16 if n_rows < 5_000 else 32 if n_rows < 50_000 else 64
    fitting = [size for size in BATCH_SIZES if size <= ceiling]
    enough = [size for size in fitting if n_rows * n_epochs / size >= ENOUGH_STEPS]
    value = min(max(enough[0] if enough else 0, SMALL_BATCH), max(n_rows, 1))
    return Recommendation(
        value=value,
        low=min(SMALL_BATCH, value),
        high=ceiling,
        source="NeMo AutoModel's table, Tinker's guide",
        why=f"{n_rows:,} rows: up to {ceiling}, and at least {ENOUGH_STEPS} steps where possible",
    )


def _rank(n_rows: int | None) -> Recommendation:
    if n_rows is not None and n_rows < 5_000:
        return Recommendation(
            LORA_RANK, "peft's examples; NeMo says 4 to 8 for few rows", "a small adapter", 4, 16
        )
    return Recommendation(LORA_RANK, "NeMo AutoModel's table", "fits 5,000 to 50,000 rows", 8, 64)


def _length(report: DataReport | None, info: ModelInfo) -> Recommendation | None:
    """Long enough for every row, within the model's context."""
    if report is None or report.tokens is None or not report.tokens.longest:
        if info.context_length is None:
            return None
        return Recommendation(info.context_length, "the model", "its whole context")
    longest = report.tokens.longest
    value = max(-(-longest // LENGTH_UNIT) * LENGTH_UNIT, LENGTH_UNIT)
    if info.context_length is not None and value > info.context_length:
        return Recommendation(
            info.context_length, "the model", f"its context; the longest row has {longest:,} tokens"
        )
    return Recommendation(value, "the data", f"the longest row has {longest:,} tokens")


def training_rows(spec: JobSpec, report: DataReport | None) -> int | None:
    """Rows that train once validation rows are held back; None when the data is not known."""
    if report is None or not report.n_rows:
        return None
    rows = report.n_rows * (1 - (spec.validation_split or 0))
    return max(1, min(round(rows), spec.max_train_rows or report.n_rows))
