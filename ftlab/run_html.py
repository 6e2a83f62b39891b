"""A run for a saved notebook: a summary and the curves, without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftlab.errors import RunError
from ftlab.html import curves, escaped, facts, short

if TYPE_CHECKING:
    from ftlab.run import Run


def run_html(run: Run) -> str:
    """A summary and the curves, without scripts."""
    try:
        spec = run.job.spec
    except RunError as exc:
        return f"<div>{escaped(run.id)}: {escaped(exc)}</div>"
    history, state = run.history, run.state
    of = f" of {history.n_steps:,}" if history.n_steps else ""
    values = {
        "run": run.id,
        "status": state.status + (f": {state.detail}" if state.detail else ""),
        "model": spec.model or spec.from_checkpoint or "",
        "data": spec.training_file or "",
        "step": f"{history.last_step:,}{of}",
    }
    for name in ("train_loss", "eval_loss"):
        if (points := history.series.get(name)) is not None:
            first, last = next(iter(points.values())), next(reversed(points.values()))
            values[name] = f"{short(first)} → {short(last)}"
    drawn = {
        name: list(history.series[name].items())
        for name in ("train_loss", "eval_loss")
        if name in history.series
    }
    return f"<div>{facts(values)}{curves(drawn)}</div>"
