"""What a sweep comes to, in words and as a table of its arms."""

from __future__ import annotations

import time
from typing import Any

from ftlab.events import Status
from ftlab.html import counted, escaped, progress_bar, table
from ftlab.overlays import look_of
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.shown import TITLES, rows_of
from ftlab.ui.run_buttons import LIVE
from ftlab.ui.shown import MARKS
from ftlab.units import duration


def head_html(sweep: Sweep) -> str:
    """What is best, in words; then where the sweep stands and what it has cost."""
    state, found, plan = sweep.state, sweep.answer, sweep.plan
    level = {"failed": "error", "cancelled": "warning", "paused": "warning"}.get(
        state.status, "tip"
    )
    runs = [run for _, run in sweep.arms]
    steps, furthest = (how(run.history.last_step for run in runs) for how in (sum, _most))
    grid = len(plan.arms) * plan.n_steps
    parts = [
        f'<b class="ft-{level}">{MARKS.get(state.status, "●")} {state.status}</b>',
        counted(len(runs), "arm") if state.ended else _left(runs),
        f"step {furthest:,} of {plan.n_steps:,}",
        f"{counted(steps, 'step')} so far, of {grid:,} in a full grid",
        f"{duration(seconds_of(sweep.history.statuses, time.time()))}",
    ]
    says = f"<div><b>{escaped(found.headline)}</b></div>" if found else ""
    bar = progress_bar(furthest / plan.n_steps) if state.status in LIVE else ""
    known = ("", state.status, found.headline if found else "")
    detail = "" if state.detail in known else state.detail
    basis = f'<div class="ft-dim">{escaped(found.basis)}</div>' if found else ""
    return f"{says}{basis}<div>{' · '.join(parts)}</div>{bar}<div>{escaped(detail)}</div>"


def _left(runs: list[Run]) -> str:
    """How many arms have not ended."""
    return f"{sum(not run.state.ended for run in runs)} of {counted(len(runs), 'arm')} left"


def _most(steps: Any) -> int:
    return max(steps, default=0)


def seconds_of(statuses: list[Status], now: float) -> float:
    """How long it has been running, without the time between two processes."""
    passed, since = 0.0, None
    for one in statuses:
        if since is not None:
            passed += one.time - since
        since = one.time if one.status == "running" else None
    return passed + (now - since if since is not None else 0.0)


def arms_html(sweep: Sweep) -> str:
    """A row for each arm, with the colour of its curve."""
    marked = (
        (f'<span style="color:{look_of(n)[0]}">━</span> {escaped(arm)}', *map(escaped, rest))
        for n, (arm, *rest) in rows_of(sweep).items()
    )
    return table(TITLES, marked)
