"""From a run's curve to its data: the rows that it told of, where their file is in the form."""

from __future__ import annotations

from ftlab.data.report import DataReport
from ftlab.html import counted
from ftlab.row_losses import highest
from ftlab.run import Run
from ftlab.ui.row_html import has_lines
from ftlab.ui.state import State

LINES_TOLD = 5
NOT_TOLD = (
    "Step {:,} has told of no row; only runs on this machine do, of the newest evaluations and of "
    "each step's hardest rows. Choose another step."
)
ELSEWHERE = (
    "The hardest rows are on {} of {}; they show while that file is in the Data tab as the run "
    "took it. Name it there, and click again."
)


def field_of(run: Run, file: str) -> str:
    """The field of the form that names the file in which the rows of that kind are."""
    is_own = file == "validation" and run.job.spec.validation_file
    return "validation_file" if is_own else "training_file"


def report_for(state: State, run: Run, file: str) -> DataReport | None:
    """The scan of that file, where it is in the form and has not changed since the run took it."""
    field, job = field_of(run, file), run.job
    report = state.report_of(field)
    digest = job.data_sha256 if field == "training_file" else job.validation_sha256
    if report is None or not has_lines(report) or not digest or report.sha256 != digest:
        return None
    return report


def open_rows(state: State, file: str, step: int) -> None:
    """Show the rows of a step ("training") or of an evaluation ("validation") in the Data tab, the
    hardest first; where that can't be, say which they are."""
    run = state.run
    if run is None:
        return
    told = next((t for t in run.told_of_rows() if (t.file, t.step) == (file, step)), None)
    if told is None or not told.lines:
        state.tell("warning", NOT_TOLD.format(step))
        return
    rows, field = highest([told], len(told.lines)), field_of(run, file)
    if report_for(state, run, file) is None:
        name = getattr(run.job.spec, field)
        state.tell("warning", ELSEWHERE.format(_lines(rows), name))
        return
    what = "hardest row" if file == "training" else "validation row"
    state.show_rows(field, rows, f"step {step:,}: {counted(len(rows), what)}")


def _lines(rows: list[tuple[int, float]]) -> str:
    lines = [f"{line:,}" for line, _ in rows[:LINES_TOLD]]
    return f"line{'s' * (len(lines) > 1)} {', '.join(lines)}"
