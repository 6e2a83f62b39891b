"""A probe: real steps in a process of its own, remembered, and ended when nobody wants it."""

from __future__ import annotations

import threading
import time

import psutil
import pytest

from ftlab import devices, probing
from ftlab.cost import estimate
from ftlab.data.report import scan
from ftlab.errors import InvalidSpec, RunError
from ftlab.probing import Probe, probe
from tests.small import chat_rows, save_model, write_rows


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "l"))
    return {
        "model": str(save_model(tmp_path / "model")),
        "training_file": str(write_rows(tmp_path / "t.jsonl", chat_rows(40))),
        "validation_file": str(write_rows(tmp_path / "v.jsonl", chat_rows(8, 100))),
        **{"batch_size": 4, "n_epochs": 3, "lora_r": 4, "learning_rate": 1e-4},
    }


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "ftlab.train.probe" in " ".join(p.cmdline())]


@pytest.mark.slow
def test_a_probe_turns_the_estimate_into_a_measurement(job):
    report = scan(job["training_file"], job["model"])
    validation = scan(job["validation_file"], job["model"])
    told = []
    before = estimate(job, report, validation=validation)
    found = probe(
        job, report=report, validation=validation, told=lambda share, what: told.append(share)
    )
    after = estimate(job, report, validation=validation)
    assert before.measured is None
    assert after.measured == found
    assert after.memory[0] < found.peak_bytes * 1.05 < after.memory[1]
    assert 0.3 < found.peak_bytes / before.parts.total < 1.5
    assert any("measured on" in line for line in after.basis if line.startswith("Time"))
    assert any("measured on" in line for line in after.basis if line.startswith("Memory"))
    assert found.step_seconds * 30 < after.duration[1]
    assert found.eval_tokens_per_second > 0
    assert found.step_tokens == pytest.approx(report.tokens.total / 10, rel=0.1)
    assert told == sorted(told)
    assert told[-1] <= 1
    other = estimate({**job, "lora_r": 8}, report, validation=validation)
    assert other.measured is None
    assert any("as fast as a probe" in line for line in other.basis)


@pytest.mark.slow
def test_a_probe_leaves_no_run_and_no_adapter(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    probe(job)
    assert {path.name for path in tmp_path.iterdir()} - before <= {"cache", "l"}


def test_a_job_that_would_be_refused_is_not_probed(job):
    with pytest.raises(InvalidSpec, match="n_epochs"):
        probe({**job, "n_epochs": 0})
    assert not children()


@pytest.mark.slow
def test_a_probe_can_be_cancelled(job):
    begun = threading.Event()
    running = Probe(job, told=lambda share, _: begun.set() if share > 0 else None)
    found = []
    thread = threading.Thread(target=lambda: found.append(running.measure()))
    thread.start()
    assert begun.wait(60)
    running.cancel()
    thread.join(10)
    assert found == [None]
    assert not children()


def test_a_probe_that_was_cancelled_before_it_began_does_nothing(job):
    running = Probe(job)
    running.cancel()
    assert running.measure() is None
    assert not children()


def test_a_probe_waits_for_the_device_and_says_for_whom(job):
    told: list[str] = []
    running = Probe(job, told=lambda _, what: told.append(what))
    found = []
    with devices.lease("cpu", "another run"):
        thread = threading.Thread(target=lambda: found.append(running.measure()))
        thread.start()
        end = time.monotonic() + 60
        while not any("another run" in text for text in told) and time.monotonic() < end:
            time.sleep(0.05)
        running.cancel()
        thread.join(10)
    assert any("waiting for cpu, used by another run" in text for text in told)
    assert found == [None]


@pytest.mark.slow
def test_a_probe_that_fails_says_why(job, tmp_path, monkeypatch):
    prepared = probing.prepare
    rows = tmp_path / "t.jsonl"

    def changed_meanwhile(*given, **named):
        ready = prepared(*given, **named)
        write_rows(rows, chat_rows(30))
        return ready

    monkeypatch.setattr(probing, "prepare", changed_meanwhile)
    with pytest.raises(RunError, match="has changed since"):
        probe(job)
