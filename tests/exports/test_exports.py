"""What was tuned, exported and proved: right ones pass, planted faults don't, nothing is lost."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftlab.adapter_files import WEIGHTS
from ftlab.cli import main
from ftlab.errands import Errand
from ftlab.errors import RunError
from ftlab.exports import Export, exports_of, read_proof
from ftlab.exports.asked import asked_for
from ftlab.exports.making import OFFLINE
from ftlab.exports.requests import writing_request
from ftlab.manifest import damage
from ftlab.train import witness
from ftlab.train.export import _Work
from tests.exports.making import FAULTS, exported, planted, proved, trained
from tests.small import save_architecture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # Just that is tried: one of two matrices that are one has an adapter.
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning"),
]
CHOSEN = ("last, constant", "5 % more, adapter", "adapter", "head as before", "first")
"""Of each kind of fault one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def model(folder):
    """Its embeddings and its head are one matrix."""
    return save_architecture(folder / "base", "gemma3_text")


@pytest.fixture(scope="module")
def runs(folder, model):
    return {
        "LoRA": trained(folder, model, n_checkpoints=2),
        "DoRA": trained(folder, save_architecture(folder / "gpt2", "gpt2"), use_dora=True),
        "full": trained(folder, model, lora=False, learning_rate=2e-3),
        "embeddings": trained(folder, model, lora_trainable_modules=("embed_tokens", "q_proj")),
    }


@pytest.fixture(scope="module")
def outcomes(runs):
    """Everything that one fresh process is asked to prove: by name."""
    lora = {(f, d): exported(runs["LoRA"], f, d) for f in ("adapter", "merged") for d in FORMATS}
    full = {("merged", d): exported(runs["full"], "merged", d) for d in FORMATS}
    asked = {f"LoRA {form} {dtype}": (one, one.folder) for (form, dtype), one in lora.items()}
    asked |= {f"full merged {dtype}": (one, one.folder) for (_, dtype), one in full.items()}
    for name, run, step in (
        ("DoRA merged bf16", runs["DoRA"], None),
        ("step merged bf16", runs["LoRA"], runs["LoRA"].steps_on_disk[0]),
        ("embeddings merged bf16", runs["embeddings"], None),
    ):
        one = exported(run, "merged", "bf16", step)
        asked[name] = one, one.folder
    for i, fault in enumerate(fault for fault in FAULTS if fault.name in CHOSEN):
        for dtype in FORMATS:
            of = (full if fault.way == "full" else lora)[fault.form, dtype]
            asked[f"{fault.kind}, {dtype}"] = of, planted(fault, of, i)
    asked["saved wrong"] = (saved := saved_wrong(runs["DoRA"])), saved.folder
    return dict(zip(asked, proved(list(asked.values())), strict=True))


FORMATS = ("fp32", "bf16")
RIGHT = (
    *(f"LoRA {form} {dtype}" for form in ("adapter", "merged") for dtype in FORMATS),
    *("full merged fp32", "full merged bf16", "DoRA merged bf16", "step merged bf16"),
    "embeddings merged bf16",
)
WRONG = tuple(f"{kind}, {dtype}" for kind in sorted({f.kind for f in FAULTS}) for dtype in FORMATS)


def saved_wrong(run):
    """An export of a run whose trainer wrote one matrix otherwise than it was."""
    file = run.adapter / WEIGHTS
    before = file.read_bytes()
    tensors = load_file(file)
    name = sorted(name for name in tensors if "lora_B" in name)[0]
    tensors[name] = tensors[name] + 1e-2
    save_file(tensors, file, {"format": "pt"})
    try:
        return exported(run, "adapter", "fp32")
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_export_is_proved(outcomes, name):
    proof = outcomes[name]
    assert proof.passed, proof.problems
    assert proof.n_greedy == 256
    assert proof.n_tensors > 0
    assert proof.saved is not None
    if name.endswith("fp32"):
        assert proof.changed <= 1e-4
        assert proof.n_agreed == proof.n_greedy
    else:
        assert proof.rounding > 0


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_fault_is_caught(outcomes, name):
    assert outcomes[name].passed is False
    assert "its logits are" in outcomes[name].problems[0]


def test_what_was_saved_otherwise_than_it_was_trained_is_caught(outcomes):
    """The export itself is right: it is the adapter as it was saved."""
    proof = outcomes["saved wrong"]
    assert proof.passed is False
    assert proof.changed <= 1e-4
    (problem,) = proof.problems
    assert problem.startswith("what was saved is not what was trained")


def test_embeddings_that_were_tied_stay_so_unless_one_of_them_has_an_adapter(runs, outcomes):
    """One export has its head beside the embeddings, and is right (see above)."""
    names = {}
    for name in ("LoRA", "embeddings"):
        folder = runs[name].exports / "merged-bf16"
        names[name] = set(load_file(folder / "model.safetensors"))
        tied = json.loads((folder / "config.json").read_text()).get("tie_word_embeddings", True)
        assert tied == (name == "LoRA")
    assert names["embeddings"] - names["LoRA"] == {"lm_head.weight"}


def test_the_terminal_writes_a_folder_that_works_as_its_snippet_says(runs, folder, capsys):
    place = folder / "taken" / "away"
    run = runs["LoRA"]
    arguments = ["export", str(run.path), "merged", "--to", str(place), "--dtype", "bf16"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["proof"]["passed"] is True
    assert found["place"] == str(place)
    assert damage(place) == ""
    assert read_proof(place) == exports_of(run)[0].proof
    assert not list(place.parent.glob(".*"))
    assert {t.dtype for t in load_file(place / "model.safetensors").values()} == {torch.bfloat16}
    card = (place / "README.md").read_text()
    assert str(folder) not in card
    assert found["proof"]["files"].keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
    program = exports_of(run)[0].snippet("transformers")
    script = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(script, capture_output=True, text=True, cwd=folder, env=offline())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert main(arguments) == 1
    assert "is there already" in capsys.readouterr().err


def offline():
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def test_one_that_is_cancelled_leaves_nothing(runs, folder):
    place = folder / "cancelled"

    def told(_share, what):
        if what == "writing":
            export.cancel()

    export = Export(runs["LoRA"], "merged", path=place, told=told)
    before = len(exports_of(runs["LoRA"]))
    assert export.make() is None
    assert not list(folder.glob("*cancelled*"))
    assert len(exports_of(runs["LoRA"])) == before


def test_a_disk_that_gets_full_on_the_way_is_said(runs, folder):
    place = folder / "full"
    asked = asked_for(runs["LoRA"], "adapter", "fp32", path=place)
    place.mkdir()
    (place / "adapter_model.safetensors").symlink_to("/dev/full")
    request = writing_request(asked, place, folder / "reference.safetensors")
    with pytest.raises(RunError, match=r"is full; all of the export must fit on it\. Make room"):
        Errand().run("ftlab.train.export", request, lambda *why: str(why), **OFFLINE)


def test_what_is_not_the_model_is_not_kept_and_is_told(runs, folder):
    run, place = runs["DoRA"], folder / "not-kept"
    recorded = run.recorded()
    before = recorded.read_bytes()
    tensors = load_file(recorded)
    save_file({**tensors, "logits": tensors["logits"] + 1.0}, recorded, {"dtype": "float32"})
    try:
        with pytest.raises(RunError, match="what was saved is not what was trained") as told:
            run.export(place)
    finally:
        recorded.write_bytes(before)
    assert f"{run.adapter} or the base was changed" in str(told.value)
    assert "put back what was there" in str(told.value)
    assert not place.exists()
    last = run.exported[0]
    assert (last.place, last.proof.passed) == (None, False)


def test_the_model_in_the_format_of_its_training_is_gone_before_another_comes(
    runs, tmp_path, monkeypatch
):
    asked = asked_for(runs["LoRA"], "merged", "bf16", path=tmp_path / "merged")
    tuned_model = witness.tuned_model
    work = _Work(writing_request(asked, tmp_path / "staged", tmp_path / "reference"))
    record = witness.read_record(work.record)._replace(dtype=torch.bfloat16)
    made = list[weakref.ref]()

    def noted(*what):
        model = tuned_model(*what)
        made.extend(map(weakref.ref, model.parameters()))
        return model

    monkeypatch.setattr(witness, "tuned_model", noted)
    gc.disable()  # it may come late
    try:
        work._again(record)
        left = [one for one in made if one() is not None]
    finally:
        gc.enable()
    assert made
    assert left == []
