"""A sweep in words: its arms in a table, for a terminal and a saved notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftlab.errors import RunError
from ftlab.html import curves, escaped, short, table
from ftlab.sweeps.noise import best_loss

if TYPE_CHECKING:
    from ftlab.sweeps.folder import Sweep

TITLES = ("arm", "best loss", "regret", "steps", "state")


def rows_of(sweep: Sweep) -> list[tuple[str, ...]]:
    """Each arm in words, in the order of TITLES."""
    found, losses = sweep.answer, sweep.curves()
    ends = {n: why for decision in sweep.decisions for n, why in decision.stopped.items()}
    rows: list[tuple[str, ...]] = []
    for n, (arm, run) in enumerate(sweep.arms):
        lowest, regret = best_loss(losses[n]), found.regrets.get(n) if found else None
        is_best = found is not None and found.best == n
        state = run.state
        rows.append(
            (
                f"{arm.name}{' (best)' * is_best}",
                "" if lowest is None else short(lowest),
                "" if regret is None else f"{regret:.1f} %",
                f"{run.history.last_step:,} of {sweep.plan.n_steps:,}",
                f"ended: {ends[n]}" if n in ends else state.status,
            )
        )
    return rows


def sweep_html(sweep: Sweep) -> str:
    """The headline, the arms and their validation losses, without scripts."""
    try:
        rows = rows_of(sweep)
    except RunError as exc:
        return f"<div>{escaped(sweep.id)}: {escaped(exc)}</div>"
    state, found = sweep.state, sweep.answer
    detail = f": {state.detail}" if state.detail else ""
    says = escaped(found.headline) if found else "no validation loss yet"
    named = zip((arm.name for arm, _ in sweep.arms), sweep.curves().values(), strict=False)
    drawn = {name: list(losses.items()) for name, losses in named if losses}
    return (
        f"<div><b>{says}</b></div><div>{escaped(sweep.id)}: {escaped(state.status + detail)}</div>"
        f"{table(TITLES, ((escaped(cell) for cell in row) for row in rows))}{curves(drawn)}"
    )
