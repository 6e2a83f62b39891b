"""Curves from runs and from files."""

from __future__ import annotations

import json
import math

import pytest

import ftlab
from ftlab import demo
from ftlab.diagnosis import curve_of_file, curve_of_run
from ftlab.diagnosis.reading import curve_of_rows
from ftlab.errors import UnreadableData
from ftlab.events import Metrics, Sample, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec

ROWS = [
    {"step": 1, "train_loss": 2.5, "eval_loss": "", "grad_norm": 1.5},
    {"step": 2, "train_loss": 2.25, "eval_loss": 2.4, "grad_norm": 1.25},
    {"step": 3, "train_loss": "nan", "eval_loss": "", "grad_norm": ""},
]


def as_csv(rows):
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


FORMS = {
    "a.csv": as_csv(ROWS),
    "b.csv": "\ufeff" + as_csv(ROWS),
    "c.json": json.dumps(ROWS),
    "d.jsonl": "\n".join(map(json.dumps, ROWS)) + "\n",
    "e.json": json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_same_curve_comes_from_csv_rows_columns_and_lines(name, tmp_path):
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    curve = curve_of_file(tmp_path / name, vocab_size=500)
    assert curve.steps == [1, 2, 3]
    assert curve.train_loss[:2] == [2.5, 2.25]
    assert math.isnan(curve.train_loss[2])
    assert curve.eval_loss == {2: 2.4}
    assert curve.grad_norm[:2] == [1.5, 1.25]
    assert curve.vocab_size == 500
    assert curve.steps_per_epoch is None


def test_other_trainers_names_are_known_and_epochs_counted_either_way():
    rows = [{"step": i, "loss": 2.0, "lr": 1e-4, "epoch": i // 80} for i in range(100)]
    assert curve_of_rows(rows, "nemo").steps_per_epoch == 80
    rows = [{"step": i, "loss": 2.0, "epoch": i / 40} for i in range(1, 100)]
    curve = curve_of_rows(rows, "fractions")
    assert curve.steps_per_epoch == pytest.approx(40)
    assert curve_of_rows(rows, "x", steps_per_epoch=7).steps_per_epoch == 7


def test_a_loss_that_pandas_left_out_is_no_number_but_an_evaluation_has_none():
    rows = [
        *({"step": 1, "train_loss": 2.0, "eval_loss": None}, {"step": 1, "eval_loss": 2.2}),
        {"step": 2, "train_loss": None, "eval_loss": None},
    ]
    curve = curve_of_rows(rows, "x")
    assert curve.steps == [1, 2]
    assert math.isnan(curve.train_loss[1])
    assert curve.eval_loss == {1: 2.2}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "step,accuracy\n1,0.5\n", "has the columns accuracy, step; a curve is CSV"),
        ("a.csv", "", "has the columns of nothing"),
        ("a.csv", "step,train_loss\n1,many\n", "a.csv, row 1: train_loss is 'many'; it must"),
        ("a.csv", "step,train_loss\n,2\n", "has no step in row 1"),
        ("a.csv", "step,train_loss\nnan,2\n", "has no step in row 1"),
        ("a.json", "{", "is no JSON"),
        ("a.json", "3", "is no JSON"),
        ("a.json", '{"step": [1], "train_loss": [2, 3]}', "is no JSON"),
    ],
)
def test_what_is_no_curve_says_what_is(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableData) as raised:
        ftlab.doctor(tmp_path / name)
    assert said in str(raised.value)
    assert str(raised.value).endswith((".", "id of a run."))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnreadableData, match="can't be read"):
        ftlab.doctor(tmp_path / "missing.csv")


@pytest.fixture
def run(tmp_path):
    spec = JobSpec(**{**demo.JOB, "lora_r": 8, "lora_alpha": 16, "lora": True})
    made = Run.create(Job(spec=spec, provider="local"), tmp_path)
    writer = made.writer()
    writer.append(Status(status="running", n_steps=90, from_step=0))
    writer.append(Metrics(step=0, values={"eval_loss": 2.7}))
    for step in range(1, 91):
        values = {"train_loss": 1 + 1.5 * 0.8**step, "grad_norm": 1.0, "epoch": step / 30}
        writer.append(Metrics(step=step, values={**values, "learning_rate": 4e-3}))
        if step % 30 == 0:
            writer.append(Metrics(step=step, values={"eval_loss": 1.2 + 0.3 * 0.8**step}))
    writer.append(Sample(step=0, prompt="?", text="before"))
    writer.append(Sample(step=90, prompt="?", text="after"))
    writer.append(Status(status="completed"))
    writer.close()
    return made


def test_a_run_knows_its_job_its_model_and_what_is_recommended(run):
    curve = curve_of_run(run)
    assert (curve.n, curve.n_steps, curve.is_over) == (90, 90, True)
    assert curve.evaluations[0][0] == 30
    assert curve.eval_loss[0] == 2.7
    assert curve.vocab_size == 1024
    assert curve.batch_size == 16
    assert curve.steps_per_epoch == pytest.approx(30)
    assert curve.samples == ["after"]
    assert curve.recommended_lr == pytest.approx(3.7e-3)
    assert curve.ratio == pytest.approx(4e-3 / 3.7e-3)


def test_a_run_is_diagnosed_by_method_by_verb_and_by_folder(run):
    found = run.diagnosis()
    assert found.label == "good"
    assert ftlab.doctor(run) == ftlab.doctor(run.path) == found
    assert ftlab.doctor(run, recommended_lr=4e-1).evidence["lr_ratio"] == pytest.approx(0.01)


def test_an_unknown_model_leaves_the_rest(tmp_path):
    made = Run.create(Job(spec=JobSpec(model="nobody/knows"), provider="local"), tmp_path)
    curve = curve_of_run(made)
    assert (curve.n, curve.vocab_size) == (0, None)
    assert made.diagnosis().needs
