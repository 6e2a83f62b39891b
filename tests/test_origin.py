"""What a job goes on from: where it is found, what it brings, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftlab.adapter_files import read_adapter
from ftlab.cost import estimate
from ftlab.errors import InvalidSpec, UnreadableData
from ftlab.events import Checkpoint, Status
from ftlab.job import Job
from ftlab.origin import find_adapter, started
from ftlab.providers import examine, get_provider, prepare
from ftlab.runs import Run
from ftlab.spec import JobSpec
from tests.small import chat_rows, write_rows

IN_CACHE = f"/gone/hub/models--one--m-8B/snapshots/{'a' * 40}"
CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "demo",
    "r": 4,
    "lora_alpha": 6.0,
    "target_modules": ["model.layers.0.self_attn.q_proj", "v_proj"],
    "use_rslora": True,
}


def save_adapter(folder, **changes):
    """A folder with the files of an adapter; its tensors are of no model."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **changes}))
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {"lora_A": np.ones((4, 8), "f4"), "lora_B": np.ones((8, 4), "f4")}
    named = {f"{layer}.{part}.weight": values for part, values in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


def run_in(folder, **changes):
    """A finished run with an adapter at its end and one of step 20."""
    spec = JobSpec(**{"model": "demo", "training_file": "t.jsonl", **changes})
    run = Run.create(Job(spec=spec, provider="local"), folder)
    save_adapter(run.path / "adapter")
    save_adapter(run.path / "checkpoints" / "20" / "adapter", r=4)
    writer = run.writer()
    writer.append(Checkpoint(step=20, ref="checkpoints/20"))
    writer.append(Checkpoint(step=40, ref="adapter"))
    writer.append(Status(status="completed"))
    writer.close()
    return run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_RUNS", str(tmp_path / "runs"))
    return run_in(tmp_path / "runs")


def test_an_adapter_is_found_by_its_run_a_step_or_a_folder(run):
    end, middle = run.path / "adapter", run.path / "checkpoints" / "20" / "adapter"
    for name, folder in {
        run.id: end,
        f"{run.id}:40": end,
        f"{run.id}:20": middle,
        str(run.path): end,
        f"{run.path}:20": middle,
        str(end): end,
    }.items():
        assert find_adapter(name).folder == folder


def test_its_settings_win_and_where_they_differ_it_is_said(run):
    given = JobSpec(from_checkpoint=run.id, lora_r=8, lora_dropout=0.1, training_file="t.jsonl")
    spec, issues, reasons = started(given)
    assert (spec.model, spec.lora_r, spec.lora_alpha, spec.use_rslora) == ("demo", 4, 6, True)
    assert spec.lora_trainable_modules == ("q_proj", "v_proj")
    assert spec.lora_dropout == 0.1
    assert spec.from_checkpoint == str(run.path / "adapter")
    (issue,) = issues
    assert (issue.where, issue.level, issue.blocks) == ("lora_r", "warning", ())
    assert issue.message.startswith("lora_r is 8; the adapter that goes on has 4 and keeps it.")
    assert {"model", "lora_r", "lora_trainable_modules"} <= reasons.keys()
    assert started(spec)[:2] == (spec, [])  # what was resolved resolves to itself


def refusal(**values):
    spec, issues, _ = started(JobSpec(**values))
    (issue,) = issues
    assert (issue.level, issue.blocks) == ("error", ("local",))
    assert spec.lora_r is None
    return issue.message


def test_what_is_not_there_is_told(run, tmp_path):
    assert "saved after step 20, 40" in refusal(from_checkpoint=f"{run.id}:30")
    assert "is not a run" in refusal(from_checkpoint="no-such-run")
    assert "is no id of a run" in refusal(from_checkpoint="me/there:3")
    assert "has no adapter_config.json" in refusal(from_checkpoint=str(tmp_path))
    (run.path / "adapter" / "adapter_config.json").unlink()
    assert "is completed and has no adapter" in refusal(from_checkpoint=run.id)


def test_all_weights_are_a_model_of_their_own(tmp_path):
    run = run_in(tmp_path, lora=False)
    (run.path / "adapter").rename(run.path / "model")
    assert f"Set model to {run.path / 'model'}" in refusal(from_checkpoint=str(run.path))
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "config.json").write_text("{}")
    assert "is a whole model" in refusal(from_checkpoint=str(whole))


def test_an_adapter_goes_on_as_an_adapter(run):
    spec, (issue,), _ = started(JobSpec(from_checkpoint=run.id, lora=False))
    assert (issue.where, issue.fix, spec.lora) == ("lora", {"lora": True}, False)


@pytest.mark.parametrize(
    ("base", "model", "told"),
    [
        ("demo", "org/other", "was trained on 'demo' and model is 'org/other'"),
        ("/gone/Qwen3-8B", None, "which is not on this machine"),
        (None, None, "it names no base model"),
        ("/gone/Qwen3-8B", "org/Qwen3-8B-Base", "fits its own model alone"),
        ("one/m-8B", "two/m-8B", "fits its own model alone"),
        (IN_CACHE, "two/m-8B", "was trained on 'one/m-8B'"),
    ],
)
def test_the_model_must_be_its_own(tmp_path, base, model, told):
    folder = save_adapter(tmp_path / "a", base_model_name_or_path=base)
    assert told in refusal(from_checkpoint=str(folder), model=model)


@pytest.mark.parametrize(
    ("base", "model"),
    [("org/m-8B", None), ("/gone/m-8B", "org/m-8B"), (None, "org/m-8B"), ("demo", "demo")],
)
def test_a_model_of_another_machine_is_known_by_its_name(tmp_path, base, model):
    folder = save_adapter(tmp_path / "a", base_model_name_or_path=base)
    spec, issues, _ = started(JobSpec(from_checkpoint=str(folder), model=model))
    assert (spec.model, issues) == (model or base, [])


@pytest.mark.parametrize("model", [None, "one/m-8B"])
def test_a_model_in_the_cache_of_another_machine_is_known(tmp_path, model):
    folder = save_adapter(tmp_path / "a", base_model_name_or_path=IN_CACHE)
    spec, issues, _ = started(JobSpec(from_checkpoint=str(folder), model=model))
    assert (spec.model, issues) == ("one/m-8B", [])


def test_the_commit_of_the_run_that_goes_on_is_taken_over(tmp_path):
    run = run_in(tmp_path / "runs", model="one/m-8B", hf_model_revision="v1")
    config = {**CONFIG, "base_model_name_or_path": IN_CACHE}  # as a run writes it
    (run.adapter / "adapter_config.json").write_text(json.dumps(config))
    given = JobSpec(from_checkpoint=str(run.path))
    spec, issues, reasons = started(given)
    assert (spec.hf_model_revision, issues) == ("v1", [])
    assert "hf_model_revision" in reasons
    run.commit_file.write_text("c0ffee")
    spec, _, _ = started(given)
    assert spec.hf_model_revision == "c0ffee"
    assert started(spec)[:2] == (spec, [])
    (issue,) = started(given.changed(hf_model_revision="v2")).issues
    assert issue.message.startswith("hf_model_revision is 'v2'; the adapter that goes on has")


def test_a_run_keeps_the_adapter_that_it_goes_on_from(tmp_path, monkeypatch):
    folder = save_adapter(tmp_path / "a")
    (folder / "optimizer.safetensors").write_bytes(b"is not a part of it")
    job = Job(spec=JobSpec(from_checkpoint=str(folder)), provider="local")
    run = Run.create(job, tmp_path / "runs")
    names = {"adapter_config.json", "adapter_model.safetensors"}
    assert {file.name for file in run.origin.iterdir()} == names
    assert read_adapter(run.origin).shapes == read_adapter(folder).shapes
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UnreadableData, match="can't be copied into the run"):
        Run.create(job, tmp_path / "others")
    assert not [*tmp_path.glob("others/*/*")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peft_type": "IA3"}, "ftlab takes LORA"),
        ({"modules_to_save": ["lm_head"]}, "'lm_head'; ftlab takes LoRA layers alone"),
        ({"r": 8}, "says rank 8"),
        ({"r": 10**6}, "they must agree"),
        ({"r": 10**20}, "which peft never writes"),
        ({"r": True}, "which peft never writes"),
        ({"lora_alpha": "much"}, "which peft never writes"),
        ({"lora_alpha": -1}, "which peft never writes"),
        ({"target_modules": {"a": 1}}, "which peft never writes"),
        ({"rank_pattern": {"q_proj": "x"}}, "which peft never writes"),
        ({"rank_pattern": {"q_proj": 10**6}}, "they must agree"),
        ({"base_model_name_or_path": ["demo"]}, "which peft never writes"),
        ({"init_lora_weights": "pissa"}, "which changes the model too"),
    ],
)
def test_a_configuration_that_can_not_be_trusted_is_refused(tmp_path, changes, told):
    message = refusal(from_checkpoint=str(save_adapter(tmp_path / "a", **changes)))
    assert told in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("adapter_config.json", b"{", "can't be read"),
        ("adapter_config.json", b"[]", "can't be read"),
        ("adapter_config.json", b"[" * 100_000, "can't be read"),
        ("adapter_config.json", b"\xff", "can't be read"),
        ("adapter_model.safetensors", b"junk", "is not a whole safetensors file"),
        ("adapter_model.safetensors", None, "there: none"),
    ],
)
def test_files_that_are_broken_are_refused(tmp_path, file, content, told):
    folder = save_adapter(tmp_path / "a")
    place = folder / file
    place.unlink() if content is None else place.write_bytes(content)
    assert told in refusal(from_checkpoint=str(folder))


def test_a_pickle_is_never_read(tmp_path):
    folder = save_adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "adapter_model.bin, which may run code" in refusal(from_checkpoint=str(folder))


def test_what_lies_beside_an_adapter_is_not_a_part_of_it(tmp_path):
    folder = save_adapter(tmp_path / "a")
    save_file({"0.exp_avg": np.ones(3, "f4")}, folder / "optimizer.safetensors")
    assert len(read_adapter(folder).shapes) == 2


def test_reading_an_adapter_tells_its_base_and_shapes(tmp_path):
    adapter = read_adapter(save_adapter(tmp_path / "a"))
    assert adapter.base == "demo"
    assert sorted(adapter.shapes.values()) == [(4, 8), (8, 4)]


def test_a_job_takes_its_model_from_the_adapter(run, tmp_path):
    file = str(write_rows(tmp_path / "t.jsonl", chat_rows(40)))
    ready = prepare({"from_checkpoint": run.id, "training_file": file, "batch_size": 4})
    spec = ready.job.spec
    assert (spec.model, spec.lora_r, spec.lora_alpha) == ("demo", 4, 6)
    assert ready.job.reasons["lora_r"].startswith("of the adapter in ")
    assert ready.report.tokens is not None
    again = prepare(spec).job.spec
    assert again == spec


def test_an_estimate_knows_the_model_and_the_rank(run):
    going_on = estimate({"from_checkpoint": run.id, "training_file": "t.jsonl"})
    layers = ("q_proj", "v_proj")
    plain = {"model": "demo", "lora_r": 4, "lora_trainable_modules": layers}
    assert going_on.trainable_params == estimate(plain).trainable_params
    assert going_on.trainable_params


def test_a_form_is_told_at_once_and_a_job_refused(run, tmp_path):
    values = {"from_checkpoint": f"{run.id}:7", "training_file": "t.jsonl"}
    found = examine(values, get_provider("local"))
    assert ("from_checkpoint", "goes_on") in {(issue.where, issue.code) for issue in found}
    file = str(write_rows(tmp_path / "t.jsonl", chat_rows(4)))
    with pytest.raises(InvalidSpec, match="has no checkpoint of step 7"):
        prepare({**values, "training_file": file})
