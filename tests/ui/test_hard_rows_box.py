"""The rows with the highest losses, and the way to them."""

from __future__ import annotations

import pytest

from ftlab.events import RowLosses
from ftlab.files import sha256_of
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.hard_rows_box import ELSEWHERE, NONE_YET, SHOWN, HardRowsBox, hardest
from ftlab.ui.row_viewer import RowViewer
from tests.ui.test_state import scan


def tell(run, *rows):
    writer = run.row_writer()
    for step, file, losses in rows:
        found = RowLosses(step=step, file=file, lines=(*losses,), losses=(*losses.values(),))
        writer.append(found)
    writer.close()


@pytest.fixture
def run(state, files, tmp_path):
    spec = JobSpec(model="m", training_file=files["training_file"], validation_split=0.2)
    digest = sha256_of(tmp_path / "t.jsonl")
    made = Run.create(Job(spec=spec, provider="local", data_sha256=digest), tmp_path / "runs")
    made.say("running")
    return made


def shown(box):
    """The lines in their order, and what stands beside them."""
    rows = [row for row in box.rows.children if hasattr(row, "children")]
    return [(row.children[0].description, row.children[1].value) for row in rows]


def test_it_reads_nothing_while_it_is_shut_and_says_so_where_there_is_nothing(state, run):
    box = HardRowsBox(state)
    state.find_run()
    assert box.note.value == ""
    box.head.value = True
    assert NONE_YET in box.note.value


def test_the_newest_evaluation_and_the_last_steps_are_shown(state, run):
    tell(
        run,
        (0, "validation", {1: 9.0, 2: 8.0}),
        *((step, "training", {step: 1.0 + step / 100, 7: 5.0}) for step in range(1, 31)),
        (30, "validation", {line: line / 10 for line in range(1, 40)}),
    )
    validation, training = hardest(run)
    assert validation.when == "Validation at step 30"
    assert [line for line, _ in validation.rows] == list(range(39, 39 - SHOWN, -1))
    assert training.when == "Training, steps 11 to 30"
    assert training.rows[:2] == [(7, 5.0), (30, 1.3)]
    box = HardRowsBox(state)
    state.find_run()
    box.head.value = True
    assert len(shown(box)) == 2 * SHOWN
    assert shown(box)[0] == ("line 39", '<b>3.9</b><span title=""></span>')
    assert ELSEWHERE in box.note.value
    assert box.rows.children[1].children[0].disabled


def test_a_click_opens_the_row_of_the_file_that_the_run_took(state, files, run):
    tell(run, (1, "training", {12: 2.0, 3: 1.0}))
    viewer, box = RowViewer(state), HardRowsBox(state)
    state.find_run()
    box.head.value = True
    state.update(files)
    scan(state)
    label, text = shown(box)[0]
    assert label == "line 12"
    assert "Where is order 11?" in text
    assert ELSEWHERE not in box.note.value
    for row in (1, 2, 1):
        box.rows.children[row].children[0].click()
        assert state.tab == "data"
        assert viewer.line.value == ("12" if row == 1 else "3")
        viewer.go(30)
        state.tab = "run"


def test_a_file_that_has_changed_since_is_not_taken_for_the_runs(state, files, run, tmp_path):
    tell(run, (1, "training", {12: 2.0}))
    file = tmp_path / "t.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")
    box = HardRowsBox(state)
    state.find_run()
    box.head.value = True
    state.update(files)
    scan(state)
    assert shown(box) == [("line 12", '<b>2</b><span title=""></span>')]
    assert ELSEWHERE in box.note.value
