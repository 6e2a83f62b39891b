"""What the README shows runs as it stands, in the order it stands."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ftlab import demo
from tests.fakes.together import Service
from tests.fakes.together_artefacts import add_job_as
from tests.providers.archive_makers import adapter_archive
from tests.small import chat_rows, write_rows

README = Path(__file__).parents[1] / "README.md"
REPOSITORY = README.parent


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_first_lines_of_code_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("python") if "ftlab.scan(" in block)
    scope = {}
    exec(code, scope)
    assert scope["report"].n_rows == 1200
    assert scope["issues"][0].where in ("n_epochs", "training_file")
    assert scope["figures"].n_steps == 300


def test_the_code_about_a_curve_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{2.3 - 0.0001 * i + 0.01 * (i % 3)},1e-6" for i in range(1, 200)]
    (tmp_path / "curve.csv").write_text("\n".join(["step,train_loss,learning_rate", *rows]))
    code = next(block for block in blocks("python") if "ftlab.doctor(" in block)
    exec("import ftlab\n" + code, scope := {})
    assert scope["found"].label == "lr_too_low"
    assert "learning_rate" in scope["found"].advice[0].changes


def test_the_code_that_asks_for_a_price_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "train.jsonl", chat_rows(40))
    code = next(block for block in blocks("python") if "ftlab.ask_price(" in block)
    with Service(key="k") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        exec("import ftlab\n" + code, scope := {})
    assert scope["hosted"].files == {"training_file": "file-0000"}
    assert capsys.readouterr().out.startswith("Together: under $0.01 for ")


@pytest.mark.slow
def test_the_code_that_trains_at_the_service_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "train.jsonl", chat_rows(40))
    code = next(block for block in blocks("python") if 'provider="together"' in block)
    with Service(key="k", clock=time.monotonic, tick=0.1) as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        service.artefacts.archives["ft-0000"] = adapter_archive()
        exec("import ftlab\n" + code, {})
    assert "status='completed'" in capsys.readouterr().out
    assert len(service.bodies) == 1


def test_the_code_about_the_account_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("python") if "ftlab.account(" in block)
    with Service(key="k") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        service.take_content(service.add_file("rows.jsonl"), b"rows")
        add_job_as(service, "completed")
        service.artefacts.archives["ft-0000"] = adapter_archive()
        exec("import ftlab\n" + code, {})
        assert service.jobs == service.files == {}
    assert (tmp_path / "my-adapter" / "adapter_config.json").is_file()


@pytest.mark.slow
def test_the_code_that_trains_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(demo.JOB, "n_epochs", 1)
    code = next(block for block in blocks("python") if "ftlab.submit(" in block)
    exec("import ftlab\nfrom ftlab import demo\n" + code, scope := {})
    assert scope["run"].status == "completed"
    assert "intent" in capsys.readouterr().out


def test_every_file_that_is_named_is_there():
    text = README.read_text()
    for name in ("notebooks/open.sh", "tests/run.sh", "binder/constraints.txt"):
        assert name in text
        assert (REPOSITORY / name).is_file()
    assert (REPOSITORY / ".github" / "CONTRIBUTING.md").is_file()


def test_every_command_of_the_terminal_exists(capsys):
    from ftlab.cli import main

    with pytest.raises(SystemExit):
        main(["--help"])
    known = capsys.readouterr().out
    for verb in re.findall(r"`ftlab (\w+)", README.read_text()):
        assert re.search(rf"^\s+{verb}\b", known, re.MULTILINE), verb
