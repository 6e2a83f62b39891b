"""`ftlab account` in a terminal."""

from __future__ import annotations

import json

import pytest

from ftlab.cli import main
from ftlab.cli.account import DEEDS
from tests.fakes.together import Service
from tests.fakes.together_artefacts import add_job_as
from tests.providers.archive_makers import adapter_archive


@pytest.fixture
def service(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with Service(key="tgp_canary") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "tgp_canary")
        add_job_as(service, "completed")
        service.take_content(service.add_file("rows.jsonl"), b'{"text": "a"}\n')
        yield service


def run(*arguments):
    return main(["account", *map(str, arguments)])


def test_all_is_listed(service, capsys):
    assert run() == 0
    printed = capsys.readouterr()
    for text in ("ft-0000", "completed", "me/Qwen3-8B-mine", "file-0000", "rows.jsonl", "14 bytes"):
        assert text in printed.out
    assert "canary" not in printed.out + printed.err


def test_the_json_has_all_too(service, capsys):
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"][0]["status"] == "completed"
    assert found["files"][0]["n_bytes"] == 14


def test_an_empty_account_says_so(service, capsys):
    service.jobs.clear()
    service.files.clear()
    assert run() == 0
    jobs, files, elsewhere = capsys.readouterr().out.splitlines()
    assert (jobs, files) == ("No job at Together.", "No file at Together.")
    assert "`ftlab runs`" in elsewhere


def test_deleting_is_agreed_to_first(service, capsys):
    assert run("delete", "ft-0000", "file-0000") == 1
    assert "can't be undone: ft-0000, file-0000" in capsys.readouterr().err
    assert len(service.jobs) == len(service.files) == 1
    assert run("delete", "ft-0000", "file-0000", "--yes") == 0
    assert capsys.readouterr().out == "ft-0000, file-0000: deleted.\n"
    assert service.jobs == service.files == {}


def test_what_runs_is_not_deleted(service, capsys):
    service.ends_as = "running"
    assert run("delete", "ft-0000", "--yes") == 1
    assert "Cancel the job first" in capsys.readouterr().err


def test_cancelling_is_agreed_to_first(service, capsys):
    service.ends_as = "running"
    assert run("cancel", "ft-0000") == 1
    assert "What it has done so far is billed" in capsys.readouterr().err
    assert service.asked("POST") == []
    service.jobs["ft-0000"]["looks"] = 1
    assert run("cancel", "ft-0000", "--yes") == 0
    assert capsys.readouterr().out == "ft-0000: cancel_requested\n"


def test_an_adapter_and_a_file_are_fetched(service, capsys, tmp_path):
    service.artefacts.archives["ft-0000"] = adapter_archive()
    assert run("download", "ft-0000", "--to", "mine") == 0
    assert (tmp_path / "mine" / "adapter_config.json").is_file()
    assert run("download", "file-0000") == 0
    assert (tmp_path / "file-0000.jsonl").read_bytes() == b'{"text": "a"}\n'
    assert "file-0000 is in file-0000.jsonl." in capsys.readouterr().out


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_without_an_id_is_told(service, capsys, deed):
    assert run(deed) == 1
    assert f"Write `ftlab account {deed} ID" in capsys.readouterr().err
    assert service.requests == []


@pytest.mark.parametrize("arguments", [("download", "ft-0000", "file-0000"), ("ask", "ft-0000")])
def test_what_is_given_too_much_or_too_little_is_told(service, capsys, arguments):
    assert run(*arguments) == 1
    assert f"{arguments[0]} is given with" in capsys.readouterr().err
    assert service.requests == []


def test_the_model_of_a_job_is_asked_there(service, capsys):
    service.artefacts.pieces = ["Good ", "day\x1b[31m"]
    assert run("ask", "ft-0000", "Hello?") == 0
    assert capsys.readouterr().out == "Good day\\u001b[31m\n"


def test_the_commands_for_an_endpoint_are_printed(service, capsys):
    assert run("endpoint", "ft-0000") == 0
    assert "together endpoints deploy --model me/Qwen3-8B-mine" in capsys.readouterr().out
