"""The terminal and the notebook: a job at the hosted service starts when its price is agreed to."""

from __future__ import annotations

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftlab.cli import main
from ftlab.errors import FtlabError
from ftlab.runs import Run, Runs
from tests.providers.hosted import carried_out, hosted, spec


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A service, and runs whose process is carried out here and at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "start", lambda run, key: carried_out(run))
    with hosted(monkeypatch) as service:
        yield service


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec(tmp_path)))
    return str(file)


def answering(monkeypatch, answer):
    asked = []

    def ask(question):
        asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("builtins.input", ask)
    return asked


def test_a_person_who_agrees_to_the_price_starts_it(service, file, capsys, monkeypatch):
    asked = answering(monkeypatch, "y")
    assert main(["train", file, "--on", "together"]) == 0
    assert asked == ["Start it at Together, for up to $0.01? [y/N] "]
    printed = capsys.readouterr().out
    assert "Together: under $0.01 for" in printed
    assert "completed" in printed
    (run,) = Runs()
    assert run.job.options["pay_up_to"] == 0.01
    assert len(service.bodies) == 1


@pytest.mark.parametrize("answer", ["", "n", "no", "yep"])
def test_who_does_not_agree_starts_nothing(service, file, capsys, monkeypatch, answer):
    answering(monkeypatch, answer)
    assert main(["train", file, "--on", "together"]) == 1
    assert "Nothing was started." in capsys.readouterr().out
    assert list(Runs()) == []
    assert service.bodies == []


def test_where_nobody_can_be_asked_the_price_is_named(service, file, capsys, monkeypatch):
    answering(monkeypatch, EOFError())
    assert main(["train", file, "--on", "together"]) == 1
    assert "Give pay_up_to=0.01" in capsys.readouterr().err
    assert service.bodies == []


def test_a_price_can_be_agreed_to_beforehand(service, file, monkeypatch):
    assert answering(monkeypatch, RuntimeError()) == []
    assert main(["train", file, "--on", "together", "--pay-up-to", "2.50"]) == 0
    assert len(service.bodies) == 1


def test_a_run_that_nobody_follows_says_how_to_go_on(service, file, capsys, monkeypatch):
    main(["train", file, "--on", "together", "--pay-up-to", "2.50"])
    (run,) = Runs()
    run.say("running", "running")
    capsys.readouterr()
    assert main(["attach", run.id]) == 1
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "nobody follows it now" in printed
    assert f"`ftlab resume {run.id}` goes on from there." in printed


def test_the_notebook_has_the_same_words(service, file, capsys, monkeypatch):
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "ftlab")
    answering(monkeypatch, RuntimeError("no frontend"))
    with pytest.raises(FtlabError, match=r"pay_up_to=0\.01"):
        shell.run_line_magic("ftlab", f"train {file} --on together")
    assert service.bodies == []
    run = shell.run_line_magic("ftlab", f"train {file} --on together --pay-up-to 1")
    shell.run_line_magic("unload_ext", "ftlab")
    assert run.status == "completed"
