"""The Compare panel: choose runs, read files of other tools, see what differs."""

from __future__ import annotations

import threading
import time

import pytest

from ftlab.comparison.compared import tracks_of
from ftlab.events import Metrics
from ftlab.sweeps.folder import Sweep
from ftlab.ui.compare_panel import HOW, NOTHING, ComparePanel
from tests.comparison.test_track import made_run, steps
from tests.sweeps.worlds import plan, tell

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def panel(state):
    panel = ComparePanel(state)
    panel.curves.smoothing.value = 0.0
    return panel


@pytest.fixture
def runs(tmp_path):
    losses = {"Low": (4.0, 3.0, 2.0), "High": (4.0, 2.0, 1.0)}
    made = []
    for place, (name, values) in enumerate(losses.items()):
        run = made_run(tmp_path / "runs", *steps(*values), learning_rate=10.0 ** (place - 4))
        run.rename(name)
        made.append(run)
    return made


def opened(state):
    state.refresh_runs()
    state.tab = "compare"


def drawn(panel):
    """Name → steps and values of what can be seen."""
    seen = [trace for trace in panel.curves._figure.data if trace.visible]
    return {(trace.name, trace.opacity): (list(trace.x), list(trace.y)) for trace in seen}


def added(panel, file):
    """The panel after it has read such a file."""
    panel.file.value = str(file)
    panel.add.click()
    end = time.monotonic() + 60
    while panel._awaited:
        assert time.monotonic() < end
        time.sleep(0.01)
    return panel


def test_nothing_is_read_and_no_figure_is_made_while_it_is_shut(state, panel, runs):
    state.refresh_runs()
    assert panel.choice.options == ()
    assert panel.curves._figure is None


def test_without_runs_it_says_how_they_come_here(state, panel):
    opened(state)
    assert panel.empty.layout.display is None
    assert NOTHING in panel.empty.value
    assert panel.curves.plot.layout.display == "none"
    assert panel.curves._figure is None


def test_the_newest_two_are_held_against_each_other_at_first(state, panel, runs):
    opened(state)
    assert {title for title, _ in panel.choice.options} == {"Low", "High"}
    assert drawn(panel) == {
        ("Low", 1.0): ([1, 2, 3], [4, 3, 2]),
        ("High", 1.0): ([1, 2, 3], [4, 2, 1]),
    }
    assert "learning_rate" in panel.said.value
    assert "1e-3" in panel.said.value
    assert "lora_r" not in panel.said.value


def test_what_is_chosen_is_shown_and_nothing_else(state, panel, runs):
    opened(state)
    panel.choice.value = (runs[0].id,)
    assert set(drawn(panel)) == {("Low", 1.0)}
    assert HOW in panel.said.value
    panel.choice.value = ()
    assert panel.curves.plot.layout.display == "none"
    state.look()
    assert panel.choice.value == ()


def test_along_tokens_smoothed_and_logarithmic(state, panel, runs):
    opened(state)
    panel.choice.value = (runs[1].id,)
    panel.curves.axis.value = "tokens"
    panel.curves.smoothing.value = 0.5
    found = drawn(panel)
    assert found[("High", 1.0)][0] == [100, 200, 300]
    assert found[("High", 1.0)][1] == pytest.approx([4.0, 2 + 2 / 3, 1.7142857])
    assert found[("High", 0.28)][1] == [4, 2, 1]
    panel.curves.log_y.value = panel.curves.log_x.value = True
    layout = panel.curves._figure.layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert layout.xaxis.title.text == "trained tokens"


def test_another_curve_can_be_chosen(state, panel, runs):
    opened(state)
    assert [name for _, name in panel.curves.metric.options][-1] == "loss_tokens"
    panel.curves.metric.value = "loss_tokens"
    assert drawn(panel)[("Low", 1.0)][1] == [100, 100, 100]


def test_a_run_that_goes_on_grows(state, panel, runs):
    opened(state)
    writer = runs[1].writer()
    writer.append(Metrics(step=4, time=1008.0, values={"train_loss": 0.5}))
    writer.close()
    state.look()
    assert drawn(panel)[("High", 1.0)][1] == [4, 2, 1, 0.5]


def test_a_file_of_another_tool_is_compared(state, panel, runs, tmp_path):
    file = tmp_path / "history.csv"
    file.write_text("_step,train/loss\n1,5\n2,4\n")
    opened(state)
    added(panel, file)
    assert ("history", 1.0) in drawn(panel)
    assert panel.file.value == ""
    panel.curves.axis.value = "time"
    assert "Nobody took the time for history" in panel.curves.missing.value


def test_a_file_that_holds_no_curve_says_what_would(state, panel, tmp_path):
    opened(state)
    added(panel, tmp_path / "nothing.csv")
    assert state.message[0] == "error"
    assert "neither a run" in state.message[1]
    assert panel.file.value  # what was typed stays
    assert panel.reading.value == ""


def test_while_a_long_file_is_read_it_says_so_and_the_page_goes_on(
    state, panel, runs, tmp_path, monkeypatch
):
    may_end, asked = threading.Event(), []

    def slow(given, *folder):
        if given != str(file):
            return tracks_of(given, *folder)
        asked.append(threading.current_thread())
        may_end.wait(60)
        return tracks_of(given, *folder)

    file = tmp_path / "history.csv"
    file.write_text("_step,train/loss\n1,5\n2,4\n")
    opened(state)
    monkeypatch.setattr("ftlab.ui.compare_panel.tracks_of", slow)
    panel.file.value = str(file)
    panel.add.click()
    panel.add.click()  # once is enough
    assert "Reading history.csv" in panel.reading.value
    panel.file.value = "the next one"
    may_end.set()
    while panel._awaited:
        time.sleep(0.01)
    assert len(asked) == 1
    assert threading.current_thread() not in asked
    assert panel.reading.value == ""
    assert panel.file.value == "the next one"
    assert state.compared[-1] == str(file)


def test_the_arms_of_a_sweep_are_compared(state, panel, tmp_path):
    sweep = Sweep.of(plan(3), tmp_path / "runs")
    for _, run in sweep.arms:
        tell(run, Metrics(step=24, values={"eval_loss": 2.0}))
    opened(state)
    panel.choice.value = (sweep.id,)
    assert {name for name, _ in drawn(panel)} == {"3.2e-4", "1e-3", "3.2e-3"}


def test_a_run_that_is_deleted_is_compared_no_more(state, panel, runs):
    import shutil

    opened(state)
    shutil.rmtree(runs[1].path)
    state.look()
    assert set(drawn(panel)) == {("Low", 1.0)}
