"""The event log: nothing that was written is lost, and nothing half-written is read."""

from __future__ import annotations

import math
import os

import pytest

from ftlab.eventlog import EventReader, EventWriter, History
from ftlab.events import Checkpoint, Decision, Log, Metrics, Sample, Status, dump_event, parse_event
from tests.killed_writers import killed_writers

EVENTS = [
    Status(status="running", n_steps=10, detail="zeile\nzwei"),
    Metrics(step=1, values={"train_loss": math.nan, "grad_norm": math.inf, "x": 0.1 + 0.2}),
    Checkpoint(step=1, ref="adapter"),
    Sample(step=1, prompt="p", text="日本 🦜"),
    Log(level="warning", text="careful"),
    Decision(rung=0, step=24, kept=(0, 2), stopped={1: "behind"}, added=({"name": "0.01"},)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_events_survive_their_line(event):
    line = dump_event(event)
    assert line.count(b"\n") == 1
    assert repr(parse_event(line)) == repr(event)


def test_a_line_of_an_unknown_kind_becomes_a_warning():
    event = parse_event(b'{"kind": "hologram", "time": 1}')
    assert isinstance(event, Log)
    assert "hologram" in event.text


def test_a_reader_waits_for_the_end_of_a_line(tmp_path):
    file = tmp_path / "events.jsonl"
    reader = EventReader(file)
    assert reader.new_events() == []
    whole, half = dump_event(EVENTS[0]), dump_event(EVENTS[2])
    file.write_bytes(whole + half[:10])
    assert reader.new_events() == [EVENTS[0]]
    file.write_bytes(whole + half)
    assert reader.new_events() == [EVENTS[2]]
    assert reader.new_events() == []


def test_a_new_writer_cuts_off_what_a_killed_one_left(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_bytes(dump_event(EVENTS[0]) + b'{"kind": "met')
    writer = EventWriter(file)
    writer.append(EVENTS[2])
    writer.close()
    assert EventReader(file).new_events() == [EVENTS[0], EVENTS[2]]


@pytest.mark.slow
def test_a_killed_writer_loses_no_event_that_it_acknowledged(tmp_path):
    with killed_writers() as kill_one:
        lost = [kill_one(tmp_path / f"{trial}.jsonl") for trial in range(60)]
    assert sum(lost) == 0


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    file = tmp_path / "events.jsonl"
    writer = EventWriter(file)
    writer.append(EVENTS[0])
    write = os.write

    def full(handle, data):
        if len(data) > 8:
            return write(handle, data[:8])  # a short write, as a full disk gives first
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        writer.append(EVENTS[2])
    monkeypatch.setattr(os, "write", write)
    writer.append(EVENTS[3])
    writer.close()
    assert EventReader(file).new_events() == [EVENTS[0], EVENTS[3]]


def test_a_log_that_was_removed_takes_no_more(tmp_path):
    file = tmp_path / "events.jsonl"
    writer = EventWriter(file)
    writer.append(EVENTS[0])
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"removed.*events.jsonl"):
        writer.append(EVENTS[1])
    writer.close()


def test_events_carry_the_attempt_of_their_writer(tmp_path):
    file, history = tmp_path / "events.jsonl", History()
    for attempt in (1, 2):
        writer = EventWriter(file, attempt)
        writer.append(EVENTS[2])
        writer.close()
    for event in EventReader(file).new_events():
        history.add(event)
    assert [event.attempt for event in history.checkpoints] == [1, 2]
    assert history.attempt == 2


def test_history_adds_up():
    history = History()
    for event in EVENTS:
        history.add(event)
    history.add(Metrics(step=2, values={"train_loss": 0.5}))
    assert history.last_step == 2
    assert history.latest("train_loss") == 0.5
    assert history.n_steps == 10
    assert len(history.checkpoints) == len(history.samples) == len(history.logs) == 1


def test_steps_beyond_a_resume_count_once():
    history = History()
    for step in range(1, 8):
        history.add(Metrics(step=step, values={"train_loss": float(step)}))
    history.add(Status(status="running", attempt=2, from_step=4))
    for step in range(5, 7):
        history.add(Metrics(step=step, attempt=2, values={"train_loss": -float(step)}))
    assert history.series["train_loss"] == {1: 1, 2: 2, 3: 3, 4: 4, 5: -5, 6: -6}


def test_the_time_between_two_attempts_is_not_time_of_training():
    history = History()
    for event in (
        Status(status="running", time=100.0, from_step=0),
        *(Metrics(step=step, time=100.0 + 2 * step, values={"train_loss": 1.0}) for step in (1, 2)),
        Metrics(step=2, time=105.0, values={"eval_loss": 1.0}),
        Metrics(step=3, time=106.0, values={"train_loss": 1.0}),  # lost with its process
        Status(status="running", time=900.0, attempt=2, from_step=2),
        Metrics(step=3, time=903.0, attempt=2, values={"train_loss": 1.0}),
    ):
        history.add(event)
    assert history.seconds == {1: 2.0, 2: 4.0, 3: 7.0}


def test_a_run_that_nobody_saw_begin_has_begun_with_its_first_figure():
    history = History()
    for step in (5, 6):
        history.add(Metrics(step=step, time=1000.0 + step, values={"train_loss": 1.0}))
    assert history.seconds == {5: 0.0, 6: 1.0}
