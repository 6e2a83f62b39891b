"""A probe: real steps in a process of its own, remembered, and ended when nobody wants it."""

from __future__ import annotations

import threading
import time
from array import array

import psutil
import pytest

from ftlab import devices, probing
from ftlab.cost import estimate
from ftlab.data.report import scan
from ftlab.errors import InvalidSpec, RunError
from ftlab.pieces import PIECE_TOKENS
from ftlab.probing import Probe, probe
from ftlab.providers import prepare
from ftlab.train.batches import Example, Pair, pieces
from ftlab.train.probe import _drawn_out
from tests.small import chat_rows, preference_rows, save_model, write_rows


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


@pytest.mark.parametrize("max_rows", [None, 3])
@pytest.mark.parametrize("n_tokens", [700, PIECE_TOKENS, 9000])
@pytest.mark.parametrize("each", [1, 2])
def test_rows_that_are_drawn_out_make_one_piece(n_tokens, max_rows, each):
    ids = array("i", range(50))
    row = Example(ids, ids, 1.0, was_cut=False)
    rows = [row if each == 1 else Pair(row, row)] * 40
    found = list(pieces(_drawn_out(rows, n_tokens, max_rows), max_rows, padded=False))
    assert len(found) == 1
    assert sum(row.n_tokens for row in found[0]) == pytest.approx(n_tokens, rel=0.1)


def counted(function, calls):
    def call(*given, **named):
        calls.append(1)
        return function(*given, **named)

    return call


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")  # asked for by the old name
@pytest.mark.parametrize("changes", [{}, {"use_dora": True}, {"lora": False}])
def test_a_probe_recomputes_activations_where_a_run_does(job, changes):
    """Counted in the trainer itself, in this process: the probe's is another one."""
    from ftlab.train.loop import prepared

    values = {name: v for name, v in job.items() if name != "lora_r" or "lora" not in changes}
    ready = prepare({**values, **changes}, gradient_checkpointing=True)
    trainer = prepared(ready.job, "cpu").trainer
    calls = []
    layers = [m for m in trainer.model.modules() if hasattr(m, "_gradient_checkpointing_func")]
    for layer in layers:
        layer._gradient_checkpointing_func = counted(layer._gradient_checkpointing_func, calls)
    rows = prepared(ready.job, "cpu").training
    trainer.step([rows[0], rows[1]], 0.0)
    assert calls


@pytest.mark.slow
def test_a_probe_of_preferences_knows_what_its_reference_takes(job, tmp_path):
    pairs = str(write_rows(tmp_path / "p.jsonl", preference_rows(12)))
    values = {**job, "training_file": pairs, "training_method": "dpo", "n_epochs": 4}
    del values["validation_file"]
    report = scan(pairs, job["model"])
    found = probe(values, report=report)
    assert found.reference_tokens_per_second > found.step_tokens / found.step_seconds
    # A pass without gradients is no tenth of a step; rows were looked at for every measured step.
    assert found.reference_tokens_per_second < 12 * found.step_tokens / found.step_seconds
    after = estimate(values, report)
    without = estimate({**values, "dpo_reference_free": True}, report)
    assert any("once by the model before training" in line for line in after.basis)
    assert not any("once by the model before training" in line for line in without.basis)
