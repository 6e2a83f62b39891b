"""`ftlab recommend` in the terminal and in a notebook."""

from __future__ import annotations

import json

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from ftlab.cli import main
from tests.small import chat_rows, write_rows


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "ftlab")
    yield shell
    shell.run_line_magic("unload_ext", "ftlab")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_it_says_the_value_the_range_and_who_disagrees(capsys):
    assert run("recommend", "demo") == 0
    out = capsys.readouterr().out
    assert "learning_rate: " in out
    assert "Tinker's formula" in out
    assert "NeMo AutoModel's guide" in out


def test_json_with_data_and_without_an_adapter(tmp_path, capsys):
    file = write_rows(tmp_path / "t.jsonl", chat_rows(300))
    assert run("recommend", "demo", "--data", file, "--full", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["batch_size"]["value"] == 4
    assert not [name for name in found if name.startswith("lora")]
    rate = found["learning_rate"]
    assert set(rate) == {"value", "low", "high", "source", "why", "others"}
    assert rate["low"] < rate["value"] < rate["high"]


def test_a_model_of_the_catalogue_need_not_be_here(capsys):
    assert run("recommend", "Qwen/Qwen3-8B", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    said = {other["source"]: other["value"] for other in found["learning_rate"]["others"]}
    assert said["Tinker's formula"] == "4.7e-4"


def test_an_unknown_model_gets_the_widest_range(capsys):
    assert run("recommend", "someone/something", "--method", "dpo", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dpo_beta"]["value"] == 0.1
    assert found["learning_rate"]["value"] == 5e-6


def test_a_file_that_is_not_there_is_said(tmp_path, capsys):
    assert run("recommend", "demo", "--data", tmp_path / "no.jsonl") == 1
    assert "no.jsonl is not a file" in capsys.readouterr().err


def test_in_a_notebook_it_is_a_table(shell):
    found = shell.run_line_magic("ftlab", "recommend demo --method dpo")
    assert found["dpo_beta"].value == 0.1
    assert found._repr_html_().startswith("<table>")
    assert shell.run_line_magic("ftlab", "recommend demo --json")["lora_r"]["value"] == 16


def test_a_wrong_method_is_one_sentence(shell):
    with pytest.raises(UsageError, match="invalid choice"):
        shell.run_line_magic("ftlab", "recommend demo --method rl")


def test_the_terminal_says_that_it_knows_nothing_of_a_model(capsys):
    assert main(["recommend", "nope"]) == 0
    assert "The advice is for any model." in capsys.readouterr().err
    assert main(["recommend", "demo"]) == 0
    assert capsys.readouterr().err == ""
