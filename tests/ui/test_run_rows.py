"""From a point of the curve to the rows behind it."""

from __future__ import annotations

import pytest

from ftlab.eventlog import History
from ftlab.events import Metrics, RowLosses
from ftlab.files import sha256_of
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.figure import LiveFigure
from ftlab.ui.row_viewer import ALL, RowViewer
from ftlab.ui.run_panel import RunPanel
from ftlab.ui.run_rows import open_rows
from tests.small import chat_rows, write_rows
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def run(state, files, tmp_path):
    spec = JobSpec(model="m", training_file=files["training_file"], validation_split=0.2)
    digest = sha256_of(tmp_path / "t.jsonl")
    run = Run.create(Job(spec=spec, provider="local", data_sha256=digest), tmp_path / "runs")
    run.say("running")
    rows = run.row_writer()
    rows.append(RowLosses(step=0, file="validation", lines=(5, 6), losses=(9.0, 8.0)))
    rows.append(RowLosses(step=1, file="training", lines=(12, 3), losses=(2.0, 1.0)))
    rows.append(RowLosses(step=2, file="training", lines=(7, 30, 2), losses=(1.0, 4.0, 3.0)))
    rows.append(RowLosses(step=2, file="validation", lines=(5, 6), losses=(1.5, 2.5)))
    rows.close()
    events = run.writer()
    for step in (0, 1, 2):
        values = {"train_loss": 1.0} if step else {}
        values |= {} if step == 1 else {"eval_loss": 2.0}
        events.append(Metrics(step=step, values=values))
    events.close()
    state.find_run()
    return run


@pytest.fixture
def viewer(state, files, run):
    viewer = RowViewer(state)
    state.update(files)
    scan(state)
    return viewer


def paged(viewer, n):
    """The lines that one comes by."""
    found = [viewer.line.value]
    for _ in range(n - 1):
        viewer.on.click()
        found.append(viewer.line.value)
    return found


def test_the_rows_of_a_step_are_paged_the_hardest_first(state, viewer):
    open_rows(state, "training", 2)
    assert state.tab == "data"
    assert viewer.only.value == "step 2: 3 hardest rows"
    assert paged(viewer, 3) == ["30", "2", "7"]
    assert "line 7 · loss 1" in viewer.view.value
    viewer.only.value = ALL
    assert "loss" not in viewer.view.value.split("</span>")[0]


def test_another_step_replaces_the_first_and_the_same_can_be_opened_again(state, viewer):
    for step, lines in ((2, ["30", "2", "7"]), (1, ["12", "3"]), (1, ["12", "3"])):
        open_rows(state, "training", step)
        assert paged(viewer, len(lines)) == lines
    assert [one for one in viewer.only.options if one.startswith("step")] == [
        "step 1: 2 hardest rows"
    ]


def test_an_evaluation_opens_all_its_rows(state, viewer):
    open_rows(state, "validation", 2)
    assert viewer.only.value == "step 2: 2 validation rows"
    assert paged(viewer, 2) == ["6", "5"]


def test_a_step_that_told_of_nothing_says_so(state, viewer):
    open_rows(state, "training", 40)
    assert "Step 40 has told of no row" in state.message[1]
    assert state.tab == "data"  # where it was


def test_where_the_file_is_not_the_runs_the_lines_are_told(state, viewer, tmp_path):
    write_rows(tmp_path / "t.jsonl", chat_rows(41))
    scan(state)
    state.tab = "run"
    open_rows(state, "training", 2)
    assert state.tab == "run"
    assert "lines 30, 2, 7 of" in state.message[1]


def test_rows_of_a_file_that_changes_are_shown_no_more(state, viewer, tmp_path):
    open_rows(state, "training", 2)
    write_rows(tmp_path / "t.jsonl", chat_rows(41))
    scan(state)
    assert viewer.only.value == ALL


def click(figure, place, trace_of, *, shift=False):
    """What the page sends when a point is clicked; with one line of help for both curves, it tells
    of every curve that has a point there."""
    found = [(i, list(figure.data[i].x).index(place)) for i in trace_of]
    traces, points = zip(*found, strict=True)
    state = {"alt": False, "ctrl": False, "meta": False, "shift": shift, "button": 0, "buttons": 1}
    figure._js2py_pointsCallback = {
        "event_type": "plotly_click",
        "points": {
            "trace_indexes": traces,
            "point_indexes": points,
            "xs": [place] * len(traces),
            "ys": [1.0] * len(traces),
        },
        "device_state": state,
        "selector": None,
    }


@pytest.mark.parametrize(
    ("step", "traces", "shift", "told"),
    [
        (1, (0,), False, ("train_loss", 1)),
        (2, (0, 1), False, ("train_loss", 2)),
        (2, (0, 1), True, ("eval_loss", 2)),
        (0, (1,), False, ("eval_loss", 0)),
        (1, (0,), True, ("train_loss", 1)),
    ],
)
def test_a_click_tells_of_one_curve(step, traces, shift, told):
    heard = []
    figure = LiveFigure(lambda *said: heard.append(said))
    history = History()
    for at, values in {0: {"eval_loss": 3.0}, 1: {"train_loss": 2.0}}.items():
        history.add(Metrics(step=at, values=values))
    history.add(Metrics(step=2, values={"train_loss": 1.0, "eval_loss": 1.0}))
    figure.show_history(history, "run")
    click(figure, step, traces, shift=shift)
    assert heard == [told]


def test_a_click_in_the_panel_opens_the_rows(state, viewer, run):
    panel = RunPanel(state)
    state.tab = "run"
    click(panel._figure, 2, (0, 1))
    assert state.tab == "data"
    assert viewer.only.value == "step 2: 3 hardest rows"
    click(panel._figure, 2, (0, 1), shift=True)
    assert viewer.only.value == "step 2: 2 validation rows"
