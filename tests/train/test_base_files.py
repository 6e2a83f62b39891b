"""A run whose model is on the hub: the whole trainer process, against a hub on the loopback."""

from __future__ import annotations

import time

import pytest

import ftlab
from ftlab.downloads import Progress
from ftlab.events import Log, Status
from ftlab.train.base_files import _Paced
from tests.fake_hub import COMMIT, own_cache, serving
from tests.small import chat_rows, save_model, write_rows

NAME = "somebody/small"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model in several parts."""
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path_factory.mktemp("model"), hidden_size=128, intermediate_size=512)
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1MB")
    (folder / "pytorch_model.bin").write_bytes(b"\x80" * 1000)
    return folder


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    own_cache(tmp_path / "cache", monkeypatch)
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "l"))
    with serving(monkeypatch) as hub:
        hub.add(NAME, folder)
        yield hub


@pytest.fixture
def job(tmp_path):
    rows = write_rows(tmp_path / "train.jsonl", chat_rows(8))
    return {"model": NAME, "training_file": str(rows), "max_steps": 2, "batch_size": 4}


def parts(hub):
    return {name for name in hub.repos[NAME].files if name.endswith(".safetensors")}


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_fetches_its_model_is_cancelled_and_another_goes_on_there(hub, job, tmp_path):
    hub.seconds_per_chunk = 0.3
    first = ftlab.submit(job, folder=tmp_path)
    wait_for(lambda: len(hub.sent) > 1)
    assert first.state.status == "queued"
    assert first.state.detail.startswith(f"downloading {NAME}: ")
    first.cancel()
    assert first.wait(30) == ("cancelled", "cancelled before it began")
    whole = set(hub.sent) - {list(hub.sent)[-1]}
    hub.seconds_per_chunk, hub.sent = 0, {}

    second = ftlab.submit(job, folder=tmp_path)
    assert second.wait(120).status == "completed"
    assert set(hub.sent) == parts(hub) - whole
    texts = [event.text for event in second.new_events() if isinstance(event, Log)]
    assert f"{NAME} is used as it was at commit {COMMIT}." in texts
    assert not any("pytorch_model" in path for path in hub.asked)


@pytest.mark.slow
def test_a_run_whose_model_can_not_be_had_fails_in_words(hub, job, tmp_path):
    ready = ftlab.providers.prepare(job)  # the small files are here then
    hub.repos.clear()
    run = ftlab.Run.create(ready.job, tmp_path)
    ready.where.start(run)
    assert run.wait(60).status == "failed"
    assert "shows no model" in run.state.detail


def test_not_more_is_told_than_a_reader_follows():
    told: list[Status] = []
    paced = _Paced(told.append)  # type: ignore[arg-type]
    for n in range(1000):
        paced.told(Progress(NAME, n, 1000, 0))
    assert [event.detail for event in told] == [f"downloading {NAME}: 0.0 of 1.0 kB"]
