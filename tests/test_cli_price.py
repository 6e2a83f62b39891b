"""The terminal and the notebook: a price by the service's own word."""

from __future__ import annotations

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftlab.cli import main
from ftlab.providers.together.client import Client
from tests.fakes.together import Service
from tests.small import chat_rows, write_rows


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="canary-key") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "canary-key")
        yield service


@pytest.fixture
def spec(tmp_path):
    data = write_rows(tmp_path / "train.jsonl", chat_rows(40))
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"model": "Qwen/Qwen3-8B", "training_file": str(data)}))
    return file


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_the_price_is_the_services_own_when_it_is_asked(service, spec, capsys):
    assert run("estimate", spec) == 0
    by_rates = capsys.readouterr().out
    assert service.requests == []
    assert run("estimate", spec, "--ask-service") == 0
    printed = capsys.readouterr()
    assert "The service's own estimate" in printed.out
    assert "The service's own" not in by_rates
    assert "uploading train.jsonl" in printed.err
    assert "canary" not in printed.out + printed.err
    assert service.bodies == []


def test_the_json_has_the_services_price(service, spec, capsys):
    assert run("estimate", spec, "--ask-service", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["price"]
    tokens = len(service.contents["file-0000"]) // 4
    assert low == high == pytest.approx(tokens * 0.48 / 1e6)


def test_a_file_at_the_service_has_a_price_too(service, spec, tmp_path, capsys):
    run("estimate", spec, "--ask-service")
    spec.write_text(json.dumps({"model": "Qwen/Qwen3-8B", "training_file": "file-0000"}))
    capsys.readouterr()
    assert run("estimate", spec, "--ask-service") == 0
    assert "hosted under $0.01" in capsys.readouterr().out
    assert len(service.asked("PUT")) == 1


def test_a_short_credit_and_what_would_be_refused_go_to_stderr(service, spec, capsys):
    service.credit = 0.0
    values = json.loads(spec.read_text())
    spec.write_text(json.dumps({**values, "use_dora": True}))
    assert run("estimate", spec, "--ask-service") == 0
    told = capsys.readouterr().err
    assert "Add credit" in told
    assert "use_dora" in told


def test_without_a_key_it_is_said_how_to_give_one(spec, capsys, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    assert run("estimate", spec, "--ask-service") == 1
    assert "set TOGETHER_API_KEY" in capsys.readouterr().err


def test_the_notebook_asks_with_the_same_words(service, spec):
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "ftlab")
    found = shell.run_line_magic("ftlab", f"estimate {spec} --ask-service")
    shell.run_line_magic("unload_ext", "ftlab")
    assert "service's own" in found.basis[0]
