"""A sweep in words: its arms in a table, for a terminal and a saved notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftlab.errors import RunError
from ftlab.html import curves, escaped, short, table
from ftlab.sweeps.noise import best_loss

if TYPE_CHECKING:
    from ftlab.sweeps.folder import Sweep

TITLES = ("arm", "best loss", "regret", "steps", "state")
DELETED = "its run was deleted"


def arms_as_dicts(sweep: Sweep) -> list[dict[str, Any]]:
    """Each arm that has begun as plain data: name, changes, best_loss, regret in %, steps and
    state."""
    return [*_by_number(sweep).values()]


def _by_number(sweep: Sweep) -> dict[int, dict[str, Any]]:
    found, runs, deleted, losses = sweep.answer, sweep.runs, sweep.deleted, sweep.curves()
    ends = {n: why for decision in sweep.decisions for n, why in decision.stopped.items()}
    said = {n: f"ended: {ends[n]}" if n in ends else run.status for n, run in runs.items()}
    said |= dict.fromkeys(deleted, DELETED)
    return {
        n: {
            "name": arm.name,
            "changes": arm.changes,
            "best_loss": best_loss(losses.get(n, {})),
            "regret": found.regrets.get(n) if found else None,
            "steps": runs[n].history.last_step if n in runs else 0,
            "state": said[n],
        }
        for n, arm in enumerate(sweep.all_arms)
        if n in said
    }


def rows_of(sweep: Sweep) -> dict[int, tuple[str, ...]]:
    """Each arm in words, in the order of TITLES, by its number."""
    found, n_steps = sweep.answer, sweep.plan.n_steps
    return {
        n: (
            f"{arm['name']}{' (best)' * (found is not None and found.best == n)}",
            "" if arm["best_loss"] is None else short(arm["best_loss"]),
            "" if arm["regret"] is None else f"{arm['regret']:.1f} %",
            f"{arm['steps']:,} of {n_steps:,}",
            arm["state"],
        )
        for n, arm in _by_number(sweep).items()
    }


def sweep_html(sweep: Sweep) -> str:
    """The headline, the arms and their validation losses, without scripts."""
    try:
        rows = rows_of(sweep).values()
    except RunError as exc:
        return f"<div>{escaped(sweep.id)}: {escaped(exc)}</div>"
    state, found = sweep.state, sweep.answer
    detail = f": {state.detail}" if state.detail else ""
    says = escaped(found.headline) if found else "no validation loss yet"
    arms = sweep.all_arms
    drawn = {arms[n].name: list(losses.items()) for n, losses in sweep.curves().items() if losses}
    return (
        f"<div><b>{says}</b></div><div>{escaped(sweep.id)}: {escaped(state.status + detail)}</div>"
        f"{table(TITLES, ((escaped(cell) for cell in row) for row in rows))}{curves(drawn)}"
    )
