"""The terminal and the notebook: a job at the hosted service starts when its price is agreed to."""

from __future__ import annotations

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftlab import demo
from ftlab.cli import main
from ftlab.errors import FtlabError
from ftlab.events import Checkpoint
from ftlab.job import LocalOptions, TogetherOptions
from ftlab.runs import Run, Runs
from ftlab.sweeps.folder import Sweeps
from tests.providers.hosted import carried_out, hosted, new_run, spec
from tests.small import chat_rows, write_rows


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


def test_without_a_key_nobody_is_asked_for_the_price(service, file, capsys, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    asked = answering(monkeypatch, "y")
    assert main(["train", file, "--on", "together"]) == 1
    assert "No key of Together was found" in capsys.readouterr().err
    assert asked == service.requests == list(Runs()) == []


def test_a_sweep_is_not_started_for_less_than_all_its_arms_cost(service, tmp_path, capsys):
    held_out = write_rows(tmp_path / "held_out.jsonl", chat_rows(10))
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps(spec(tmp_path, validation_file=str(held_out))))
    line = ["sweep", str(file), "--on", "together", "--rates", "1e-4,1e-3"]
    assert main([*line, "--pay-up-to", "0.0001"]) == 1
    said = capsys.readouterr().err
    assert "2 such jobs cost" in said
    assert "Give pay_up_to=" in said
    assert service.bodies == list(Sweeps()) == []


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_each_option_of_a_provider_is_one_of_the_line(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for model in (LocalOptions, TogetherOptions):
        assert all(f"--{name.replace('_', '-')} " in said for name in model.model_fields)
    assert "GPUs that share the rows of each step" in said
    assert "What the job may cost, in US dollars" in said


@pytest.mark.parametrize("as_magic", [False, True])
def test_options_of_this_machine_are_those_of_the_run(tmp_path, monkeypatch, as_magic):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "start", lambda run: run.say("completed"))
    (tmp_path / "spec.json").write_text(json.dumps({**demo.JOB, "n_epochs": 1}))
    line = ["train", "spec.json", "--device", "cpu", "--micro-batch-size", "4"]
    line += ["--gradient-checkpointing", "false"]
    if as_magic:
        shell = InteractiveShell()
        shell.run_line_magic("load_ext", "ftlab")
        shell.run_line_magic("ftlab", " ".join(line))
        shell.run_line_magic("unload_ext", "ftlab")
    else:
        main(line)
    (run,) = Runs()
    given = {"device": "cpu", "micro_batch_size": 4, "gradient_checkpointing": False}
    assert given.items() <= run.job.options.items()


def test_an_option_of_the_other_place_is_told_and_starts_nothing(service, file, capsys):
    assert main(["train", file, "--on", "together", "--n-gpus", "2"]) == 1
    assert "--n-gpus is given for a job on together" in capsys.readouterr().err
    assert main(["train", file, "--pay-up-to", "2"]) == 1
    assert "add --on together" in capsys.readouterr().err
    assert service.requests == list(Runs()) == []


@pytest.mark.parametrize(("name", "value"), [("pay_up_to", "much"), ("send_hf_token", "maybe")])
def test_a_value_that_an_option_does_not_take_is_an_issue(service, file, capsys, name, value):
    flag = f"--{name.replace('_', '-')}"
    assert main(["train", file, "--on", "together", "--pay-up-to", "2", flag, value]) == 1
    assert f"{name} is '{value}'; it takes" in capsys.readouterr().out
    assert list(Runs()) == []


def test_any_price_can_be_agreed_to_and_its_options_go_along(service, file, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "w")
    line = ["train", file, "--on", "together", "--pay-up-to", "inf", "--wandb-project-name", "p"]
    assert main(line) == 0
    assert service.bodies[0]["wandb_project_name"] == "p"


def test_a_job_that_would_leave_nothing_is_not_stopped_unasked(
    service, tmp_path, capsys, monkeypatch
):
    run = new_run(tmp_path)
    run.say("running")
    asked = []
    monkeypatch.setattr(Run, "stop", lambda run: asked.append(run.id))
    where = str(run.path)
    assert main(["stop", where]) == 1
    assert "Together has kept no checkpoint yet" in capsys.readouterr().err
    assert not asked
    main(["stop", where, "--yes"])
    writer = run.writer()
    writer.append(Checkpoint(step=2, ref="there"))
    writer.close()
    main(["stop", where])
    assert asked == [run.id, run.id]


def test_a_price_that_a_run_was_refused_for_is_agreed_to_in_the_terminal(
    service, tmp_path, monkeypatch
):
    monkeypatch.setattr("tests.fakes.together.USD_PER_MILLION", 5000.0)
    run = new_run(tmp_path, {"pay_up_to": 0.01})
    assert carried_out(run) == 1
    monkeypatch.setattr("ftlab.attempts.start", lambda run, key=None: carried_out(run))
    where = str(run.path)
    assert main(["resume", where]) == 1  # the same again
    assert main(["resume", where, "--pay-up-to", Run(where).hosted.price]) == 0
    assert len(service.bodies) == 1
