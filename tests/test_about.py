"""What a person says about a run: kept beside its job, and never lost to another writer."""

from __future__ import annotations

import json
import threading

import pytest

from ftlab.about import read_about
from ftlab.errors import RunError
from ftlab.job import Job
from ftlab.runs import Run, Runs
from ftlab.spec import JobSpec
from tests.hostile_names import HOSTILE


@pytest.fixture
def run(tmp_path):
    return Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)


def test_a_run_has_no_name_until_somebody_gives_one(run):
    assert (run.name, run.notes, run.tags) == ("", "", ())
    job = run._job_file.read_bytes()
    run.rename("  First   try ")
    run.note("Two lines\nof notes")
    run.tag("orders", " orders ", "", "keep me")
    again = Run(run.path)
    assert again.about == ("First try", "Two lines\nof notes", ("orders", "keep me"))
    assert again.id == run.id
    assert run._job_file.read_bytes() == job
    again.rename("")
    assert run.name == ""
    assert run.tags == ("orders", "keep me")


def test_what_another_ftlab_put_there_survives(run):
    run.about_file.write_text('{"colour": ["blue"], "name": "old"}')
    run.rename("new")
    assert json.loads(run.about_file.read_text()) == {"colour": ["blue"], "name": "new"}
    assert run.about_file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in run.path.iterdir()} == {"job.json", "about.json"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"name": 3, "tags": "x", "notes": null}', "[" * 9999]
)
def test_a_damaged_file_is_as_if_nothing_was_said(run, text):
    run.about_file.write_text(text)
    assert run.about == ("", "", ())
    assert [one.name for one in Runs(run.path.parent).overviews()] == [""]


def test_a_damaged_file_is_not_written_over(run):
    run.about_file.write_text('{"name": "half')
    with pytest.raises(RunError, match="Mend it or move it away"):
        run.rename("new")
    assert run.about_file.read_text() == '{"name": "half'


@pytest.mark.parametrize(
    "say",
    [
        lambda run: run.rename("x" * 121),
        lambda run: run.note("x" * 20_001),
        lambda run: run.tag("x" * 41),
        lambda run: run.tag("a,b"),
        lambda run: run.tag(*map(str, range(21))),
    ],
)
def test_what_is_too_long_is_refused_and_changes_nothing(run, say):
    run.rename("before")
    with pytest.raises(RunError, match=r"; .*\. "):
        say(run)
    assert run.about == ("before", "", ())


def test_two_who_write_at_once_lose_nothing(run):
    writers = [
        threading.Thread(target=lambda: [run.note(str(i)) for i in range(30)]),
        threading.Thread(target=lambda: [run.tag(str(i)) for i in range(30)]),
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert run.about == ("", "29", ("29",))


def test_runs_are_found_by_their_tags(tmp_path, run):
    other = Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)
    other.tag("a", "b")
    assert [found.id for found in Runs(tmp_path).tagged("b")] == [other.id]
    assert [one.id for one in Runs(tmp_path).overviews("b")] == [other.id]
    assert Runs(tmp_path).tagged("c") == []


def test_a_run_that_is_deleted_while_one_lists_is_left_out(tmp_path, run):
    Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)
    listed = iter(Runs(tmp_path))
    next(listed)
    for left in (path for path in tmp_path.iterdir()):
        (left / "job.json").unlink()
    assert list(listed) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_and_do_nothing(tmp_path, run, name):
    run.rename(name)
    run.tag(name)
    html = Runs(tmp_path)._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert html.isprintable()
    assert read_about(run.about_file).name == " ".join(name.replace("\ud800", "?").split())
