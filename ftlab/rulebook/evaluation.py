"""Validation data, evaluations, and what ends a run early."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.advice import EVALUATIONS
from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.rulebook.registry import advice, error, is_set, rule
from ftlab.spec import FIELDS, LOCAL, JobSpec

STOPPING = tuple(
    name
    for name in FIELDS
    if name.startswith("early_stopping_") and name != "early_stopping_enabled"
)


def _has_validation(spec: JobSpec) -> bool:
    return bool(spec.validation_file or spec.validation_split)


@rule(n_evals=3)
def evaluations_need_validation_data(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """There is nothing to evaluate on."""
    if spec.n_evals and not _has_validation(spec):
        yield error(
            "n_evals",
            f"n_evals is {spec.n_evals} and there is no validation data; evaluations need some. "
            "Give a validation_file, hold back a share with validation_split, or set n_evals to 0.",
            fix={"n_evals": 0},
        )


@rule(validation_file="v.jsonl", n_evals=0)
def validation_data_is_used(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Validation data that is never looked at."""
    if spec.n_evals == 0 and _has_validation(spec):
        yield advice(
            "warning",
            "n_evals",
            "There is validation data and n_evals is 0, so it would never be measured; 1 or more "
            f"are possible. Use {EVALUATIONS}.",
            fix={"n_evals": EVALUATIONS},
        )


@rule(validation_file="v.jsonl", validation_split=0.1)
def one_source_of_validation(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A file of its own, or a share of the training file."""
    if spec.validation_file and spec.validation_split:
        yield error(
            "validation_split",
            "validation_file and validation_split are both given; validation rows come from one "
            "of them. Leave one out.",
            LOCAL,
            fix={"validation_split": None},
        )


@rule(validation_file="t.jsonl")
def validation_differs_from_training(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Validating on the training rows measures memory, not learning."""
    if spec.validation_file and spec.validation_file == spec.training_file:
        split = {"validation_file": None, "validation_split": 0.1}
        yield advice(
            "error",
            "validation_file",
            "validation_file is the training file; the validation loss would only show what was "
            "learned by heart. Give another file, or hold back a share with validation_split.",
            fix=split if limits.engine == "local" else None,
        )


@rule(early_stopping_enabled=True)
def early_stopping_has_what_it_needs(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """It waits for `patience` evaluations after those that are not judged."""
    if not spec.early_stopping_enabled:
        return
    needed = spec.early_stopping_patience + spec.early_stopping_warmup_evals + 1
    if not _has_validation(spec):
        yield error(
            "early_stopping_enabled",
            "early_stopping_enabled is True and there is no validation data; it stops by the "
            "validation loss. Give a validation_file, or leave it out.",
            fix={"early_stopping_enabled": None},
        )
    if (spec.n_evals or 0) < needed:
        yield error(
            "n_evals",
            f"n_evals is {spec.n_evals or 0}; early stopping needs at least {needed} evaluations "
            "(patience + warm-up evaluations + 1). Use that many or more.",
            fix={"n_evals": needed},
        )


@rule(early_stopping_patience=4)
def stopping_fields_need_early_stopping(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """How to stop early says nothing about whether to."""
    if spec.early_stopping_enabled:
        return
    for name in STOPPING:
        if is_set(spec, name):
            yield advice(
                "warning",
                name,
                f"{name} is {shown(getattr(spec, name))} and early_stopping_enabled is False; "
                "without it the run never ends early. Leave it out, or turn early stopping on.",
                fix={name: None},
            )
