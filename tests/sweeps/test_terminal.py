"""`ftlab sweep` and `%ftlab sweep`: the same sweep, its cost first and its answer last."""

from __future__ import annotations

import argparse
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftlab import demo as brought
from ftlab.cli import main
from ftlab.cli.sweeps import varied
from ftlab.sweeps.folder import Sweep, Sweeps
from tests.sweeps.worlds import carry_out, valley


@pytest.fixture
def file(monkeypatch, tmp_path):
    """The file of a spec, and sweeps whose process is carried out here and at once."""
    monkeypatch.chdir(tmp_path)
    of_rate = lambda arm, step: valley(arm.rate or 1e-3, step, best=3e-3)  # noqa: E731
    monkeypatch.setattr(Sweep, "start", lambda sweep, key=None: carry_out(sweep, of_rate))
    file = tmp_path / "spec.json"
    spec = {"model": "demo", "training_file": str(brought.TRAIN), "n_epochs": 3}
    file.write_text(json.dumps({**spec, "batch_size": 16, "max_seq_length": 256}))
    return str(file)


def test_it_says_what_it_takes_then_what_was_found(file, capsys):
    assert main(["sweep", file]) == 0
    printed = capsys.readouterr().out
    cost, answer = printed.index("of a full grid\n"), printed.index("is best")
    assert cost < answer
    assert "e-3 (best)" in printed
    assert "ended: behind at step" in printed
    assert "The interval: " in printed
    (sweep,) = Sweeps()
    assert f"{sweep.id}: completed" in printed


def test_json_is_one_object_and_nothing_else(file, capsys):
    assert main(["sweep", file, "--rates", "1e-3,3e-3,1e-2", "--no-halving", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"] == "3e-3"
    assert [arm["changes"] for arm in told["arms"]] == [
        {"learning_rate": rate} for rate in (1e-3, 3e-3, 1e-2)
    ]
    assert told["winning_spec"]["learning_rate"] == 3e-3
    assert told["steps"] == told["steps_of_grid"]
    assert told["value"] == 3e-3
    assert told["low"] <= told["value"] <= told["high"]
    assert 1e-3 < told["fitted"] < 1e-2


def test_other_fields_are_varied_with_or_without_rates(file, capsys):
    main(["sweep", file, "--vary", "lora_r=8,64", "--vary", "use_rslora=true,false", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert len(told["arms"]) == 4
    assert told["value"] is None


@pytest.mark.parametrize("typed", ["lora_r", "=8", "lora_r=", ""])
def test_what_is_no_field_with_values_says_what_to_give(typed):
    with pytest.raises(argparse.ArgumentTypeError, match="for example lora_r=8,64"):
        varied(typed)


def test_foreign_names_are_told_ours(file, capsys):
    assert main(["sweep", file, "--vary", "lora_rank=8,64"]) == 1
    assert "ftlab calls it `lora_r`" in capsys.readouterr().out


def test_the_winner_is_taken_as_a_run_or_as_a_spec(file, capsys, tmp_path):
    main(["sweep", file, "--rates", "1e-3,3e-3,1e-2", "--no-halving"])
    (sweep,) = Sweeps()
    printed = capsys.readouterr().out
    assert "Best values: learning_rate 3e-3." in printed
    assert f"`ftlab promote {sweep.id}`" in printed
    assert "hosted" not in printed
    best = tmp_path / "best.json"
    assert main(["promote", "--to", str(best)]) == 0
    assert json.loads(best.read_text())["learning_rate"] == 3e-3
    assert f"`ftlab train {best}` trains it" in capsys.readouterr().out
    assert main(["promote", sweep.id, "--to", str(best)]) == 1
    assert "is there already" in capsys.readouterr().err
    sweep.winner.adapter.mkdir()
    assert main(["promote", sweep.id]) == 0
    run = sweep.promote()
    assert f"The best arm of {sweep.id} is run {run.id}, completed: `ftlab ask" in (
        capsys.readouterr().out
    )
    assert main(["promote", run.id]) == 1
    assert "promote takes a sweep" in capsys.readouterr().err


def test_issues_are_told_and_nothing_starts(file, capsys):
    assert main(["sweep", file, "--rates", "1e-3,7", "--vary", "batch_size=8,16"]) == 1
    printed = capsys.readouterr().out
    assert "learning_rate is 7" in printed
    assert "batch_size can't be varied" in printed
    assert list(Sweeps()) == []


def test_a_sweep_is_attached_to_by_its_id(file, capsys):
    main(["sweep", file, "--n", "3"])
    (sweep,) = Sweeps()
    first = capsys.readouterr().out.splitlines()[-1]
    assert main(["attach", sweep.id]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == first


def test_the_notebook_has_the_same_words(file, capsys):
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "ftlab")
    try:
        found = shell.run_line_magic("ftlab", f"sweep {file} --n 3")
        assert isinstance(found, Sweep)
        assert "of a full grid" in capsys.readouterr().out
        bundle, _ = shell.display_formatter.format(found)
        assert "is best" in bundle["text/html"]
        assert "application/vnd.jupyter.widget-view+json" not in bundle
    finally:
        shell.run_line_magic("unload_ext", "ftlab")
        InteractiveShell.clear_instance()
