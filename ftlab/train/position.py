"""Where a run stands, and what its evaluations have said until now."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from ftlab.spec import JobSpec


class Verdicts(BaseModel):
    """What the evaluations add up to."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    n_seen: int = 0
    """Evaluations after the first step, those that are not judged with them."""
    n_worse: int = 0
    """Judged ones in a row that did not improve."""
    best_step: int | None = None
    best_loss: float = math.inf
    """The lowest of those that were judged."""


class Position(BaseModel):
    """Where a run stands; with the weights and the generators it is all that a run goes on from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    """Optimizer steps that are done."""
    rows_seen: int = 0
    """Rows that those steps took, of all epochs."""
    n_cut: int = 0
    """Rows known to have lost their end."""
    piece_tokens: int | None = None
    """Most tokens at once, where the memory did not suffice for as many as usual."""
    evaluated: int = -1
    """The last step whose validation loss is known; -1 before the first."""
    sampled: int = -1
    """The last step after which the sample prompts were answered; -1 before the first."""
    verdicts: Verdicts = Verdicts()


def judged(before: Verdicts, spec: JobSpec, step: int, loss: float) -> Verdicts:
    """The verdicts with one evaluation more.

    With early stopping the first early_stopping_warmup_evals are not judged. One improves when its
    loss is more than early_stopping_min_delta below the lowest so far, as in transformers.
    """
    n_seen = before.n_seen + 1
    if spec.early_stopping_enabled and n_seen <= spec.early_stopping_warmup_evals:
        return before.model_copy(update={"n_seen": n_seen})
    improves = loss < before.best_loss - spec.early_stopping_min_delta
    is_best = loss < before.best_loss
    return Verdicts(
        n_seen=n_seen,
        n_worse=0 if improves else before.n_worse + 1,
        best_step=step if is_best else before.best_step,
        best_loss=loss if is_best else before.best_loss,
    )


def is_enough(verdicts: Verdicts, spec: JobSpec) -> bool:
    """Whether early stopping ends the run here."""
    return spec.early_stopping_enabled and verdicts.n_worse >= spec.early_stopping_patience
