"""Which rows are scored, and what is said of those that were trained on."""

from __future__ import annotations

import pytest

from ftlab.files import sha256_of
from ftlab.job import Job
from ftlab.run import Run
from ftlab.scores.rows import HELD_OUT, TRAINED_ON, leaked, source_of
from ftlab.spec import JobSpec
from tests.small import chat_rows, write_rows


@pytest.fixture
def train(tmp_path):
    return write_rows(tmp_path / "train.jsonl", chat_rows(10))


def run_on(train, **spec):
    values = {"model": "m", "training_file": str(train), **spec}
    job = Job(spec=JobSpec(**values), provider="local", data_sha256=sha256_of(train))
    return Run.create(job, train.parent / "runs")


def test_rows_that_were_trained_on_are_counted(train, tmp_path):
    run, rows = run_on(train), chat_rows(12, start=6)
    rows[0] = {"weight": 0.5, **rows[0]}
    file = write_rows(tmp_path / "v.jsonl", rows)
    (note,) = leaked(run, source_of(run, file, None, 0))
    assert note.startswith("4 of these 12 rows stand in the training data too")


def test_rows_that_were_held_back_were_not_trained_on(train):
    run = run_on(train, validation_split=0.4)
    source = source_of(run, None, None, 0)
    assert source.notes == [HELD_OUT.format(train.name)]
    assert leaked(run, source) == []


def test_a_validation_file_that_is_the_training_file_says_so(train):
    run = run_on(train, validation_file=str(train))
    source = source_of(run, None, None, 0)
    assert TRAINED_ON in source.notes
    assert leaked(run, source) == []


def test_where_the_training_data_are_gone_nothing_is_said(train, tmp_path):
    run = run_on(train)
    file = write_rows(tmp_path / "v.jsonl", chat_rows(4))
    train.unlink()
    assert leaked(run, source_of(run, file, None, 0)) == []
