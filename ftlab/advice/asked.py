"""Advice on a model by its name, with a file or without: what `ftlab recommend` answers."""

from __future__ import annotations

from pathlib import Path

from ftlab.advice import Recommendations, recommend_all
from ftlab.data.report import DataReport, scan
from ftlab.errors import UnreadableData
from ftlab.models import locate, read_info
from ftlab.spec import JobSpec


def recommend_for(
    model: str, data: str | Path | None = None, method: str | None = None, *, full: bool = False
) -> Recommendations:
    """Values that fit each other for a model, and for a file where one is given.

    `method` is "sft" or "dpo"; without it the file decides. Raises UnreadableData when the file
    has no rows to train on.
    """
    report = None if data is None else _scanned(data, model)
    preferences = report is not None and report.format == "preference"
    values = {
        "model": model,
        "training_method": method or ("dpo" if preferences else "sft"),
        **({"lora": False} if full else {}),
    }
    return recommend_all(JobSpec.model_validate(values), report, read_info(model))


def _scanned(data: str | Path, model: str) -> DataReport:
    """The scan, with tokens when the model's tokenizer is on this machine; none is fetched."""
    report = scan(data, model if locate(model) else None)
    if report.n_rows:
        return report
    reason = report.issues[0].message if report.issues else f"{data} has no rows."
    raise UnreadableData(f"{reason} Advice on data needs a file with rows; give one, or none.")
