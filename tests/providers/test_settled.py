"""What the embedded trainer decides where a person left it open."""

from __future__ import annotations

from dataclasses import replace

from ftlab.cost import estimate
from ftlab.devices import detect
from ftlab.providers import prepare
from tests.small import save_model, write_rows


def test_gradient_checkpointing_is_written_into_the_job_with_its_reason(tmp_path, monkeypatch):
    shape = {"hidden_size": 256, "num_hidden_layers": 16, "max_position_embeddings": 8192}
    model = save_model(tmp_path / "model", **shape)
    rows = write_rows(
        tmp_path / "t.jsonl", [{"prompt": "a?b!" * 900, "completion": "c;" * 200}] * 4
    )
    values = {"model": str(model), "training_file": str(rows), "batch_size": 4}
    alone = {"micro_batch_size": 1}
    ready = prepare(values, **alone)
    assert ready.job.options["gradient_checkpointing"] is False
    assert "gradient_checkpointing" not in ready.job.reasons
    less = estimate(values, ready.report, options={**alone, "gradient_checkpointing": True})
    assert less.memory is not None
    small = replace(detect()[-1], memory_bytes=round(less.memory[1]) + 1, free_bytes=None)
    monkeypatch.setattr("ftlab.cost._device", lambda _: small)
    job = prepare(values, **alone).job
    assert job.options["gradient_checkpointing"] is True
    assert "without it" in job.reasons["gradient_checkpointing"]
    kept = prepare(values, **alone, gradient_checkpointing=False).job
    assert kept.options["gradient_checkpointing"] is False
