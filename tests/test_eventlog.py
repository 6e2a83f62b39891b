"""The event log: nothing that was written is lost, and nothing half-written is read."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys

import pytest

from ftlab.eventlog import EventReader, EventWriter, History
from ftlab.events import Checkpoint, Log, Metrics, Sample, Status, dump_event, parse_event

EVENTS = [
    Status(status="running", n_steps=10, detail="zeile\nzwei"),
    Metrics(step=1, values={"train_loss": math.nan, "grad_norm": math.inf, "x": 0.1 + 0.2}),
    Checkpoint(step=1, ref="adapter"),
    Sample(step=1, prompt="p", text="日本 🦜"),
    Log(level="warning", text="careful"),
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


WRITER = """
import sys
from pathlib import Path
from ftlab.eventlog import EventWriter
from ftlab.events import Metrics
writer = EventWriter(Path(sys.argv[1]))
for step in range(1_000_000):
    writer.append(Metrics(step=step, values={"train_loss": 1.0}))
    sys.stdout.write(f"{step}\\n"); sys.stdout.flush()
"""


@pytest.mark.slow
def test_a_killed_writer_loses_no_event_that_it_acknowledged(tmp_path):
    draw = random.Random(7)
    for trial in range(8):
        file = tmp_path / f"{trial}.jsonl"
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        wanted = draw.randint(1, 400)
        acknowledged = [int(next(process.stdout)) for _ in range(wanted)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines()[:-1]]
        process.wait()
        process.stdout.close()
        steps = [event.step for event in EventReader(file).new_events()]
        assert steps[: len(acknowledged)] == acknowledged
        assert steps == list(range(len(steps)))


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
