"""The list of runs and the queue in the Run panel."""

from __future__ import annotations

import os
import time

import pytest

from ftlab import devices, tickets
from ftlab.events import Metrics, Status
from ftlab.ui.queue_box import QueueBox
from ftlab.ui.run_panel import RunPanel
from ftlab.ui.runs_box import NOTHING, RunsBox
from ftlab.ui.state import State
from tests.hostile_names import HOSTILE
from tests.test_upkeep import save
from tests.ui.test_state import make_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def runs(state):
    """Two that are complete, the first of them with three checkpoints."""
    made = [make_run(state.folder.folder, Status(status="completed", n_steps=30)) for _ in "ab"]
    writer = made[0].writer()
    for step in (10, 20, 30):
        save(made[0], step)
        writer.append(Metrics(step=step, values={"eval_loss": 2 - step / 40, "train_loss": 1.0}))
    writer.close()
    return made


@pytest.fixture
def box(state, runs):
    state.find_run()
    box = RunsBox(state)
    box.head.value = True
    return box


def shown(box):
    return [row["id"] for row in box.table.runs]


def click(box, run_id):
    box._clicked(None, {"select": run_id}, None)


def settled(box):
    end = time.monotonic() + 20
    while box.details.task.is_busy:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_a_run_it_says_what_to_do(state):
    box = RunsBox(state)
    box.head.value = True
    assert box.empty.value == NOTHING
    assert box.empty.layout.display is None
    assert box.table.layout.display == "none"
    assert box.details.layout.display == "none"


def test_it_lists_what_the_folder_holds_and_shows_what_is_clicked(state, box, runs):
    assert set(shown(box)) == {run.id for run in runs}
    assert "Runs · 2" in box.head.description
    row = next(row for row in box.table.runs if row["id"] == runs[0].id)
    assert (row["status"], row["step"], row["validation"]) == ("✓ completed", "30 of 30", "1.25")
    for run in runs:
        click(box, run.id)
        assert state.selected == box.table.selected == run.id
    click(box, "../elsewhere")
    assert state.selected == runs[-1].id


def test_a_run_that_was_started_elsewhere_appears(state, box):
    made = make_run(state.folder.folder, Status(status="completed"))
    state.tick()
    assert made.id in shown(box)


def test_what_is_typed_is_kept_and_is_there_after_a_restart(state, box, runs):
    click(box, runs[0].id)
    box.details.name.value = "Orders"
    box.details.tags.value = "a, b"
    box.details.notes.value = "good"
    click(box, runs[1].id)
    assert box.details.name.value == ""
    assert runs[0].about == ("Orders", "good", ("a", "b"))
    assert runs[1].about == ("", "", ())
    again = RunsBox(State(state.folder.folder))
    again.state.find_run()
    again.head.value = True
    assert {row["title"] for row in again.table.runs} == {"Orders", runs[1].id}
    click(again, runs[0].id)
    assert again.details.notes.value == "good"


def test_a_name_that_is_too_long_is_refused_and_stays_as_typed(state, box, runs):
    click(box, runs[0].id)
    box.details.name.value = "x" * 200
    assert "can have 120" in state.message[1]
    state.tick()
    assert box.details.name.value == "x" * 200
    box.details.notes.value = "but this is kept"
    assert runs[0].about == ("", "but this is kept", ())
    assert box.details.name.value == "x" * 200
    runs[0].rename("from a terminal")
    state.look()
    assert box.details.name.value == "from a terminal"


def test_tags_choose_what_is_listed(state, box, runs):
    assert box.tag.layout.display == "none"
    runs[0].tag("keep")
    state.look()
    box.tag.value = "keep"
    assert shown(box) == [runs[0].id]
    runs[0].tag()
    state.look()
    assert len(shown(box)) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_text(state, box, runs, name):
    runs[0].rename(name)
    runs[0].tag(name)
    state.look()
    row = next(row for row in box.table.runs if row["id"] == runs[0].id)
    assert row["title"].isprintable()
    assert row["tags"][0].isprintable()
    box.tag.value = box.tag.options[-1][1]
    click(box, runs[0].id)
    box.details.delete.click()
    assert "<script" not in box.details.asked.value
    assert "<img" not in box.details.asked.value


def test_deleting_asks_first_and_shows_another_run(state, box, runs):
    click(box, runs[0].id)
    details = box.details
    details.delete.click()
    assert "for good? That frees" in details.asked.value
    details.refrain.click()
    assert details.question.layout.display == "none"
    details.agree.click()
    assert runs[0].path.exists()
    details.delete.click()
    click(box, runs[1].id)
    assert details.question.layout.display == "none"
    click(box, runs[0].id)
    details.delete.click()
    details.agree.click()
    settled(box)
    assert not runs[0].path.exists()
    assert shown(box) == [runs[1].id]
    assert state.selected == runs[1].id
    assert "are free" in state.message[1]


def test_the_panel_is_empty_after_the_last_run_went(state, runs):
    panel = RunPanel(state)
    state.find_run()
    for run in runs:
        run.delete()
    state.look()
    assert state.selected is None
    assert panel.empty.layout.display is None
    assert panel.head.value == ""


def test_a_live_run_is_not_deleted(state, box, runs):
    click(box, runs[0].id)
    lock = runs[0].lock()
    state.look()
    assert box.details.delete.disabled
    assert "only what no process uses" in box.details.why.value
    os.close(lock)
    state.look()
    assert not box.details.delete.disabled


def test_tidying_says_what_it_frees_and_asks(state, box, runs):
    click(box, runs[0].id)
    details = box.details
    assert details.keep_best.description.startswith("Keep only the best checkpoint: frees 2")
    details.keep_best.click()
    assert "Keep the checkpoint of step 30 and remove 2 others" in details.asked.value
    details.agree.click()
    settled(box)
    assert runs[0].steps_on_disk == [30]
    assert details.keep_best.layout.display == "none"
    click(box, runs[1].id)
    assert details.keep_last.layout.display == "none"


def test_a_shut_list_reads_nothing(state, runs):
    box = RunsBox(state)
    state.find_run()
    assert box.table.runs == []
    assert "Runs · 2" in box.head.description


# --- the queue -------------------------------------------------------------------------------


@pytest.fixture
def queue(state, tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "leases"))
    return QueueBox(state)


def texts(queue):
    return [line.children[0].value for line in queue.children]


def test_the_queue_is_seen_moved_and_left(state, queue, tmp_path):
    assert queue.layout.display == "none"
    run = make_run(state.folder.folder, Status(status="queued"))
    run.rename("<i>Mine</i>")
    lock = run.lock()
    folder = devices.lease_folder()
    with (
        devices.lease("cpu", "holder"),
        tickets.ticket(folder, "cpu", "another"),
        tickets.ticket(folder, "cpu", run.id),
    ):
        state.look()
        assert queue.layout.display is None
        head, first, second = texts(queue)
        assert "cpu</b> is used by holder" in head
        assert first.startswith("1. another")
        assert second.startswith("2. &lt;i&gt;Mine")
        _, up, down, cancel = queue.children[2].children
        assert not up.disabled
        assert down.disabled
        up.click()
        assert texts(queue)[1].startswith("1. &lt;i&gt;Mine")
        cancel.click()
        assert run.asked() == "cancel"
        assert cancel.disabled
        others = queue.children[2].children
        assert others[3].layout.display == "none"
    state.look()
    assert queue.layout.display == "none"
    os.close(lock)
