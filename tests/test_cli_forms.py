"""The terminal: a spec in other tools' forms and back, and on both engines."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest
import yaml

from ftlab import demo
from ftlab.cli import main
from ftlab.exchange import FORMS
from ftlab.spec import ENGINES
from tests.small import chat_rows, write_rows

SPEC = {
    "model": "demo",
    "training_file": str(demo.TRAIN),
    "validation_file": str(demo.HELD_OUT),
    "n_epochs": 2,
    "n_evals": 4,
    "lora_r": 4,
}
STEERS = "a\x1b[31m\x9b2J\x07\u202e\U000e0041b"
PARSED = {"json": json.loads, "request": json.loads, "toml": tomllib.loads}
PARSED |= dict.fromkeys(("nemo", "axolotl"), yaml.safe_load)
PARSED |= dict.fromkeys(("python", "sdk"), lambda text: compile(text, "made", "exec"))


def run(*arguments):
    return main([str(argument) for argument in arguments])


def written(file, **values):
    file.write_text(json.dumps(values))
    return file


@pytest.fixture
def spec(tmp_path):
    return written(tmp_path / "spec.json", **SPEC)


@pytest.mark.parametrize("form", FORMS)
def test_a_spec_is_written_in_every_form_to_stdout_or_a_file(form, spec, tmp_path, capsys):
    assert run("export", spec, form) == 0
    printed = capsys.readouterr()
    assert PARSED[form](printed.out)
    assert str(demo.TRAIN) in printed.out
    assert printed.err == ""
    made = tmp_path / f"made{FORMS[form].suffix}"
    assert run("export", spec, form, "--to", made) == 0
    assert made.read_text() == printed.out
    assert capsys.readouterr().out == f"{made} is written.\n"


@pytest.mark.parametrize("form", ["json", "toml", "request", "nemo"])
def test_what_was_exported_is_imported_again(form, spec, tmp_path, capsys):
    made, back = tmp_path / "made", tmp_path / "back.json"
    assert run("export", spec, form, "--to", made) == 0
    assert run("import", made, "--to", back) == 0
    values = json.loads(back.read_text())
    expected = SPEC if form != "nemo" else {**SPEC, "model": str(demo.MODEL)}
    assert {name: values[name] for name in expected} == expected
    if form in ("json", "toml"):
        assert values == SPEC
    assert run("check", back) == 0


def test_what_a_form_can_not_say_goes_to_stderr(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **SPEC, use_dora=True)
    assert run("export", spec, "request") == 0
    printed = capsys.readouterr()
    json.loads(printed.out)
    assert printed.err.startswith("● use_dora is True; ")


def test_a_job_that_a_form_has_nothing_like_is_not_written(tmp_path, capsys):
    made = tmp_path / "made.yaml"
    values = {"training_file": str(demo.PREFERENCES), "validation_file": None}
    spec = written(tmp_path / "spec.json", **{**SPEC, **values}, training_method="dpo")
    assert run("export", spec, "nemo", "--to", made) == 1
    assert not made.exists()
    printed = capsys.readouterr()
    assert "Use the Axolotl export." in printed.err
    assert printed.out == ""


def test_wrong_values_are_refused_before_another_job_is_written(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **{**SPEC, "n_epochs": 0}, lora_rank=3)
    assert run("export", spec, "axolotl") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "n_epochs is 0" in printed.err
    assert "lora_rank" in printed.err


def test_data_that_is_not_here_is_the_reason_why_nothing_is_counted(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **{**SPEC, "training_file": "nothere.jsonl"})
    assert run("export", spec, "nemo") == 0
    said = capsys.readouterr().err
    assert "nothere.jsonl is not a file" in said
    assert "n_evals is 4" in said


@pytest.mark.parametrize("verb", ["export", "import"])
@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_nothing_is_overwritten(verb, there, spec, tmp_path, capsys):
    target = tmp_path / "there.json"
    if there == "file":
        target.write_text("mine")
    elif there == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    form = ["json"] if verb == "export" else []
    assert run(verb, spec, *form, "--to", target) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{target} is there already; only a new file is written. Give ")
    assert there != "file" or target.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_form_is_answered_with_those_there_are(spec, capsys):
    with pytest.raises(SystemExit) as ended:
        run("export", spec, "yaml")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(form in said for form in FORMS)


def test_help_names_the_forms(capsys):
    with pytest.raises(SystemExit):
        run("export", "--help")
    said = capsys.readouterr().out
    assert ", ".join(FORMS) in said


def test_the_start_loads_no_form():
    code = "import sys, ftlab.cli; ftlab.cli.make_parser(); print('ftlab.spec' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_python_m_is_the_same_program(spec):
    command = [sys.executable, "-m", "ftlab.cli", "export", str(spec), "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == SPEC


@pytest.mark.parametrize("form", ["json", "toml"])
def test_escapes_on_stdout_say_the_same_and_a_file_holds_the_text_itself(form, tmp_path, capsys):
    spec = written(tmp_path / "spec.json", model=STEERS)
    assert run("export", spec, form) == 0
    out = capsys.readouterr().out
    assert not [c for c in out if not c.isprintable() and c != "\n"]
    assert PARSED[form](out) == {"model": STEERS}
    made = tmp_path / "made"
    assert run("export", spec, form, "--to", made) == 0
    assert "\u202e" in made.read_text()
    assert PARSED[form](made.read_text()) == {"model": STEERS}
    assert run("import", made) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2]) == {"model": STEERS}


def test_yaml_that_steers_a_terminal_comes_with_a_warning(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **{**SPEC, "suffix": None}, from_hf_model="me/\u202em")
    assert run("export", spec, "nemo") == 0
    printed = capsys.readouterr()
    assert "\u202e" not in printed.out + printed.err
    assert "Give --to FILE" in printed.err


def test_keywords_of_others_become_values_and_intervals_counts(tmp_path, capsys):
    data = write_rows(tmp_path / "train.jsonl", chat_rows(40))
    theirs = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "eval_steps": 5, "r": 16}
    file = written(tmp_path / "theirs.json", training_file=str(data), **theirs)
    assert run("import", file) == 0
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert (values["n_epochs"], values["lora_r"], values["n_evals"]) == (2, 16, 2)
    assert "ftlab calls it lora_r" in printed.err
    written(file, training_file=str(tmp_path / "nothere.jsonl"), **theirs)
    assert run("import", file) == 0
    printed = capsys.readouterr()
    assert "n_evals" not in json.loads(printed.out)
    assert "the steps of the run are not known" in printed.err


def test_an_import_with_a_mark_of_windows_in_front_is_read(tmp_path, capsys):
    file = tmp_path / "marked.yaml"
    file.write_bytes(b"\xef\xbb\xbfnum_train_epochs: 3\n")
    assert run("import", file) == 0
    assert json.loads(capsys.readouterr().out)["n_epochs"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "The text is empty"),
        (b"{", "is no JSON"),
        (b"just words", "one YAML object"),
        (b"\xff\xfe", "UTF-8"),
        (None, "can't be read"),
    ],
)
def test_what_can_not_be_imported_is_said_and_nothing_written(text, said, tmp_path, capsys):
    file, made = tmp_path / "file", tmp_path / "made.json"
    if text is not None:
        file.write_bytes(text)
    assert run("import", file, "--to", made) == 1
    assert said in capsys.readouterr().err
    assert not made.exists()


def test_values_that_no_spec_takes_are_errors_of_an_import(tmp_path, capsys):
    file = tmp_path / "theirs.yaml"
    file.write_text("learning_rate: 2020-01-01\nnum_train_epochs: 0\nr: 8\n")
    assert run("import", file) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"lora": True, "lora_r": 8}
    assert "n_epochs is 0" in printed.err
    assert "learning_rate is datetime.date" in printed.err


def test_a_spec_may_be_toml_for_every_verb_that_takes_one(tmp_path, capsys):
    spec = tmp_path / "spec.TOML"
    spec.write_text(f"model = 'demo'\ntraining_file = '{demo.TRAIN}'\nlora_r = 4\n")
    for verb in ("check", "estimate", "engines"):
        assert run(verb, spec) == 0
    capsys.readouterr()
    assert run("export", spec, "json") == 0
    values = {"model": "demo", "training_file": str(demo.TRAIN), "lora_r": 4}
    assert json.loads(capsys.readouterr().out) == values


@pytest.mark.parametrize(
    ("text", "told"),
    [(b"model = demo", "is no TOML"), (b"\xff", "UTF-8"), (None, "Correct the path")],
)
def test_toml_that_is_no_spec_is_said(text, told, tmp_path, capsys):
    spec = tmp_path / "spec.toml"
    if text is not None:
        spec.write_bytes(text)
    assert run("check", spec) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{spec}")
    assert told in said


def test_engines_as_json(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **SPEC, use_dora=True)
    assert run("engines", spec, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"fields", "body", "lost"}
    for field in found["fields"].values():
        assert set(field) == {"given", "value", *ENGINES, "differs"}
        assert all(set(field[engine]) == {"honoured", "value", "note"} for engine in ENGINES)
    dora, epochs = found["fields"]["use_dora"], found["fields"]["n_epochs"]
    assert (dora["given"], dora["differs"]) == (True, True)
    assert dora["local"]["honoured"] is True
    assert dora["together"]["honoured"] is False
    assert (epochs["local"]["value"], epochs["differs"]) == (2, False)
    assert found["body"]["n_epochs"] == 2
    assert [issue["where"] for issue in found["lost"]] == ["use_dora"]


def test_engines_as_a_table_of_what_differs(tmp_path, capsys):
    spec = written(tmp_path / "spec.json", **SPEC, use_dora=True, n_checkpoints=0)
    assert run("engines", spec) == 0
    printed = capsys.readouterr()
    names = {line.split()[1] for line in printed.out.splitlines() if line.startswith("│ ")}
    assert {"use_dora", "learning_rate"} <= names
    assert not {"n_epochs", "train_vision"} & names
    assert "nobody asked for: " in printed.out
    assert "train_vision" in " ".join(printed.out.split())
    assert "● use_dora is True; the hosted service has no such setting." in printed.out
    assert "n_checkpoints is 0" in printed.err
