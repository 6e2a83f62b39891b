"""The course of a run before it starts: its learning rate, evaluations and checkpoints.

The trainer takes its learning rate from here, so that a preview can't differ from the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftlab.schedule import evaluation_steps, lr_share
from ftlab.spec import Engine, JobSpec, filled

POINTS = 400  # of a preview; the eye sees no more


@dataclass(frozen=True, slots=True)
class Course:
    """What happens when; steps count from 1, and 0 is before the first."""

    n_steps: int
    steps: tuple[int, ...]
    """Rising; all of a short run, otherwise evenly spread with those where something happens."""
    rates: tuple[float, ...]
    """The learning rate of each of `steps`."""
    warmup_steps: int
    """Steps below the peak at the start."""
    evaluations: tuple[int, ...]
    """After which steps the validation loss is measured."""
    checkpoints: tuple[int, ...]
    """After which steps a state is saved."""


def rate_at(spec: JobSpec, steps_done: int, n_steps: int) -> float:
    """The learning rate of the step after `steps_done` (0 to n_steps - 1) others.

    Raises FtlabError when the spec's learning_rate was left out.
    """
    return filled(spec.learning_rate, "learning_rate") * lr_share(
        steps_done / n_steps,
        spec.lr_scheduler_type,
        warmup_ratio=spec.warmup_ratio,
        min_lr_ratio=spec.min_lr_ratio,
        scheduler_num_cycles=spec.scheduler_num_cycles,
    )


def course(spec: JobSpec, n_steps: int, engine: Engine = "local") -> Course:
    """The course of a resolved spec over so many steps (at least 1).

    The embedded trainer evaluates once more before the first step.
    """
    n_evals, has_data = spec.n_evals or 0, spec.validation_file or spec.validation_split
    evaluations = evaluation_steps(n_steps, n_evals) if n_evals and has_data else []
    if engine == "local" and has_data:
        evaluations = [0, *evaluations]
    saved = evaluation_steps(n_steps, spec.n_checkpoints)
    warmup = min(math.ceil(spec.warmup_ratio * n_steps), n_steps)
    marked = {step for step in (warmup + 1, *evaluations, *saved) if 1 <= step <= n_steps}
    steps = sorted(_spread(n_steps) | {*_thinned(sorted(marked))})
    return Course(
        n_steps,
        tuple(steps),
        tuple(rate_at(spec, step - 1, n_steps) for step in steps),
        warmup,
        tuple(evaluations),
        tuple(saved),
    )


def _thinned(steps: list[int]) -> list[int]:
    """At most `POINTS` of them, evenly, the last with them."""
    return steps[:: -(-len(steps) // POINTS)] + steps[-1:] if steps else []


def _spread(n_steps: int) -> set[int]:
    """At most `POINTS` steps, the first and the last with them."""
    if n_steps <= POINTS:
        return {*range(1, n_steps + 1)}
    return {1 + round(i * (n_steps - 1) / (POINTS - 1)) for i in range(POINTS)}
