"""Curves from runs and from files."""

from __future__ import annotations

import json
import math

import pytest

import ftlab
from ftlab import demo
from ftlab.diagnosis import curve_of_file, curve_of_run, tables
from ftlab.diagnosis.reading import curve_of_rows
from ftlab.errors import RunError, UnreadableData
from ftlab.events import Metrics, Sample, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.sweeps.folder import Sweep
from tests.sweeps.worlds import plan

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
        {"step": 3, "train_loss": "", "eval_loss": ""},
    ]
    curve = curve_of_rows(rows, "x")
    assert curve.steps == [1, 2, 3]
    assert all(map(math.isnan, curve.train_loss[1:]))
    assert curve.eval_loss == {1: 2.2}


@pytest.mark.parametrize(
    "last",
    [
        {"step": 3, "samples_per_second": 55.0},
        {"step": 3, "learning_rate": 1e-4},
        {"step": 3, "train_runtime": 12.3, "train_loss": 1.9},
        {"samples_per_second": 55.0},
    ],
)
def test_a_row_without_a_loss_is_no_step(last):
    rows = [{"step": i, "train_loss": 2.0, "learning_rate": 1e-4} for i in (1, 2)]
    curve = curve_of_rows([*rows, last], "x")
    assert (curve.steps, curve.train_loss) == ([1, 2], [2.0, 2.0])


def test_one_last_row_is_a_step_where_its_gradient_is_no_number():
    rows = [{"step": i, "train_loss": 2.0, "grad_norm": 1.0} for i in (1, 2)]
    curve = curve_of_rows([*rows, {"step": 3, "train_loss": "", "grad_norm": "nan"}], "x")
    assert math.isnan(curve.train_loss[2])


def test_rows_of_a_learning_rate_alone_tell_more_of_their_steps():
    losses = [{"step": i, "loss": 2.0} for i in range(1, 5)]
    rates = [{"step": i, "loss": "", "lr": i * 1e-4} for i in range(1, 7)]
    curve = curve_of_rows([*losses[:2], *rates, *losses[2:]], "x")
    assert curve.steps == [1, 2, 3, 4]
    assert curve.learning_rate == pytest.approx([1e-4, 2e-4, 3e-4, 4e-4])


HISTORY = [
    {"loss": 2.5, "grad_norm": 1.0, "epoch": 0.5, "step": 10},
    {"eval_loss": 2.25, "epoch": 0.5, "step": 10},
    {"loss": 2.0, "grad_norm": 1.0, "epoch": 1.0, "step": 20},
    {"train_runtime": 61.5, "train_loss": 2.25, "epoch": 1.0, "step": 20},
]


def test_a_history_of_transformers_as_json_and_as_pandas_writes_it(tmp_path):
    names = list(dict.fromkeys(name for row in HISTORY for name in row))
    cells = [",".join(str(row.get(name, "")) for name in names) for row in HISTORY]
    (tmp_path / "log.csv").write_text("\n".join([",".join(names), *cells]))
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": HISTORY}))
    for name in ("log.csv", "trainer_state.json"):
        curve = curve_of_file(tmp_path / name)
        assert (curve.steps, curve.train_loss) == ([10, 20], [2.5, 2.0])
        assert curve.eval_loss == {10: 2.25}


def test_columns_as_the_reports_to_wandb_name_them():
    rows = [{"_step": 2 * i, "train/global_step": i, "Train/Loss": 2.0} for i in range(1, 4)]
    assert curve_of_rows(rows, "x").steps == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "step,accuracy\n1,0.5\n", "has the columns accuracy, step; a curve is CSV"),
        ("a.csv", "", "has the columns of nothing"),
        ("a.csv", "step,train_loss\n1,many\n", "a.csv, row 1: train_loss is 'many'; it must"),
        ("a.csv", "step,train_loss\n,2\n", "has no step in row 1"),
        ("a.csv", "step,train_loss\nnan,2\n", "has no step in row 1"),
        ("a.csv", "step,train_loss\n1e300,2\n", "has no step in row 1"),
        ("a.csv", "a,b\n1,2,3\n", "has the columns a, b"),
        ("a.csv", "step,train_loss,text\n1,2," + "x" * 200_000, "a cell has up to"),
        ("a.json", "[" * 100_000, "is no JSON"),
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


@pytest.mark.parametrize(
    "known",
    [
        *({"recommended_lr": -1e-4}, {"recommended_lr": math.nan}, {"vocab_size": -5}),
        *({"vocab_size": 1}, {"steps_per_epoch": 0}, {"batch_size": 0}),
    ],
)
def test_what_is_known_besides_must_be_possible(known, tmp_path):
    (tmp_path / "a.csv").write_text("step,train_loss\n1,2\n")
    (name,) = known
    with pytest.raises(UnreadableData, match=f"{name} is .*; it must be a number .*Correct"):
        ftlab.doctor(tmp_path / "a.csv", **known)


def test_a_file_that_is_too_large(tmp_path):
    file = tmp_path / "a.json"
    with file.open("wb") as out:
        out.truncate(tables.LARGEST + 1)
    with pytest.raises(
        UnreadableData, match=r"64,000,001 bytes; up to 64,000,000 are read. Export"
    ):
        ftlab.doctor(file)


def test_a_line_without_an_end(tmp_path):
    file = tmp_path / "a.csv"
    with file.open("wb") as out:
        out.truncate(tables.LARGEST + 1)
    with pytest.raises(UnreadableData, match=r"a line of more than 4,000,000 .*Leave out columns"):
        ftlab.doctor(file)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_of_a_large_file_only_the_curve_is_kept(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(tables, "LARGEST", 4_000)
    rows = [{"Step": i, "loss": 2.0 + 1 / i, "note": "x" * 40} for i in range(1, 101)]
    file = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        lines = [",".join(map(str, values)) for values in (rows[0], *(r.values() for r in rows))]
    else:
        lines = [json.dumps(row) for row in rows]
    file.write_text("\n".join(lines))
    assert file.stat().st_size > tables.LARGEST
    curve = curve_of_file(file)
    assert list(curve.steps) == [*range(1, 101)]
    assert curve.train_loss == [row["loss"] for row in rows]


def test_a_file_with_more_rows_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 10)
    file = tmp_path / "a.csv"
    file.write_text("step,train_loss\n" + "".join(f"{i},2\n" for i in range(11)))
    with pytest.raises(UnreadableData, match=r"more than 10 rows; .* Export every tenth step"):
        ftlab.doctor(file)


def test_a_sweep_has_no_curve_of_its_own(tmp_path):
    sweep = Sweep.of(plan(2), tmp_path)
    for given in (sweep, sweep.path):
        with pytest.raises(RunError, match=r"is a sweep.*; the doctor takes one run. Give"):
            ftlab.doctor(given)


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
