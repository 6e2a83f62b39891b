"""The terminal: runs as things that one keeps, and the queue of a device."""

from __future__ import annotations

import json
import os

import pytest

from ftlab import devices, tickets
from ftlab.cli import main
from ftlab.events import Metrics, Status
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import JobSpec
from tests.hostile_names import HOSTILE


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "leases"))
    run = Run.create(Job(spec=JobSpec(model="x/tiny"), provider="local"), tmp_path / "ftlab-runs")
    writer = run.writer()
    writer.append(Metrics(step=7, values={"train_loss": 1.25, "eval_loss": 1.5}))
    writer.append(Status(status="completed", n_steps=7))
    writer.close()
    return run


def test_a_list_says_what_each_run_is(run, capsys):
    assert main(["rename", run.id, "Orders", "--tags", "a, b", "--notes", "x\ny"]) == 0
    assert run.about == ("Orders", "x\ny", ("a", "b"))
    capsys.readouterr()
    assert main(["runs", "--tag", "b"]) == 0
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split() == [
        *("id", "status", "model", "step", "loss", "validation", "age", "size", "name", "tags")
    ]
    for part in (run.id, "completed", "tiny", "7 of 7", "1.25", "1.5", "kB", "Orders", "a, b"):
        assert part in row
    assert main(["runs", "--tag", "c"]) == 0
    assert "no run with the tag 'c'" in capsys.readouterr().out


def test_a_list_as_json(run, capsys):
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["id"] == run.id
    assert (found["step"], found["train_loss"], found["status"]) == (7, 1.25, "completed")
    assert found["bytes_on_disk"] == run.bytes_on_disk


@pytest.mark.parametrize("name", HOSTILE)
def test_names_do_not_reach_the_terminal_as_they_are(run, capsys, name):
    run.rename(name)
    run.tag(name)
    for arguments in (["runs"], ["runs", "--json"], ["rename", run.id], ["delete", run.id]):
        main(arguments)
        printed = capsys.readouterr()
        assert (printed.out + printed.err).replace("\n", "").isprintable()


def test_nothing_is_removed_where_nobody_can_agree(run, capsys):
    assert main(["delete", run.id]) == 1
    said = capsys.readouterr().err
    assert "That frees" in said
    assert "--yes" in said
    assert run.path.exists()
    assert main(["delete", run.id, "--yes"]) == 0
    assert not run.path.exists()


@pytest.mark.parametrize(("answer", "goes"), [("yes", True), ("", False), ("n", False)])
def test_a_person_is_asked(run, capsys, monkeypatch, answer, goes):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["delete", run.id]) == (0 if goes else 1)
    assert run.path.exists() != goes
    assert ("Nothing was removed" in capsys.readouterr().out) != goes


def test_a_live_run_is_refused_before_anything_is_asked(run, capsys):
    lock = run.lock()
    assert main(["delete", run.id, "--yes"]) == 1
    assert "Cancel it first" in capsys.readouterr().err
    os.close(lock)


def test_a_run_is_tidied(run, capsys):
    from tests.test_upkeep import save

    save(run, 3)
    save(run, 7)
    assert main(["tidy", run.id]) == 1
    said = capsys.readouterr().err
    assert "Keep the checkpoint of step 7 and remove 1 other: frees 1." in said
    assert main(["tidy", run.id, "--yes"]) == 0
    assert run.steps_on_disk == [7]
    assert main(["tidy", run.id, "--yes"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_the_queue_is_shown_and_changed(run, capsys):
    assert main(["queue"]) == 0
    assert "nobody waits" in capsys.readouterr().out
    folder = devices.lease_folder()
    lock = run.lock()
    run.say("queued")
    with (
        devices.lease("cpu", "holder"),
        tickets.ticket(folder, "cpu", "first"),
        tickets.ticket(folder, "cpu", run.id),
    ):
        assert main(["queue", "up", run.id]) == 0
        out = capsys.readouterr().out
        assert "cpu: used by holder" in out
        assert out.index(f"1. {run.id}") < out.index("2. first")
        assert main(["queue", "--json"]) == 0
        (queue,) = json.loads(capsys.readouterr().out)
        assert [one["run"] for one in queue["waiting"]] == [run.id, "first"]
        assert main(["queue", "cancel", run.id]) == 0
        assert run.asked() == "cancel"
        assert main(["queue", "down", "nobody"]) == 1
        assert main(["queue", "down"]) == 1
        assert "takes the id" in capsys.readouterr().err
    os.close(lock)
