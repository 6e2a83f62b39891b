"""Runs beside each other: what they have come to, and what differs."""

from __future__ import annotations

import json
import math

import pytest

import ftlab
from ftlab.cli import main
from ftlab.comparison.compared import Comparison, reached
from ftlab.comparison.track import Track
from ftlab.errors import RunError
from ftlab.events import Metrics
from ftlab.sweeps.folder import Sweep
from tests.comparison.test_track import made_run, steps
from tests.sweeps.worlds import plan


def track(name="a", **values):
    values.setdefault("series", {"train_loss": {1: 2.0}})
    return Track(name, "a table", **values)


def test_what_a_run_has_come_to_by_hand():
    losses = {step: float(21 - step) for step in range(1, 21)}  # 20 down to 1
    evals = {0: 0.5, 10: 8.0, 15: 7.5, 20: 9.0}
    found = reached(track(series={"train_loss": losses, "eval_loss": evals}, seconds={20: 40.0}))
    assert found.train_loss == pytest.approx(1.5)  # the mean of 2 and 1
    assert (found.eval_loss, found.best_eval_loss, found.best_step) == (9.0, 7.5, 15)
    assert (found.steps, found.seconds, found.tokens) == (20, 40.0, None)


def test_a_column_in_which_no_run_has_a_value_is_left_out():
    titles, rows = Comparison((track(), track("b", seconds={1: 40.0}))).reached_cells()
    assert titles == ["run", "steps", "training loss at the end", "time"]
    assert rows == [["a", "1", "2", ""], ["b", "1", "2", "40 s"]]
    assert "validation" not in Comparison((track(),)).reached_html()


def test_what_is_no_number_is_never_best():
    found = reached(track(series={"train_loss": {1: math.nan}, "eval_loss": {1: math.nan, 2: 3.0}}))
    assert (found.train_loss, found.best_eval_loss, found.best_step) == (None, 3.0, 2)


def test_only_what_differs_is_listed_in_the_order_of_the_spec(tmp_path):
    one = made_run(tmp_path, *steps(2.0), learning_rate=4.6e-4, lora_r=16)
    two = made_run(tmp_path, *steps(2.0), learning_rate=1e-3, lora_r=16, n_epochs=3)
    found = ftlab.compare(one, two)
    assert [tuple(one) for one in found.differences] == [
        ("n_epochs", ("1", "3")),
        ("learning_rate", ("4.6e-4", "1e-3")),
    ]
    assert "lora_r" not in found.differences_html()


def test_what_nobody_tells_is_no_difference():
    told, other = track(settings={"n_epochs": 1, "lora_r": 8}), track("b", settings={"n_epochs": 2})
    found = Comparison((told, other, track("c")))
    assert [tuple(one) for one in found.differences] == [("n_epochs", ("1", "2", "not told"))]


def test_the_best_by_how_much():
    evals = {"a": {10: 1.9, 20: 2.1}, "b": {10: 2.2, 20: 2.0}}
    both = [track(name, series={"eval_loss": points}) for name, points in evals.items()]
    assert Comparison(tuple(both)).headline == (
        "a has the lowest validation loss: 1.9 at step 10, 5.0% below b (2)."
    )
    assert Comparison((both[0],)).headline == ""
    far = track("c", series={"eval_loss": {10: 0.0005}})
    assert "at step 10, more than 99.9% below a (1.9)" in Comparison((both[0], far)).headline


@pytest.mark.parametrize(
    ("field", "values", "said"),
    [
        ("rows of validation", ("x", "y"), "different rows"),
        ("model", ("m", "n"), "different models"),
        ("training_method", ("sft", "dpo"), "different losses"),
        ("train_on_inputs", (True, False), "other tokens"),
        ("max_seq_length", (64, 2048), "cut at other lengths"),
        ("dpo_beta", (0.1, 0.5), "other functions of the same answers (dpo_beta differs)"),
        ("simpo_gamma", (None, 1.0), "simpo_gamma differs"),
        ("rpo_alpha", (0.0, 1.0), "rpo_alpha differs"),
        ("dpo_reference_free", (False, True), "dpo_reference_free differs"),
    ],
)
def test_losses_that_say_little_about_each_other_are_told(field, values, said):
    both = tuple(
        track(name, series={"eval_loss": {1: 2.0}}, settings={"model": "m", field: v})
        for name, v in zip("ab", values, strict=True)
    )
    (caution,) = Comparison(both).cautions
    assert said in caution
    assert said in Comparison(both)._repr_html_()
    assert Comparison(both).headline == ""
    assert "a has the lowest" in Comparison((both[0], both[0])).headline


def test_a_run_of_an_unknown_model_is_ranked_among_its_like_alone():
    measured = {"series": {"eval_loss": {1: 2.0}}}
    ours, theirs = track("a", **measured, settings={"model": "m"}), track("b", **measured)
    (caution,) = Comparison((ours, theirs)).cautions
    assert caution.startswith("What b trained, and on which rows, is not told;")
    assert Comparison((ours, theirs)).headline == ""
    among = Comparison((theirs, theirs))
    assert (among.cautions, bool(among.headline)) == ((), True)


def test_validation_rows_of_two_runs_are_told_apart(tmp_path):
    one = made_run(tmp_path, training_file="a.jsonl", validation_split=0.1)
    two = made_run(tmp_path, training_file="a.jsonl", validation_split=0.2)
    same = made_run(tmp_path, training_file="a.jsonl", validation_split=0.1, n_epochs=2)
    assert "different rows" in ftlab.compare(one, two).cautions[0]
    assert ftlab.compare(one, same).cautions == ()


def test_a_broken_loss_is_told():
    (caution,) = Comparison((track(series={"train_loss": {1: 1.0, 2: math.inf}}),)).cautions
    assert "no number at step 2;" in caution


def test_runs_by_id_folder_and_file_and_in_a_list(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_RUNS", str(tmp_path / "runs"))
    run = made_run(tmp_path / "runs", *steps(2.0))
    table = tmp_path / "table.csv"
    table.write_text("step,train_loss\n1,3.0\n")
    found = ftlab.compare([run.id, str(run.path)], table)
    assert [one.name for one in found.tracks] == [run.id, f"{run.id} (2)", "table"]
    with pytest.raises(RunError, match="neither a run"):
        ftlab.compare("nothing-here")
    with pytest.raises(RunError, match="nothing to compare"):
        ftlab.compare()


def test_a_sweep_is_each_of_its_arms(tmp_path):
    sweep = Sweep.of(plan(3), tmp_path)
    for source in (sweep, sweep.path, sweep.id):
        found = ftlab.compare(source, folder=tmp_path)
        assert [one.name for one in found.tracks] == ["3.2e-4", "1e-3", "3.2e-3"]
        assert [one.field for one in found.differences] == ["learning_rate"]


def test_in_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ftlab-runs"
    last = Metrics(step=2, time=1004.0, values={"eval_loss": 1.5})
    one = made_run(folder, *steps(2.0, 1.0), last, n_epochs=1)
    two = made_run(folder, *steps(3.0, 2.0), n_epochs=2)
    assert main(["compare", one.id, two.id]) == 0
    titles, first, second, blank, heads, epochs = capsys.readouterr().out.splitlines()
    assert titles.startswith("run")
    assert (first.split()[0], second.split()[0], blank) == (one.id, two.id, "")
    assert first.split()[1:] == ["2", "1", "1.5", "1.5", "2", "4", "s"]
    assert heads.split()[-2:] == [one.id, two.id]
    assert epochs.split() == ["n_epochs", "1", "2"]
    assert main(["compare", one.id, two.id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == {"n_epochs": ["1", "2"]}
    assert found["runs"][0]["best_eval_loss"] == 1.5
