"""What can be exported, where to, and what is said where it can't."""

from __future__ import annotations

import json

import numpy
import pytest
from safetensors.numpy import save_file

from ftlab.devices import Device
from ftlab.errors import RunError
from ftlab.exports.asked import asked_for
from ftlab.exports.making import Export
from ftlab.exports.proof import PROOF, Proof
from ftlab.job import Job, LocalOptions
from ftlab.processes import held
from ftlab.run import Run
from ftlab.spec import JobSpec
from tests.small import save_model

CPU = Device("cpu", "CPU", 2**34, 2, 2**33)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("base") / "model")


def run_of(folder, model, *, tuned=True, **values):
    spec = JobSpec(model=str(model), training_file="rows.jsonl", **values)
    run = Run.create(Job(spec=spec, provider="local", options=LocalOptions().model_dump()), folder)
    if tuned:
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
        save_file(
            {"lora_A": numpy.zeros((2, 2), "float32")}, run.adapter / "adapter_model.safetensors"
        )
    return run


def test_what_is_left_open_is_what_is_stored(tmp_path, model):
    asked = asked_for(run_of(tmp_path, model), "adapter")
    assert (asked.kind, asked.dtype, asked.unproved) == ("adapter", "fp32", "")
    assert asked.target == asked.run.exports / "adapter-fp32"
    assert asked_for(asked.run, "hub").kind == "adapter"
    merged = asked_for(asked.run, "merged", "bf16")
    assert merged.target == asked.run.exports / "merged-bf16"


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("onnx", {}, "kind is 'onnx'; a run is exported as adapter, merged, gguf, hub"),
        ("merged", {"dtype": "int4"}, "dtype is 'int4'; there are auto, fp32"),
        ("merged", {"step": 7}, "no checkpoint of step 7"),
    ],
)
def test_what_can_not_be_asked_for_is_said(tmp_path, model, kind, options, said):
    with pytest.raises(RunError, match=said):
        asked_for(run_of(tmp_path, model), kind, **options)


def test_a_run_without_a_result_is_said(tmp_path, model):
    with pytest.raises(RunError, match="has kept nothing yet"):
        asked_for(run_of(tmp_path, model, tuned=False), "adapter")


def test_a_run_whose_result_was_taken_away_is_told_so(tmp_path, model):
    run = run_of(tmp_path, model, tuned=False)
    run.checkpoint(3).mkdir(parents=True)
    with pytest.raises(RunError, match=r"Resume it, or name the step of a checkpoint \(3\)"):
        asked_for(run, "adapter")
    run.say("completed")
    with pytest.raises(RunError, match=r"is completed, but .*adapter is not there"):
        asked_for(run, "adapter")


def test_nothing_is_written_over_unasked(tmp_path, model):
    run, place = run_of(tmp_path, model), tmp_path / "there"
    place.mkdir()
    with pytest.raises(RunError, match="is there already"):
        asked_for(run, "adapter", path=place)
    assert asked_for(run, "adapter", path=place, replace=True).target == place
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match="is there already"):
        asked_for(run, "adapter", path=file, replace=True)


def test_only_an_export_is_replaced(tmp_path, model):
    run, mine = run_of(tmp_path / "runs", model), tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("words")
    for place in (mine, run.path, run.adapter, tmp_path):
        with pytest.raises(RunError, match="which is no export"):
            asked_for(run, "adapter", path=place, replace=True)
    proof = Proof(passed=True, kind="adapter", dtype="fp32", base="m")
    (mine / PROOF).write_text(proof.model_dump_json())
    assert asked_for(run, "adapter", path=mine, replace=True).target == mine


def test_a_link_that_leads_nowhere_is_something_that_is_there(tmp_path, model):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="is there already"):
        asked_for(run_of(tmp_path, model), "adapter", path=link)


@pytest.mark.parametrize("place", ["adapter", "checkpoints/step-00000099", "exports", "new"])
def test_nothing_goes_into_a_run_but_among_its_exports(tmp_path, model, place):
    run = run_of(tmp_path, model, tuned=False)
    run.checkpoint(3).mkdir(parents=True)
    tensors = {"lora_A": numpy.zeros((2, 2), "float32")}
    save_file(tensors, run.checkpoint(3) / "adapter_model.safetensors")
    with pytest.raises(RunError, match="is in the folder of the run"):
        asked_for(run, "adapter", "fp32", 3, path=run.path / place)
    assert asked_for(run, "adapter", "fp32", 3, path=run.exports / "mine").target.name == "mine"


def test_a_place_that_can_not_be_written_says_so(tmp_path, model):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match=r"could not be written .*Name another place"):
        Export(run_of(tmp_path, model), path=file / "below").make()


def test_two_at_once_don_t_write_into_each_other(tmp_path, model):
    run = run_of(tmp_path, model)
    run.exports.mkdir()
    with held(run.exports / "lock"), pytest.raises(RunError, match="is being exported by another"):
        Export(run).make()


def test_a_base_that_is_not_here_leaves_the_adapter_unproved(tmp_path):
    run = run_of(tmp_path, "owner/not-here")
    assert "its base is not on this machine" in asked_for(run, "adapter").unproved
    with pytest.raises(RunError, match="merging takes its weights"):
        asked_for(run, "merged")


def test_a_base_in_few_bits_takes_a_gpu(tmp_path, model, monkeypatch):
    monkeypatch.setattr("ftlab.exports.devices.detect", lambda: [CPU])
    run = run_of(tmp_path, model, quantization="nf4")
    with pytest.raises(RunError, match="which only an NVIDIA GPU can read"):
        asked_for(run, "merged")
    assert "says something else. Export it merged" in asked_for(run, "adapter").unproved
    for free, device in ((2**36, "cuda:0"), (100_000, "cpu")):  # where it fits in float32
        there = [Device("cuda:0", "GPU", 2**36, free_bytes=free), CPU]
        monkeypatch.setattr("ftlab.exports.devices.detect", lambda there=there: there)
        asked = asked_for(run, "merged")
        assert (asked.device, asked.bits_on, asked.unproved) == (device, "cuda:0", "")


def test_a_model_that_does_not_fit_is_not_proved(tmp_path, model, monkeypatch):
    tight = Device("cpu", "CPU", 2**34, 2, 100_000)
    monkeypatch.setattr("ftlab.exports.devices.detect", lambda: [tight])
    assert (
        "in float32, in which it is compared"
        in asked_for(run_of(tmp_path, model), "merged").unproved
    )


def test_a_full_disk_is_said_before(tmp_path, model, monkeypatch):
    monkeypatch.setattr(
        "ftlab.exports.places.shutil.disk_usage", lambda _: type("D", (), {"free": 9})
    )
    with pytest.raises(RunError, match="9 bytes are free"):
        asked_for(run_of(tmp_path, model), "merged")


def test_the_hub_takes_a_name_and_no_adapter_whose_base_nobody_has(tmp_path, model):
    run = run_of(tmp_path, model)
    with pytest.raises(RunError, match=r"Give repo \(--repo owner/name\)"):
        Export(run, "hub").make()
    with pytest.raises(RunError, match="Send it merged"):
        Export(run, "hub", repo="me/tuned").make()


def test_gguf_without_a_converter_says_what_to_get(tmp_path, model, monkeypatch):
    monkeypatch.delenv("FTLAB_GGUF_CONVERTER", raising=False)
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match=r"convert_hf_to_gguf.py was not found.*git clone"):
        Export(run_of(tmp_path, model), "gguf").make()
