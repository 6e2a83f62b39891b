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
    assert printed.out.startswith("Together: under $0.01 for ")
    assert "by the table of rates under $0.01." in printed.out
    assert "The account may spend $25.00. The file stays in the account as file" in printed.out
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
    told = found["service"]
    assert (told["credit"], told["allowed"], told["train_tokens"]) == (25.0, True, tokens)
    assert told["files"] == {"training_file": "file-0000"}
    assert run("estimate", spec, "--json") == 0
    assert "service" not in json.loads(capsys.readouterr().out)


def test_what_hinders_is_no_line_among_json(service, spec, capsys):
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "n_epochs": 0}))
    assert run("estimate", spec, "--ask-service", "--json") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "n_epochs is 0" in printed.err


def test_the_rules_of_the_hosted_service_are_looked_at_when_asked_for(spec, capsys):
    assert run("check", spec, "--for", "together") == 0
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "use_dora": True}))
    assert run("check", spec, "--for", "together") == 1
    assert "use_dora" in capsys.readouterr().out
    values = json.loads(spec.read_text())
    del values["use_dora"]
    spec.write_text(json.dumps({**values, "training_file": "file-0000"}))
    assert run("check", spec, "--for", "together") == 0
    spec.write_text(json.dumps({**values, "n_epochs": 0}))
    assert run("check", spec, "--for", "together", "--json") == 1


def test_that_tokens_can_not_be_counted_here_is_no_error_there(spec, capsys):
    data = json.loads(spec.read_text())["training_file"]
    assert run("scan", data, "--model", "no/such-model") == 0
    assert "ℹ Tokens were not counted" in capsys.readouterr().out
    assert run("scan", data, "--model", "no/such-model", "--for", "local") == 1
    assert "▲ Tokens were not counted" in capsys.readouterr().out


def test_an_interrupted_question_has_started_nothing(service, spec, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ftlab.providers.together.wire.waited_for", interrupt)
    assert run("estimate", spec, "--ask-service") == 1
    assert "Interrupted. Nothing was started." in capsys.readouterr().err


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
    assert run("estimate", spec, "--ask-service") == 1
    told = capsys.readouterr().err
    assert "Add credit" in told
    assert "use_dora" in told
    assert "The hosted service would refuse the job" in told


def test_without_a_key_it_is_said_how_to_give_one(spec, capsys, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    assert run("estimate", spec, "--ask-service") == 1
    assert "set TOGETHER_API_KEY" in capsys.readouterr().err


def test_a_price_that_does_not_know_that_packing_is_off_is_not_taken(service, spec, capsys):
    values = {**json.loads(spec.read_text()), "packing": False, "max_seq_length": 4096}
    spec.write_text(json.dumps(values))
    run("estimate", spec, "--json")
    by_rates = json.loads(capsys.readouterr().out)["price"]
    run("estimate", spec, "--ask-service", "--json")
    assert json.loads(capsys.readouterr().out)["price"] == by_rates
    run("estimate", spec, "--ask-service")
    assert "does not know that packing is off" in capsys.readouterr().err


def test_the_notebook_asks_with_the_same_words(service, spec, capsys):
    service.credit = 0.0
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "use_dora": True}))
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "ftlab")
    found = shell.run_line_magic("ftlab", f"estimate {spec} --ask-service")
    shell.run_line_magic("unload_ext", "ftlab")
    assert "service's own" in found.basis[0]
    printed = capsys.readouterr()
    assert "Together: " in printed.out
    assert "use_dora" in printed.err
    assert "Add credit" in printed.err
