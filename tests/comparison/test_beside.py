"""What stands beside the curves of runs: scores, costs and data."""

from __future__ import annotations

import json

import pytest

import ftlab
from ftlab.cli import main
from ftlab.comparison.costs import cost_of
from ftlab.comparison.data import files_of
from ftlab.comparison.track import track_of
from ftlab.files import sha256_of
from ftlab.job import Estimated, Job
from ftlab.run import Run
from ftlab.scores.found import Scores
from ftlab.scores.metrics import Seen, chosen
from ftlab.scores.sheet import Column, Kept, ScoredRow, Sheet
from ftlab.spec import JobSpec
from tests.comparison.test_track import steps
from tests.small import chat_rows, write_rows


def made(folder, file, *, provider="local", estimate=None, **options):
    spec = JobSpec(model="m", training_file=str(file))
    digest = sha256_of(file)
    given = {"provider": provider, "options": options, "data_sha256": digest}
    job = Job(spec=spec, estimate=estimate or Estimated(), **given)
    run = Run.create(job, folder)
    writer = run.writer()
    for event in steps(3.0, 2.0, 1.0):  # six seconds
        writer.append(event)
    writer.close()
    return run


@pytest.fixture
def file(tmp_path):
    return write_rows(tmp_path / "t.jsonl", chat_rows(4))


def scored(run, right, digest="d", identity="tuned"):
    """A run of whose answers so many of 20 are right, and none of the base's."""
    rows = [ScoredRow(line=i, prompt="Q", reference="Yes") for i in range(1, 21)]
    sheet = Sheet(run=run.id, file="v.jsonl", sha256=digest, settings={}, rows=rows)
    for name, n in (("base", 0), ("tuned", right)):
        column = Column.empty(name, name, identity, 0, 20)
        (metric,) = chosen(["exact_match"])
        seen = [Seen(reference="Yes", answer="Yes" if i < n else "No") for i in range(20)]
        column.values["exact_match"] = list(metric.over(seen, {}))
        sheet.columns[name], sheet.traits["exact_match"] = column, metric.traits
    sheet.figures = Scores(sheet).figures()
    run.score_folder.mkdir(exist_ok=True)
    Kept(run.score_folder, sheet).save()
    return run


def test_scores_of_the_same_rows_stand_side_by_side(tmp_path, file):
    runs = [scored(made(tmp_path, file), right) for right in (10, 18)]
    found = ftlab.compare(*runs)
    (row,) = found.as_dict()["scores"]
    assert row["base"] == "0.0% (0.0 to 16.1)"
    assert row[runs[1].id] == "90.0% (69.9 to 97.2)"
    assert found.cautions == ()


def test_scores_of_other_rows_are_not_held_against_each_other(tmp_path, file):
    runs = [scored(made(tmp_path, file), 10, digest) for digest in "ab"]
    assert "scores are of different rows" in ftlab.compare(*runs).cautions[0]


def test_scores_of_rows_that_all_have_stand_before_newer_ones(tmp_path, file):
    one, other = (made(tmp_path, file) for _ in range(2))
    for run, right, digest in ((one, 12, "a"), (other, 14, "a"), (one, 10, "b")):
        scored(run, right, digest)
    found = ftlab.compare(one, other)
    (row,) = found.as_dict()["scores"]
    assert row[one.id].startswith("60.0%")
    assert found.cautions == ()


def test_scores_of_weights_that_a_run_has_no_more_are_told(tmp_path, file):
    run = scored(made(tmp_path, file), 10)
    run.adapter.mkdir()
    assert (
        f"The scores of {run.id} are of weights that it has no more"
        in (ftlab.compare(run, scored(made(tmp_path, file), 10)).cautions[0])
    )


def test_a_figure_without_bounds_is_read_as_it_was_written(tmp_path, file):
    run = scored(made(tmp_path, file), 10)
    (kept,) = run.score_folder.glob("*.json")
    sheet = json.loads(kept.read_text())
    for figure in sheet["figures"]:
        figure["interval"] = [None, "Infinity"]
    kept.write_text(json.dumps(sheet))
    (row,) = ftlab.compare(run, run).as_dict()["scores"]
    assert row[run.id] == "50.0% (-inf to inf)"


def test_a_run_here_took_its_time_and_costs_its_rate(tmp_path, file):
    told = Estimated(seconds=(4.0, 9.0), usd=(0.1, 0.3))
    run = made(tmp_path, file, estimate=told, usd_per_hour=60.0)
    assert cost_of(run) == ((4.0, 9.0), 6.0, (0.1, 0.3), pytest.approx(0.1))
    (row,) = ftlab.compare(run).as_dict()["costs"]
    assert (row["time estimated"], row["time taken"]) == ("4 to 9 s", "6 s")
    assert ftlab.compare(made(tmp_path, file)).as_dict()["costs"] == []


def test_a_column_in_which_no_run_has_a_price_is_left_out(tmp_path, file, capsys):
    run = made(tmp_path, file, estimate=Estimated(seconds=(4.0, 9.0)))
    page = ftlab.compare(run).more_html()
    assert main(["compare", str(run.path)]) == 0
    for shown in (page, capsys.readouterr().out):
        assert "time estimated" in shown
        assert "price" not in shown
    assert ftlab.compare(run).as_dict()["costs"][0]["price paid"] == ""
    priced = made(tmp_path, file, estimate=Estimated(usd=(0.1, 0.3)))
    both = ftlab.compare(run, priced).more_html()
    assert "price estimated" in both
    assert "price paid" not in both


def test_a_job_at_the_service_costs_what_that_said_last(tmp_path, file):
    run = made(tmp_path, file, provider="together", estimate=Estimated(usd=(3.0, 3.0)))
    lines = [{"job": {"id": "ft-1", "total_price": price}} for price in (0, 3_120_000_000)]
    run.said_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cost_of(run).usd == pytest.approx(3.12)


def test_rows_that_only_one_of_the_files_has(tmp_path, file):
    other = write_rows(tmp_path / "u.jsonl", chat_rows(5, start=2))
    runs = [made(tmp_path, one) for one in (file, file, other)]
    first, second = files_of([track_of(run) for run in runs])
    assert (first.n_rows, first.only_here) == (4, [1, 2])
    assert (second.n_rows, second.only_here) == (5, [3, 4, 5])
    assert first.runs == [run.id for run in runs[:2]]
    assert ftlab.compare(*runs[:2]).as_dict()["data"] == []
    file.write_text("")
    assert "gone or changed since" in ftlab.compare(*runs).data_html()


def test_what_was_estimated_is_kept_with_the_job(tmp_path, files_of_a_job):
    from ftlab.providers import prepare

    job = prepare(files_of_a_job, usd_per_hour=2.0).job
    assert job.estimate.seconds[0] < job.estimate.seconds[1]
    assert job.estimate.usd == pytest.approx([s * 2.0 / 3600 for s in job.estimate.seconds])
    assert Job.model_validate_json(job.model_dump_json()).estimate == job.estimate


@pytest.fixture
def files_of_a_job(tmp_path):
    from tests.small import save_model

    model = save_model(tmp_path / "model")
    return {
        "model": str(model),
        "training_file": str(write_rows(tmp_path / "j.jsonl", chat_rows(40))),
    }
