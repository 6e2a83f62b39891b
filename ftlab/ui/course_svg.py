"""The learning rate over the run, drawn before it starts by the function that the trainer uses."""

from __future__ import annotations

from ftlab.course import Course, course
from ftlab.html import counted, curves, escaped
from ftlab.spec import Engine, JobSpec

WIDTH, HEIGHT = 310, 120
UNKNOWN = 100  # steps of a run whose length is not known: each is a percent of it
MARKS = 60  # on the axis; more run into each other
EVALUATION, CHECKPOINT = "○", "■"


def course_html(spec: JobSpec, n_steps: int | None, engine: Engine = "local") -> str:
    """The curve with evaluations and checkpoints on its axis, and what the marks mean."""
    if spec.learning_rate is None:
        return ""
    found = course(spec, n_steps or UNKNOWN, engine)
    over = "step" if n_steps else "% of the run"
    drawn = curves(
        {f"learning rate by {over}": list(zip(found.steps, found.rates, strict=True))},
        width=WIDTH,
        height=HEIGHT,
        floor=0.0,
        marks={EVALUATION: _some(found.evaluations), CHECKPOINT: _some(found.checkpoints)},
    )
    return f'{drawn}<div class="ft-dim">{escaped(_marks(found, known=bool(n_steps)))}</div>'


def _some(steps: tuple[int, ...]) -> tuple[int, ...]:
    """As many as can be told apart, the last with them."""
    every = -(-len(steps) // MARKS) or 1
    return steps if every == 1 else (*steps[:-1:every], steps[-1])


def _marks(found: Course, *, known: bool) -> str:
    """What the marks mean; how many there will be is not known before the run's length is."""
    parts = [
        f"{mark} {counted(len(steps), what) if known else f'{what}s'}"
        for mark, what, steps in (
            (EVALUATION, "evaluation", found.evaluations),
            (CHECKPOINT, "checkpoint", found.checkpoints),
        )
        if steps
    ]
    if found.warmup_steps:
        warmup = counted(found.warmup_steps, "step") if known else f"{found.warmup_steps} %"
        parts.append(f"warm-up {warmup}")
    return " · ".join(parts)
