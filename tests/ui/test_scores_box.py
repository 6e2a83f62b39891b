"""The scores in the Try tab: what is kept shows at once, and a click leads to the row."""

from __future__ import annotations

import time

import pytest

from ftlab.files import sha256_of
from ftlab.html import escaped
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.scored_rows import ELSEWHERE
from ftlab.ui.scores_box import NO_ROWS, NO_RUN, ScoresBox
from tests.scores.worlds import keep
from tests.ui.test_state import scan


def until(done):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def run(state, files, tmp_path):
    spec = JobSpec(model="m", training_file=files["training_file"], validation_split=0.2)
    digest = sha256_of(tmp_path / "t.jsonl")
    made = Run.create(Job(spec=spec, provider="local", data_sha256=digest), tmp_path / "runs")
    made.adapter.mkdir()
    made.say("completed")
    return made


def opened(state):
    state.tab = "try"
    state.find_run()


def test_without_a_run_an_adapter_or_rows_it_says_so(state, run, files, tmp_path):
    box = ScoresBox(state)
    assert (box.score.disabled, box.why.value) == (True, escaped(NO_RUN))
    run.adapter.rmdir()
    opened(state)
    assert (box.score.disabled, box.why.value) == (True, escaped(run.why_nothing_tuned))
    spec = JobSpec(model="m", training_file=files["training_file"])
    other = Run.create(Job(spec=spec, provider="local"), tmp_path / "runs")
    other.adapter.mkdir()
    state.refresh_runs()
    state.select(other.id)
    assert box.why.value == NO_ROWS
    box.file.value = "mine.jsonl"
    assert not box.score.disabled


def test_kept_scores_show_at_once_and_their_rows_open(state, run, files):
    keep(run, n_lost=1)
    box = ScoresBox(state)
    opened(state)
    until(lambda: box.rows.children)
    assert "5.0% with the base and 95.0% tuned" in box.summary.value
    assert "better than base" in box.summary.value
    assert ELSEWHERE in box.rows.children[-1].value
    state.update(files)
    scan(state)
    lost = box.rows.children[-1]
    assert lost.children[0].description == "line 1"
    assert "exact match 1 → 0" in lost.children[1].value
    lost.children[0].click()
    assert state.row == ("training_file", 1)
    assert state.tab == "data"


def test_how_long_it_takes_is_told_by_the_last_time(state, run):
    box = ScoresBox(state)
    opened(state)
    assert "shows once it has begun" in box.why.value
    keep(run)  # 20 rows in 2 seconds
    box.max_rows.value = 400
    assert box.why.value == "base and tuned: at most about 80 s"
    box.shots.value = True
    assert box.why.value == "3 models: at most about 2 min"


def test_what_fails_is_told_in_place(state, run):
    box = ScoresBox(state)
    opened(state)
    box.file.value = "nothing-here.jsonl"
    box.score.click()
    until(lambda: not box.task.is_busy)
    assert 'role="alert"' in box.task.said.value
    assert box.file.value == "nothing-here.jsonl"
