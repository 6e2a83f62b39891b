"""How many tokens and steps a job makes of its files."""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.advice import held_back_rows, training_rows, training_sequences
from ftlab.data.report import DataReport
from ftlab.html import counted
from ftlab.schedule import total_steps
from ftlab.spec import JobSpec

GUESSED = "Tokens are a guess by the characters of the rows until the model's tokenizer is here"


@dataclass(frozen=True, slots=True)
class DataSizes:
    """None is unknown."""

    n_steps: int | None = None
    once: int | None = None
    """Tokens of the training file, cut at max_seq_length."""
    train_tokens: int | None = None
    """Over all epochs, without padding."""
    eval_tokens: int | None = None
    """Over all evaluations."""
    reference_tokens: int = 0
    """That the model before training sees, once, for methods that compare with it."""
    guessed: bool = False
    """Tokens follow from the number of characters, without the model's tokenizer."""
    basis: tuple[str, ...] = ()
    rows_per_step: float = 1.0
    """With packing those of all its packs, on average."""


def data_sizes(
    spec: JobSpec, report: DataReport | None, validation: DataReport | None
) -> DataSizes:
    """From a resolved spec and the scans of its files."""
    n_rows, n_sequences = training_rows(spec, report), training_sequences(spec, report)
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    if report is None or n_rows is None or n_sequences is None:
        missing = "The data is not scanned yet."
        if n_rows is not None:
            missing = "Packs are counted once the tokens of the rows and max_seq_length are known."
        return DataSizes(basis=(missing,), rows_per_step=per_step)
    n_steps = total_steps(n_sequences, per_step, spec.n_epochs, spec.max_steps)
    rows_per_step = per_step * n_rows / n_sequences
    epochs, steps = counted(spec.n_epochs, "epoch"), counted(n_steps, "step")
    ended = spec.max_steps == n_steps
    until = f", ended by max_steps after {steps}" if ended else f" → {steps}"
    what = f"{n_rows:,} rows in {n_sequences:,} packs" if spec.packing else f"{n_rows:,} rows"
    basis = [f"{what} ÷ {per_step:,} per step × {epochs}{until}"]
    if report.sizes is None:
        basis.append("Tokens are not counted without the model.")
        return DataSizes(n_steps, basis=tuple(basis), rows_per_step=rows_per_step)
    if report.tokens is None:
        basis.append(GUESSED)
    once = report.sizes.total_within(spec.max_seq_length)
    per_row = once / max(report.n_rows, 1)
    rows_seen = min(n_rows * spec.n_epochs, round(n_steps * rows_per_step))
    basis.append(f"{per_row:,.0f} tokens per row × {rows_seen:,} rows seen")
    measured = _eval_tokens(spec, report, validation, per_row, basis)
    return DataSizes(
        n_steps,
        once,
        round(per_row * rows_seen),
        measured,
        _reference_tokens(spec, per_row * min(rows_seen, n_rows), measured, basis),
        guessed=report.tokens is None,
        basis=tuple(basis),
        rows_per_step=rows_per_step,
    )


def _reference_tokens(spec: JobSpec, trained: float, measured: int | None, basis: list[str]) -> int:
    """Each row that trains, and each validation row, once."""
    if not spec.needs_reference:
        return 0
    tokens = round(trained + (measured or 0) / ((spec.n_evals or 0) + 1))
    basis.append(f"{tokens:,} tokens once by the model before training, to compare with")
    return tokens


def _eval_tokens(
    spec: JobSpec,
    report: DataReport,
    validation: DataReport | None,
    per_row: float,
    basis: list[str],
) -> int | None:
    """Once before the first step, then n_evals times."""
    if spec.validation_file is None and spec.validation_split is None:
        return 0
    if spec.validation_split:
        tokens = held_back_rows(spec, report) * per_row
    elif validation is not None and validation.sizes is not None:
        tokens = validation.sizes.total_within(spec.max_seq_length)
    else:
        basis.append("The validation file is not scanned, so its tokens are not counted.")
        return None
    times = (spec.n_evals or 0) + 1
    basis.append(
        f"{tokens:,.0f} validation tokens × {counted(times, 'evaluation')}: n_evals, and one "
        "before the first step"
    )
    return round(tokens * times)
