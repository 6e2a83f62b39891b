"""Hosted runs and the account in the Run tab: follow again, end, adopt, download, delete."""

from __future__ import annotations

import ipywidgets as widgets
import pytest

from ftlab.ui.account_box import NO_KEY as NO_KEY_OF_ACCOUNT
from ftlab.ui.account_box import AccountBox
from ftlab.ui.hosted_box import NO_KEY
from ftlab.ui.run_panel import RunPanel
from tests.fakes.together import Fault
from tests.fakes.together_jobs import add_job
from tests.providers.hosted import KEY, carried_out, hosted, new_run
from tests.ui.test_form_boxes import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def service(monkeypatch):
    with hosted(monkeypatch) as service:
        yield service


@pytest.fixture
def spawned(monkeypatch):
    """The processes that would have been started: what they were asked, and with which key."""
    from ftlab import attempts

    found = []

    def start(run, *requests, key=None):
        found.append((run.id, requests, None if key is None else key.get_secret_value()))

    monkeypatch.setattr(attempts, "start", start)
    return found


@pytest.fixture
def left(state, service, tmp_path, monkeypatch):
    """The panel of a run whose job goes on at the service while nobody follows it."""
    from ftlab.events import Status

    run = new_run(tmp_path)
    writer = run.writer()
    writer.append(Status(status="running", detail="running at Together"))
    writer.close()
    run.note_hosted(job_id="ft-0000")
    run.said_file.write_text('{"job": {"status": "running <b>"}}\n')
    panel = RunPanel(state)
    state.find_run()
    state.tick()
    return panel


def seen(widget):
    return widget.layout.display is None


# --- the run ---------------------------------------------------------------------------------


def test_a_run_that_nobody_follows_can_be_followed_again(left, spawned):
    assert "nobody follows it now" in left.head.value
    assert left.buttons.resume.description == "Follow again"
    assert not seen(left.buttons.pause)
    left.buttons.resume.click()
    until(lambda: spawned and not left.hosted.why_not)
    assert spawned[0][1:] == ((), None)  # the key is found where it is


def test_without_a_key_the_buttons_say_what_they_need(left, state, spawned, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    state.beat += 1
    assert left.buttons.resume.disabled
    assert left.buttons.cancel.disabled
    assert NO_KEY in left.buttons.reason.value
    assert seen(left.hosted.key)
    left.hosted.key._handle_custom_msg({"key": KEY}, [])
    assert not left.buttons.cancel.disabled
    left.buttons.cancel.click()
    until(lambda: spawned and not state.key.is_typed)
    assert spawned[0][1:] == (("cancel",), KEY)
    states = [w.get_state() for w in list(widgets.widget._instances.values())]
    assert KEY not in str(states)


def test_what_the_service_said_is_one_click_away(left):
    assert "running &lt;b&gt;" in left.hosted.words.value
    assert "<details>" in left.hosted.words.value


def test_a_hosted_run_that_has_ended_offers_nothing_more(state, service, tmp_path):
    run = new_run(tmp_path)
    carried_out(run)
    panel = RunPanel(state)
    state.find_run()
    assert run.status == "completed"
    assert not seen(panel.buttons)
    assert not seen(panel.hosted.key)


# --- the account -----------------------------------------------------------------------------


@pytest.fixture
def jobs(service):
    for suffix in ("one", "two"):
        add_job(service, {"model": "Qwen/Qwen3-8B", "suffix": suffix, "training_file": "file-x"})
    service.jobs["ft-0000"]["looks"] = 9  # it has ended
    return service


@pytest.fixture
def box(state, jobs):
    box = AccountBox(state)
    assert jobs.requests == []  # nothing is asked while it is shut
    box.head.value = True
    until(lambda: box.lines.children and not box.task.is_busy)
    return box


def line(box, job_id):
    return next(one for one in box.lines.children if job_id in one.children[0].value)


def buttons(box, job_id):
    return {b.description: b for b in line(box, job_id).children[1:]}


def over(box):
    until(lambda: not box.task.is_busy)
    return box.task.said.value


def test_every_job_is_listed_with_what_can_be_done(box):
    assert "2 jobs and 0 files at Together." in box.note.value
    assert set(buttons(box, "ft-0000")) == {"Adopt", "Download adapter", "Delete …"}
    assert set(buttons(box, "ft-0001")) == {"Adopt", "Cancel"}
    assert "completed" in line(box, "ft-0000").children[0].value
    assert "Qwen/Qwen3-8B" in line(box, "ft-0000").children[0].value


def test_typing_in_the_form_makes_no_line_anew(box, state, jobs):
    before, n = box.lines.children, len(jobs.requests)
    state.set("n_epochs", 3)
    assert box.lines.children == before
    assert len(jobs.requests) == n


def test_a_job_is_cancelled(box, jobs):
    buttons(box, "ft-0001")["Cancel"].click()
    assert "its state is cancel_requested" in over(box)
    assert jobs.jobs["ft-0001"]["cancelled_at"] is not None


def test_a_job_is_deleted_only_after_a_second_word(box, jobs):
    buttons(box, "ft-0000")["Delete …"].click()
    assert "can&#x27;t be undone" in box.asked.value
    assert jobs.asked("DELETE") == []
    box.keep.click()
    assert not seen(box.question)
    buttons(box, "ft-0000")["Delete …"].click()
    assert box.delete.description == "Delete ft-0000 for good"
    box.delete.click()
    assert "ft-0000 is gone." in over(box)
    assert len(jobs.asked("DELETE", "ft-0000")) == 1
    until(lambda: len(box.lines.children) == 1)


def test_a_job_is_adopted_and_shown(box, state, spawned):
    buttons(box, "ft-0001")["Adopt"].click()
    assert "follows it" in over(box)
    assert state.run.job_id == "ft-0001"
    assert len(spawned) == 1
    until(lambda: "Show the run" in buttons(box, "ft-0001"))
    state.select(None)
    buttons(box, "ft-0001")["Show the run"].click()
    assert state.run.job_id == "ft-0001"


def test_an_adapter_is_downloaded_into_a_folder_that_is_named(box, tmp_path, monkeypatch):
    fetched = []

    def download(client, job, into, told, *, step=None):
        told(0.5)
        fetched.append((job["id"], into))

    monkeypatch.setattr("ftlab.providers.together.downloads.download_adapter", download)
    monkeypatch.chdir(tmp_path)
    buttons(box, "ft-0000")["Download adapter"].click()
    assert str(tmp_path / "ft-0000") in over(box)
    assert fetched == [("ft-0000", tmp_path / "ft-0000")]


def test_a_refusal_is_told_in_place(box, jobs):
    jobs.misbehave("POST", "/cancel", Fault(status=403))
    buttons(box, "ft-0001")["Cancel"].click()
    assert 'role="alert"' in over(box)
    assert not buttons(box, "ft-0001")["Cancel"].disabled


def test_without_a_key_it_asks_for_one_and_forgets_with_it(state, jobs, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    box = AccountBox(state)
    box.head.value = True
    assert NO_KEY_OF_ACCOUNT in box.note.value
    assert jobs.requests == []
    box.key._handle_custom_msg({"key": KEY}, [])
    until(lambda: box.lines.children and not box.task.is_busy)
    assert KEY not in str([w.get_state() for w in list(widgets.widget._instances.values())])
    box.key._handle_custom_msg({"forget": True}, [])
    assert box.lines.children == ()
    assert KEY not in repr(vars(box))
