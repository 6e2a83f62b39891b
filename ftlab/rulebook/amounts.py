"""How much data there is, and what batch, epochs and rank make of it."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.advice import (
    ENOUGH_STEPS,
    LORA_RANK,
    setup_of,
    training_rows,
    training_sequences,
)
from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.rulebook.registry import advice, error, rule
from ftlab.schedule import total_steps
from ftlab.sizes import FEW
from ftlab.spec import LOCAL, JobSpec

SMALL_RANK = 16
UNHEARD_OF = {
    "n_epochs": (1_000, 3),
    "lora_r": (1_024, 16),
    "batch_size": (16_384, 32),
    "gradient_accumulation_steps": (4_096, 1),
    "weight_decay": (1.0, 0.01),
}
"""Most that makes sense, and what is usual."""
# NeMo's guide contradicts itself: its table for LoRA on few rows says 3 to 5 epochs, its advice
# for any training that more than 3 nearly always learn by heart.
USUAL_EPOCHS, MANY_EPOCHS = 3, 5


@rule(batch_size=64, report=DataReport(path="t.jsonl", n_rows=20))
def a_batch_has_enough_rows(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A batch larger than the data set is never full."""
    size, n_rows = spec.batch_size, training_sequences(spec, report)
    if n_rows is not None and isinstance(size, int) and n_rows < size:
        what = "packs" if spec.packing else "rows"
        yield error(
            "batch_size",
            f"batch_size is {size} and {n_rows:,} {what} train; a batch takes at most that many. "
            'Use a smaller number, or "max".',
            LOCAL,
            fix={"batch_size": "max"},
        )


@rule(n_epochs=10**6)
def amounts_are_of_this_world(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A zero too many is easily typed, and nothing else speaks of it before the data is known."""
    for name, (most, instead) in UNHEARD_OF.items():
        value = getattr(spec, name)
        if isinstance(value, (int, float)) and value > most:
            yield advice(
                "warning",
                name,
                f"{name} is {value:,}; nobody has been seen to use more than {most:,}. Use "
                f"{instead:g} or so.",
                fix={name: instead},
            )


@rule(batch_size=16, report=DataReport(path="t.jsonl", n_rows=100))
def enough_steps(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Fewer than a hundred steps rarely get anywhere."""
    n_rows = training_sequences(spec, report)
    if n_rows is None or not isinstance(spec.batch_size, int):
        return
    per_step = spec.batch_size * (spec.gradient_accumulation_steps or 1)
    steps = total_steps(n_rows, per_step, spec.n_epochs, spec.max_steps)
    if steps < ENOUGH_STEPS:
        epochs = spec.n_epochs * -(-ENOUGH_STEPS // steps)
        yield advice(
            "tip",
            "batch_size",
            f"The run has {steps} steps; {ENOUGH_STEPS} or more usually train better. Use a "
            "smaller batch_size, more epochs or more rows.",
            fix={"n_epochs": epochs} if epochs <= MANY_EPOCHS and not spec.max_steps else None,
        )


@rule(n_epochs=12, report=DataReport(path="t.jsonl", n_rows=100))
def epochs_on_few_rows(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Few rows seen often are learned by heart."""
    if spec.n_epochs <= USUAL_EPOCHS or not _is_small(report) or _needs_epochs(spec, report):
        return
    is_usual = spec.lora is not False and spec.n_epochs <= MANY_EPOCHS
    why = (
        f"NeMo's guide allows {MANY_EPOCHS} with LoRA in one place and {USUAL_EPOCHS} in another"
        if is_usual
        else "so often seen, such data is mostly learned by heart (NeMo's guide)"
    )
    yield advice(
        "tip" if is_usual else "warning",
        "n_epochs",
        f"n_epochs is {spec.n_epochs} on fewer than {FEW:,} rows; {why}. Use "
        f"{USUAL_EPOCHS}, or watch the validation loss.",
        fix={"n_epochs": USUAL_EPOCHS},
    )


@rule(lora_r=64, report=DataReport(path="t.jsonl", n_rows=100))
def rank_on_few_rows(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """A large adapter has room to learn a small file by heart."""
    if spec.lora and spec.lora_r and spec.lora_r > SMALL_RANK and _is_small(report):
        yield advice(
            "warning",
            "lora_r",
            f"lora_r is {spec.lora_r} on fewer than {FEW:,} rows; up to {SMALL_RANK} is usual "
            f"for so few (NeMo's guide: 4 to 8). Use {LORA_RANK}.",
            fix={"lora_r": LORA_RANK},
        )


def _needs_epochs(spec: JobSpec, report: DataReport | None) -> bool:
    """Whether fewer epochs would leave a run of too few steps."""
    n_rows = training_rows(spec, report) or 0
    per_step = setup_of(spec, report).rows or 1
    too_short = total_steps(n_rows, per_step, USUAL_EPOCHS) < ENOUGH_STEPS
    return too_short and spec.n_epochs <= MANY_EPOCHS


def _is_small(report: DataReport | None) -> bool:
    return report is not None and 0 < report.n_rows < FEW
