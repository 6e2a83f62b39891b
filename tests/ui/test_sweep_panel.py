"""The Sweep panel over folders as the process of a sweep leaves them."""

from __future__ import annotations

import math
import os
import time

import pytest

from ftlab.errors import RunError
from ftlab.events import Metrics, Status
from ftlab.html import escaped
from ftlab.sweeps.folder import Sweep
from ftlab.ui.sweep_panel import GOES_ON, NONE_YET, SweepPanel
from ftlab.ui.sweep_shown import seconds_of
from ftlab.ui.valley_svg import points_of, valley_html
from ftlab.ui.workbench import Workbench
from tests.sweeps.worlds import N_STEPS, plan, played, tell

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BEST = "1e-3"


def loss_of(arm, step):
    """As fast at every rate, to a level that has a valley at the best; far above it rises."""
    distance = math.log10(arm.rate / float(BEST))
    if distance > 1.2:
        return 4 + step / N_STEPS
    return 4 - (2 - 0.4 * distance**2) * (1 - math.exp(-step / 40))


def written(folder, until=N_STEPS, n=5, status="completed", **options):
    """A sweep that was played up to a step."""
    told = played(plan(n, **options), loss_of)
    sweep = Sweep.of(told.plan, folder)
    decided = [one for one in told.decisions if one.step <= until]
    tell(sweep, Status(status="running", time=1000.0), *decided)
    for number, arm in enumerate(sweep.all_arms):
        run = sweep.run_of(number, arm)
        tell(run, Status(status="running", n_steps=N_STEPS, from_step=0, time=1000.0))
        for step, loss in told.curves[number].items():
            if step <= until:
                values = {"eval_loss": loss} | ({"train_loss": loss} if step else {})
                tell(run, Metrics(step=step, time=1000.0 + step, values=values))
        if number not in decided[-1].kept or until == N_STEPS:
            tell(run, Status(status="completed"))
    if status:
        tell(sweep, Status(status=status, time=1300.0))
    return sweep


@pytest.fixture
def panel(state):
    return SweepPanel(state)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


def drawn(panel):
    """Symbol → names of the traces that have it and can be seen."""
    found: dict[str, list[str]] = {}
    for trace in panel.curves._figure.data:
        if trace.visible and "markers" in trace.mode:
            found.setdefault(trace.marker.symbol, []).append(trace.name)
    return found


def test_without_a_sweep_it_says_what_one_is_and_opens_the_form(state, panel):
    state.tab = "sweep"
    assert NONE_YET in panel.empty.value
    assert panel.empty.layout.display is None
    assert panel.result.layout.display == "none"
    assert panel.form.is_open
    assert panel.curves._figure is None


def test_nothing_is_read_while_it_is_shut(state, panel, folder):
    written(folder)
    state.look()
    assert panel.sweep is None


def test_a_finished_sweep_says_what_is_best_in_words_marks_and_a_table(state, panel, folder):
    sweep = written(folder)
    state.tab = "sweep"
    assert panel.sweep.id == sweep.id
    assert f"<b>{BEST} (" in panel.head.value
    assert "is best" in panel.head.value
    assert "% of a full grid" in panel.head.value
    assert "completed" in panel.head.value
    assert "5 min" in panel.head.value  # from 1000 to 1300
    marks = drawn(panel)
    assert BEST in marks["triangle-up"]
    assert BEST not in marks["x"]
    assert set(marks["x"]) == {"1e-4", "3.2e-4", "3.2e-3", "1e-2"}
    assert f"{BEST} (best)" in panel.arms.value
    assert "ended: behind at step" in panel.arms.value
    assert panel.arms.value.count("━") == 5


def test_the_reason_is_said_where_an_arm_ends(state, panel, folder):
    written(folder)
    state.tab = "sweep"
    ended = [t for t in panel.curves._figure.data if t.visible and t.marker.symbol == "x"]
    assert all(text.startswith("ended: ") for trace in ended for text in trace.text)
    faint = {t.name for t in panel.curves._figure.data if t.visible and t.mode != "markers"
             and t.opacity < 1}  # fmt: skip
    assert BEST not in faint
    assert len(faint) == 4


def test_while_it_goes_on_the_curves_grow_and_it_can_be_paused(state, panel, folder):
    sweep = written(folder, until=60, status="")
    lock = sweep.lock()
    state.tab = "sweep"
    assert "leads at step" in panel.head.value
    assert "running" in panel.head.value
    assert "left" in panel.head.value
    assert panel.use.disabled
    assert escaped(GOES_ON) in panel.use_reason.value
    panel.buttons.pause.click()
    assert sweep.asked() == "pause"
    assert "The sweep pauses" in state.message[1]
    assert panel.buttons.pause.disabled
    best = next(run for arm, run in sweep.arms if arm.name == BEST)
    tell(best, Metrics(step=71, values={"eval_loss": 1.9}))
    state.look()
    line = next(t for t in panel.curves._figure.data if t.name == BEST)
    assert line.x[-1] == 71
    os.close(lock)
    state.look()
    assert panel.buttons.resume.layout.display is None


def test_another_kernel_finds_the_sweep_that_goes_on(folder):
    older, alive = written(folder), written(folder, until=60, status="")
    assert older.id != alive.id
    lock = alive.lock()
    wb = Workbench(folder=folder)
    try:
        assert wb.state.tab == "sweep"
        assert wb.panels["sweep"].sweep.id == alive.id
        assert {*dict(wb.panels["sweep"].choice.options).values()} == {older.id, alive.id}
        wb.panels["sweep"].choice.value = older.id
        assert "is best" in wb.panels["sweep"].head.value
    finally:
        wb.close()
        os.close(lock)


def test_a_page_that_was_loading_meanwhile_gets_another_figure(state, panel, folder, monkeypatch):
    sweep = written(folder, until=60, status="")
    state.tab = "sweep"
    first = panel.curves._figure
    first.get_state()  # a page is loaded anew
    tell(sweep.arms[2][1], Metrics(step=71, values={"eval_loss": 1.9}))
    state.look()
    assert panel.curves._figure is first
    monkeypatch.setattr("ftlab.ui.figure.OPENING", 0.0)
    state.look()
    assert panel.curves._figure is not first
    assert panel.curves.plot.children == (panel.curves._figure,)
    line = next(t for t in panel.curves._figure.data if t.name == BEST)
    assert line.x[-1] == 71


def waited(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def used(panel):
    panel.use.click()
    waited(lambda: not panel._is_using)


def test_the_winner_goes_into_the_form_and_its_run_is_shown(state, panel, folder):
    best = next(run for arm, run in written(folder).arms if arm.name == BEST)
    best.adapter.mkdir()
    state.tab = "sweep"
    used(panel)
    assert state.values["learning_rate"] == 1e-3
    assert state.tab == "run"
    assert state.run is not None
    assert state.run.job.spec.learning_rate == 1e-3
    assert "its run is complete" in state.message[1]
    state.undo()
    assert "learning_rate" not in state.values


def test_a_winner_that_is_not_at_its_end_goes_on(state, panel, folder, monkeypatch):
    started = []
    monkeypatch.setattr("ftlab.attempts.start", lambda run, **_: started.append(run.id))
    sweep = written(folder, until=120, status="paused")
    best = next(run for arm, run in sweep.arms if arm.name == BEST)
    tell(best, Status(status="paused"))
    state.tab = "sweep"
    used(panel)
    assert started == [state.selected]
    assert "goes on from where the sweep left it" in state.message[1]


def test_a_winner_that_left_no_adapter_is_not_said_to_be_there_to_try(state, panel, folder):
    sweep = written(folder)
    best = next(run for arm, run in sweep.arms if arm.name == BEST)
    tell(best, Status(status="completed"))
    state.tab = "sweep"
    used(panel)
    level, text = state.message
    assert level == "warning"
    assert "its run is completed and has no adapter" in text
    assert state.values["learning_rate"] == 1e-3


def test_the_form_keeps_what_it_has_where_the_winner_can_not_be_copied(
    state, panel, folder, monkeypatch
):
    def refuse(*_, **__):
        raise RunError("The disk is full.")

    written(folder)
    state.update({"learning_rate": 5e-5})
    state.tab = "sweep"
    monkeypatch.setattr("ftlab.sweeps.folder.promoted", refuse)
    used(panel)
    assert "The disk is full." in state.message[1]
    assert state.values == {"learning_rate": 5e-5}
    waited(lambda: not panel.use.disabled)


def test_a_damaged_plan_is_told_of_and_the_panel_lives(state, panel, folder):
    sweep = written(folder)
    (sweep.path / "sweep.json").write_text("{")
    state.tab = "sweep"
    assert escaped("can't be read") in panel.head.value


def test_time_between_two_processes_is_no_time_of_the_sweep():
    told = [("running", 100.0), ("paused", 130.0), ("running", 500.0)]
    statuses = [Status(status=status, time=at) for status, at in told]
    assert seconds_of(statuses, 505.0) == 35.0
    assert seconds_of(statuses[:2], 505.0) == 30.0


# --- loss against learning rate --------------------------------------------------------------


def test_an_arm_that_ended_earlier_stands_where_it_was_behind(folder):
    sweep = Sweep.of(plan(5), folder)
    curves = {0: {10: 3.3}, 1: {10: 3.1, 20: 2.2}, 2: {10: 3.0, 20: 2.0}, 3: {10: 3.1, 20: 2.1}}
    for number, losses in curves.items():
        run = sweep.run_of(number, sweep.all_arms[number])
        tell(run, *(Metrics(step=s, values={"eval_loss": loss}) for s, loss in losses.items()))
    early, *others = points_of(sweep)
    assert [(point.loss, point.is_measured) for point in others] == [
        *((2.2, True), (2.0, True), (2.1, True))
    ]
    assert early.loss == pytest.approx(2.2)  # a tenth behind at step 10, of 2.0 at step 20
    assert not early.is_measured
    assert early.said == "10.0 % behind when it ended at step 10"
    picture = valley_html(sweep)
    assert 'fill="none" stroke="#0072B2"' in picture
    assert "at step 20" in picture


def test_the_picture_has_points_fit_interval_and_the_recommended_rate(folder):
    sweep = written(folder)
    picture = valley_html(sweep)
    assert picture.count("<circle") == 4
    assert picture.count("★") == 2  # the best, and what the mark means
    assert ("<polyline" in picture) == (sweep.answer.fit is not None)
    assert ("<rect" in picture) == (None not in (sweep.answer.low, sweep.answer.high))
    assert "recommended 1e-3" in picture


def test_an_arm_that_exploded_does_not_flatten_the_valley(folder):
    picture = valley_html(written(folder, n=7))
    assert "↑ " in picture


def test_arms_that_differ_in_something_else_have_no_valley(folder):
    changed = plan(varied={"lora_r": (8, 64)})
    sweep = Sweep.of(changed, folder)
    for number, (_, run) in enumerate(sweep.arms):
        tell(run, Metrics(step=24, values={"eval_loss": 2.0 + number}))
    assert valley_html(sweep) == ""
