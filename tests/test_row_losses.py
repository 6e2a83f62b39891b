"""The losses of rows on disk: whole lines only, and nothing of what was done anew."""

from __future__ import annotations

import math

from ftlab.events import RowLosses, Status
from ftlab.job import Job
from ftlab.row_losses import counted, highest, newest_first, rows_of_step
from ftlab.run import Run
from ftlab.spec import JobSpec


def told(step, lines=(1, 2), losses=(2.0, 1.0), attempt=1, file="training"):
    return RowLosses(
        step=step, file=file, lines=lines, losses=losses, attempt=attempt, time=float(step)
    )


def new_run(tmp_path):
    return Run.create(Job(spec=JobSpec(model="m"), provider="local"), tmp_path)


def test_what_is_written_comes_back_the_newest_first_also_what_is_no_number(tmp_path):
    run = new_run(tmp_path)
    rows = [told(1), told(1, (7, 9, 8), (0.5, 4.0, 2.0), file="validation")]
    writer = run.row_writer()
    for one in (*rows, told(2, losses=(math.nan, math.inf))):
        writer.append(one)
    writer.close()
    newest, *rest = newest_first(run.row_file)
    assert math.isnan(newest.losses[0])
    assert newest.losses[1] == math.inf
    assert rest == rows[::-1]


def test_half_a_line_is_not_seen_and_a_broken_one_is_left_out(tmp_path):
    run = new_run(tmp_path)
    assert list(run.told_of_rows()) == []
    writer = run.row_writer()
    writer.append(told(1))
    writer.close()
    with run.row_file.open("ab") as file:
        file.write(b"nonsense\n" + told(2).model_dump_json().encode() + b'\n{"kind":"rows","st')
    assert [one.step for one in run.told_of_rows()] == [2, 1]
    writer = run.row_writer()  # the next process cuts it off
    writer.append(told(3))
    writer.close()
    assert [one.step for one in run.told_of_rows()] == [3, 2, 1]


def test_later_steps_of_older_attempts_do_not_count():
    first = [told(step) for step in (1, 2, 3, 4)]
    second = [told(step, attempt=2) for step in (3, 4)]
    third = [told(4, attempt=3), told(5, attempt=3)]
    statuses = [
        Status(status="running", from_step=step, attempt=attempt)
        for attempt, step in ((1, 0), (2, 2), (3, 3))
    ]
    found = counted(reversed([*first, *second, *third]), statuses)
    assert [(one.step, one.attempt) for one in found] == [(5, 3), (4, 3), (3, 2), (2, 1), (1, 1)]


def test_an_evaluation_that_was_told_twice_counts_once():
    twice = [told(0, file="validation"), told(0, file="validation", losses=(9.0, 9.0), attempt=2)]
    statuses = [Status(status="running", from_step=0, attempt=2)]
    assert list(counted(reversed(twice), statuses)) == [twice[1]]


def test_the_frame_has_a_line_per_step_and_row(tmp_path):
    run = new_run(tmp_path)
    writer = run.row_writer()
    for one in (told(1), told(2), told(2, (5,), (3.0,), file="validation")):
        writer.append(one)
    writer.close()
    frame = run.row_losses()
    assert frame.to_dict("list") == {
        "step": [1, 1, 2, 2, 2],
        "file": ["training"] * 4 + ["validation"],
        "line": [1, 2, 1, 2, 5],
        "loss": [2.0, 1.0, 2.0, 1.0, 3.0],
    }


def test_the_highest_take_each_row_once_as_it_was_last():
    found = highest([told(3, (4, 2), (1.5, math.nan)), told(2, (4, 6), (9.0, 2.5))], 3)
    assert [line for line, _ in found] == [2, 6, 4]
    assert [loss for _, loss in found[1:]] == [2.5, 1.5]


def test_the_rows_of_a_step_come_highest_first_and_with_those_of_its_evaluation(tmp_path):
    run = new_run(tmp_path)
    writer = run.row_writer()
    measured = told(2, (7, 8, 9), (0.5, math.nan, 2.0), file="validation")
    for one in (told(1), told(2), measured, told(3)):
        writer.append(one)
    writer.close()
    training, validation = rows_of_step(run, 2)
    assert (training.file, training.lines, training.losses) == ("training", (1, 2), (2.0, 1.0))
    assert (validation.file, validation.lines) == ("validation", (8, 9, 7))
    assert rows_of_step(run, 9) == ()
