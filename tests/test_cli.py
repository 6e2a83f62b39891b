"""The terminal: what the verbs print and how they end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from ftlab.cli import main
from ftlab.exchange import FORMS
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from tests.small import chat_rows, save_model, save_tokenizer, write_rows


@pytest.fixture
def good(tmp_path):
    return write_rows(tmp_path / "good.jsonl", chat_rows(40))


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_scan_ends_with_0_when_the_engine_would_take_the_file(good, tmp_path, capsys):
    model = save_tokenizer(tmp_path / "model", "chatml")
    assert run("scan", good, "--model", model) == 0
    out = capsys.readouterr().out
    assert "40 rows, format conversation" in out
    assert "together would take this file" in out


def test_scan_ends_with_1_and_lists_the_lines(tmp_path, capsys):
    bad = write_rows(tmp_path / "bad.jsonl", [*chat_rows(1), *[{"messages": []}] * 2])
    assert run("scan", bad) == 1
    out = capsys.readouterr().out
    assert "lines 2, 3" in out


def test_scan_asks_the_engine_that_was_named(tmp_path):
    extra = write_rows(tmp_path / "extra.jsonl", [{**chat_rows(1)[0], "id": 1}])
    assert run("scan", extra, "--for", "local") == 0
    assert run("scan", extra, "--for", "together") == 1


def test_scan_as_json(good, tmp_path, capsys):
    model = save_tokenizer(tmp_path / "model", "chatml")
    assert run("scan", good, "--model", model, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert (found["format"], found["n_rows"]) == ("conversation", 40)
    assert found["tokens"]["total"] > found["tokens"]["trained"] > 0
    run("scan", tmp_path / "missing", "--json")
    (issue,) = json.loads(capsys.readouterr().out)["issues"]
    assert set(issue) == {"level", "blocks", "code", "where", "lines", "count", "message"}


def test_escape_codes_in_data_do_not_reach_the_terminal(tmp_path, capsys):
    row = {"messages": [{"role": "\x1b[31mred", "content": "x"}]}
    run("scan", write_rows(tmp_path / "escape.jsonl", [row]))
    assert "\x1b" not in capsys.readouterr().out


STEERS = "\x1b[31m \x9b2J \x07 \u202e \U000e0041"
"""What changes colours, clears the screen, rings, and turns the line around."""


def verbs(folder):
    """Every verb that reads what people give, on names and texts that steer a terminal."""
    name = STEERS
    rows = chat_rows(30)
    rows[0]["messages"][0]["role"] = STEERS
    rows[1]["messages"][0]["content"] = STEERS
    file = write_rows(folder / f"{name}.jsonl", [*rows, {STEERS: STEERS}])
    strange = write_rows(folder / f"{name}-strange.jsonl", [{STEERS: 1}] * 30)
    spec = folder / f"{name}.json"
    spec.write_text(json.dumps({"model": STEERS, "training_file": str(file), STEERS: 1}))
    steering = folder / f"{name}-steering.json"
    steering.write_text(json.dumps({"model": STEERS, "training_file": str(file), "lora_r": 4}))
    written = folder / f"{name}-written.yaml"
    written.write_text(json.dumps({"base_model": STEERS, "lr_scheduler": STEERS, STEERS: 1}))
    toml = folder / f"{name}.toml"
    toml.write_text(f'"{STEERS}" = 1')
    listed = folder / f"{name}-list.json"
    listed.write_text("[]")
    missing = folder / f"{name}-missing"
    yield from (["scan", path, *more] for path in (file, missing) for more in ([], ["--json"]))
    yield from (["repair", path] for path in (file, strange, missing))
    yield from (
        ["convert", path, folder / f"{name}.out.jsonl"] for path in (file, strange, missing)
    )
    yield ["convert", strange, folder / "out.jsonl", "--column", f"{STEERS}={STEERS}"]
    yield from (["split", path, "0.3"] for path in (file, strange, missing))
    yield from (["check", path, *more] for path in (spec, listed) for more in ([], ["--json"]))
    yield from (["estimate", path] for path in (spec, listed))
    yield from (["export", steering, form] for form in FORMS)
    yield from (["export", path, "json"] for path in (spec, listed, toml))
    yield from (["export", steering, "json", "--to", path] for path in (file, folder / f"{name}-"))
    yield ["export", steering, name]
    yield from (["import", path] for path in (written, steering, listed, file, missing))
    yield from (["import", written, "--to", path] for path in (file, folder / f"{name}-new"))
    yield from (
        ["engines", path, *more] for path in (spec, steering, listed) for more in ([], ["--json"])
    )
    yield from (["train", path] for path in (spec, listed))
    yield from ([verb, name] for verb in ("attach", "pause", "resume", "stop"))
    yield ["ask", name, name]
    compared = (file, strange, listed, missing, name)
    yield from (["compare", path, *more] for path in compared for more in ([], ["--json"]))
    yield from (["runs", *more] for more in ([], ["--json"], ["--tag", name]))
    yield from ([verb, name, *more] for verb in ("delete", "tidy") for more in ([], ["--yes"]))
    yield ["rename", name, name, "--tags", name, "--notes", name]
    yield from (["queue", *more] for more in ([], ["--json"], ["up"], ["up", name]))
    yield ["queue", "cancel", name]
    yield ["models"]
    yield ["scan", file, f"--{name}"]
    yield [name]


def test_nothing_that_steers_a_terminal_is_printed_by_any_verb(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in verbs(tmp_path):
        with contextlib.suppress(SystemExit):
            run(*arguments)
        printed = capsys.readouterr()
        said = printed.out + printed.err
        assert said, arguments
        assert not [c for c in said if not c.isprintable() and c not in "\n\t"], (arguments, said)
        if "--json" in arguments and printed.out:
            json.loads(printed.out.splitlines()[-1])


def test_check_and_estimate(good, tmp_path, capsys):
    model = save_model(tmp_path / "model")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": str(model), "training_file": str(good), "lora_r": 4}))
    assert run("check", spec) == 0
    assert run("estimate", spec, "--json") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["n_steps"] == 10
    spec.write_text(json.dumps({"n_epochs": 0}))
    assert run("check", spec, "--json") == 1
    issues = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {issue["where"] for issue in issues} == {"n_epochs", "model", "training_file"}


@pytest.mark.parametrize("text", ["{", "[1]", None])
def test_a_file_that_is_no_spec_is_said(text, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    if text is not None:
        spec.write_text(text)
    assert run("check", spec) == 1
    assert "spec" in capsys.readouterr().err


@pytest.mark.slow
def test_train_shows_the_run_and_keeps_it(good, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "spec.json"
    values = {"model": str(save_model(tmp_path / "model")), "training_file": str(good)}
    spec.write_text(json.dumps({**values, "batch_size": 8}))
    assert run("train", spec) == 0
    assert "completed" in capsys.readouterr().out
    assert run("runs") == 0
    assert "5 of 5" in capsys.readouterr().out
    assert run("attach") == 0


def test_runs_without_any_says_nothing_is_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("runs") == 0
    assert "no run" in capsys.readouterr().out.lower()


def made_at(year, folder):
    """A run that waits; its model is not there, so that nothing can come of asking it."""
    spec = JobSpec(model=str(folder / "gone"), training_file="t.jsonl")
    job = Job(spec=spec, provider="local", created_at=f"{year}-01-01T00:00:00Z")
    return Run.create(job, folder / "ftlab-runs")


def test_without_a_run_the_newest_is_asked_that_can_answer(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tuned, saved, waits = (made_at(year, tmp_path) for year in (2997, 2998, 2999))
    for verb in (["ask", "Hello"], ["serve"]):
        assert run(*verb) == 1
        said = capsys.readouterr().err
        assert f"the newest, {waits.id}, is {waits.status}" in said
        assert "Wait until one has" in said
    tuned.adapter.mkdir()
    assert run("ask", "Hello") == 1
    assert f"Run {tuned.id} is taken (tuned)" in capsys.readouterr().err
    saved.checkpoint(7).mkdir(parents=True)
    (saved.checkpoint(7) / "adapter_config.json").write_text("{}")
    for more in ([], ["--step", "7"]):
        assert run("ask", "Hello", *more) == 1
        assert f"Run {saved.id} is taken (step 7)" in capsys.readouterr().err
    assert run("ask", "Hello", "--step", "8") == 1
    assert "has a checkpoint of step 8" in capsys.readouterr().err
    assert run("ask", waits.id, "Hello") == 1
    assert "has kept nothing yet" in capsys.readouterr().err


def test_a_refused_job_prints_every_issue(tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"n_epochs": 0, "lora_rank": 3}))
    assert run("train", spec) == 1
    out = capsys.readouterr().out
    assert "n_epochs is 0" in out
    assert "ftlab calls it `lora_r`" in out


def test_check_looks_at_model_and_data_too(good, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": "nope", "training_file": "nothere.jsonl", "n_epochs": 0}))
    assert run("check", spec) == 1
    out = capsys.readouterr().out
    assert "No model is at 'nope'" in out
    assert "nothere.jsonl is not a file" in out
    assert "n_epochs is 0" in out


@pytest.mark.parametrize(
    "values",
    [
        {"model": 5, "training_file": 5, "max_seq_length": "abc"},
        {"model": "demo", "n_epochs": 10**400, "lora_alpha": 10**400, "random_seed": 10**30},
        {"model": "demo", "lora_trainable_modules": []},
    ],
)
@pytest.mark.parametrize("verb", ["check", "estimate"])
def test_odd_values_are_issues(verb, values, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(values))
    assert run(verb, spec) == (1 if verb == "check" else 0)
    for name in set(values) - {"model"}:
        assert verb == "estimate" or name in capsys.readouterr().out or values.keys() > {name}


def test_an_estimate_says_that_the_job_would_be_refused(tmp_path, capsys):
    bad = write_rows(tmp_path / "bad.jsonl", [*chat_rows(20), {"messages": []}])
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": "demo", "training_file": str(bad)}))
    assert run("estimate", spec) == 0
    printed = capsys.readouterr()
    assert "steps: " in printed.out
    assert "would be refused" in printed.err


@pytest.mark.parametrize("text", ["-3", "0", "abc", "1.5", "nan", "9" * 5000])
def test_a_length_that_is_none_is_wrong_usage(text, good, capsys):
    with pytest.raises(SystemExit) as ended:
        run("scan", good, "--max-seq-length", text)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "is given; it takes a whole number from 1. Give for example 2048." in said


@pytest.mark.parametrize("text", ["0", "1", "half", "nan"])
def test_a_share_that_is_none_is_wrong_usage(text, good, capsys):
    with pytest.raises(SystemExit) as ended:
        run("split", good, text)
    assert ended.value.code == 2
    assert f"'{text}' is given; it takes a number between 0 and 1." in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "estimate", "export", "import", "train"])
def test_a_name_with_line_breaks_feigns_no_second_issue(verb, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"x\n▲ all fine": 1, "n_epochs": "\n▲ fine"}))
    run(verb, spec, *(["json"] if verb == "export" else []))
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    assert not [line for line in lines if line.startswith("▲ all fine")]
    assert verb == "estimate" or [line for line in lines if "x\\n▲ all fine" in line]


def test_an_error_inside_ftlab_is_not_taken_for_a_mistake_of_the_person(tmp_path, monkeypatch):
    def broken(text):
        raise ValueError("math domain error")

    monkeypatch.setattr("ftlab.exchange.plain.from_json", broken)
    spec = tmp_path / "spec.json"
    spec.write_text("{}")
    with pytest.raises(ValueError, match="math domain error"):
        run("check", spec)


@pytest.mark.parametrize("file", ["a\0b", "\ud800", "x" * 5000, "\n"])
@pytest.mark.parametrize("verb", ["check", "estimate", "engines", "train", "import"])
def test_a_file_name_that_no_system_takes_is_an_issue(verb, file, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": "demo", "training_file": file}))
    run(verb, spec)
    assert "Traceback" not in capsys.readouterr().err


FOLLOW = ("train", "attach", "pause", "resume", "stop")


@pytest.mark.parametrize("verb", ["scan", "repair", "estimate", *FOLLOW])
def test_only_verbs_that_follow_runs_say_that_a_run_goes_on(verb, good, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for name in ("data.report.scan", "providers.submit", "sweeps.folder.find"):
        monkeypatch.setattr(f"ftlab.{name}", interrupted)
    monkeypatch.setattr("ftlab.cli.specs.read_values", interrupted)
    monkeypatch.setattr("ftlab.cli.hosted.read_values", lambda _: {})
    assert run(verb, good) == 1
    said = capsys.readouterr().err
    assert said.startswith("Interrupted.")
    assert ("goes on" in said) == (verb in FOLLOW)


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_terminal_without_our_marks_gets_escapes(tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"n_epochs": 0, "schlüssel": 1}))
    ended = python("-m", "ftlab.cli", "check", spec, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.returncode == 1
    assert b"\\u25b2 n_epochs is 0; " in ended.stdout
    assert b"schl\\xfcssel" in ended.stdout
    assert ended.stderr == b""


def test_python_without_docstrings_runs_every_verb(good):
    assert b"estimate" in python("-OO", "-m", "ftlab.cli", "--help").stdout
    ended = python("-OO", "-m", "ftlab.cli", "scan", good)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["spec.json", "spec.toml"])
def test_a_mark_of_windows_in_front_of_a_spec_is_no_part_of_it(name, tmp_path, capsys):
    spec = tmp_path / name
    text = '{"n_epochs": 0}' if name.endswith("json") else "n_epochs = 0"
    spec.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert run("check", spec) == 1
    assert "n_epochs is 0" in capsys.readouterr().out


def test_what_the_machine_costs_makes_the_price_of_a_job_here(good, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    values = {"model": "demo", "training_file": str(good), "max_steps": 2}
    spec.write_text(json.dumps(values))
    prices = []
    for more in ([], ["--usd-per-hour", "2.5"], ["--usd-per-hour", "5"]):
        assert run("estimate", spec, "--json", *more) == 0
        prices.append(json.loads(capsys.readouterr().out)["local_price"])
    assert prices[0] is None
    assert prices[2] == pytest.approx([2 * dollars for dollars in prices[1]])
    with pytest.raises(SystemExit):
        run("estimate", spec, "--usd-per-hour", "-1")
    assert "'-1' is given; it takes a number from 0. Give for example 2.5." in (
        capsys.readouterr().err
    )


def test_a_path_that_can_not_be_used_is_said(good, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FTLAB_RUNS", str(good))
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": "demo", "training_file": str(good)}))
    assert run("train", spec) == 1
    assert str(good) in capsys.readouterr().err


def test_repair_convert_and_split(tmp_path, capsys):
    file = tmp_path / "a.jsonl"
    rows = chat_rows(40)
    rows[3]["messages"][0]["role"] = "human"
    file.write_text("\n".join(json.dumps({**row, "id": 1}) for row in rows) + "\n\nbroken\n")
    assert run("repair", file) == 0
    assert "40 rows, 40 of them changed" in capsys.readouterr().out
    assert run("scan", tmp_path / "a.fixed.jsonl") == 0
    assert run("split", tmp_path / "a.fixed.jsonl", "0.25") == 0
    table = tmp_path / "q.csv"
    table.write_text("question,answer\nWhere?,Here.\n")
    columns = ("--column", "user=question", "--column", "assistant=answer")
    assert run("convert", table, tmp_path / "q.jsonl", *columns) == 0
    (row,) = map(json.loads, (tmp_path / "q.jsonl").read_text().splitlines())
    assert [m["content"] for m in row["messages"]] == ["Where?", "Here."]
