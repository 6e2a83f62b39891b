"""%load_ext ftlab in a real IPython shell."""

from __future__ import annotations

import os

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from ftlab.errors import RunError
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import JobSpec
from tests.small import chat_rows, write_rows


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "ftlab")
    yield shell
    shell.run_line_magic("unload_ext", "ftlab")


def test_without_argument_it_is_the_workbench(shell):
    from ftlab.ui.workbench import Workbench

    assert isinstance(shell.run_line_magic("ftlab", ""), Workbench)


def test_scan_gives_a_report(shell, tmp_path):
    write_rows(tmp_path / "my rows.jsonl", chat_rows(3))
    assert shell.run_line_magic("ftlab", 'scan "my rows.jsonl"').n_rows == 3


def test_runs_lists_them(shell, tmp_path):
    run = Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path / "ftlab-runs")
    assert [r.id for r in shell.run_line_magic("ftlab", "runs")] == [run.id]
    assert shell.run_line_magic("ftlab", "attach").id == run.id


def test_a_run_is_paused_and_what_is_over_is_not_resumed(shell, tmp_path):
    run = Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path / "ftlab-runs")
    lock = run.lock()
    run.say("running")
    shell.run_line_magic("ftlab", f"pause {run.id}")
    assert run.asked() == "pause"
    run.say("completed")
    os.close(lock)
    with pytest.raises(RunError, match="paused and failed runs can go on"):
        shell.run_line_magic("ftlab", "resume")


def test_a_curve_is_looked_at(shell, tmp_path):
    lines = [f"{step},{2 + 0.8**step}" for step in range(1, 80)]
    (tmp_path / "my curve.csv").write_text("\n".join(["step,train_loss", *lines]))
    assert shell.run_line_magic("ftlab", 'doctor "my curve.csv"').label == "good"
    found = shell.run_line_magic("ftlab", 'doctor "my curve.csv" --json --vocab-size 32000')
    assert found["label"] == "good"


def test_a_wrong_line_is_one_sentence(shell):
    with pytest.raises(UsageError, match="invalid choice"):
        shell.run_line_magic("ftlab", "dance")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_verbs_complete(shell):
    _, matches = shell.complete("", "%ftlab sc")
    assert "scan" in matches


def test_a_run_shows_itself_live_and_static(shell, tmp_path):
    run = Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)
    data, _ = shell.display_formatter.format(run)
    assert "application/vnd.jupyter.widget-view+json" in data
    assert run.id in data["text/html"]


def test_unloading_takes_everything_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    run = Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)
    for _ in range(2):
        shell.run_line_magic("load_ext", "ftlab")
        shell.run_line_magic("reload_ext", "ftlab")
        shell.run_line_magic("unload_ext", "ftlab")
    assert shell.find_line_magic("ftlab") is None
    assert "%ftlab" not in shell.strdispatchers["complete_command"].strs
    data, _ = shell.display_formatter.format(run)
    assert "application/vnd.jupyter.widget-view+json" not in data
