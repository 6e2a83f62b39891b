"""Changes of widgets that cost no message where nothing changes, and HTML that boxes share."""

from __future__ import annotations

from collections.abc import Iterable

import ipywidgets as widgets

from ftlab.data.problems import Problem
from ftlab.eventlog import History
from ftlab.html import escaped
from ftlab.issues import SHAPES

MARKS = {
    **{"running": "●", "queued": "○", "paused": "‖"},
    **{"completed": "✓", "failed": "▲", "cancelled": "■"},
}
"""What stands for how a run is."""


def show(widget: widgets.DOMWidget, *, visible: bool) -> None:
    """Let a widget be seen, or take it and its room away."""
    wanted = None if visible else "none"
    if widget.layout.display != wanted:
        widget.layout.display = wanted


def set_html(widget: widgets.HTML, text: str) -> None:
    if widget.value != text:
        widget.value = text


def problems_html(problems: Iterable[Problem]) -> str:
    """What was wrong with a file as a whole, each on a line of its own."""
    return "".join(
        f'<br><span class="ft-{problem.level}">{SHAPES[problem.level]} '
        f"{escaped(problem.message)}</span>"
        for problem in problems
    )


def opening_html(
    headline: str, more: str, lines: Iterable[tuple[str, str]], about: str = ""
) -> str:
    """One line that opens to a list of names and texts."""
    body = "".join(f"<dt>{escaped(label)}</dt><dd>{escaped(text)}</dd>" for label, text in lines)
    return (
        f'<details class="ft-advice"><summary><b>{escaped(headline)}</b> · {escaped(more)}'
        f"</summary><div>{escaped(about)}</div><dl>{body}</dl></details>"
    )


def log_html(history: History) -> str:
    """What the run has said, one line each."""
    if not history.logs:
        return ""
    shapes = {"info": "", "warning": SHAPES["warning"], "error": SHAPES["error"]}
    lines = "\n".join(f"{shapes[log.level]} {escaped(log.text)}".strip() for log in history.logs)
    return f'<details><summary>log</summary><div class="ft-log">{lines}</div></details>'
