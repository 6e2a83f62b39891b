"""Runs, their exports and faults in them, made in the test's own process; all are proved in one
fresh process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from ftlab.errands import Errand
from ftlab.exports.asked import Asked, asked_for
from ftlab.exports.making import OFFLINE
from ftlab.exports.proof import Proof
from ftlab.exports.requests import proof_of, proving_request, writing_request
from ftlab.job import Job, LocalOptions
from ftlab.origin import started
from ftlab.rules import resolve
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.train.__main__ import carry_out
from ftlab.train.export import written
from tests.small import chat_rows, preference_rows, write_rows

Tensors = dict[str, torch.Tensor]


class Made(NamedTuple):
    """One export, and what is needed to prove it."""

    asked: Asked
    folder: Path
    reference: Path
    figures: dict[str, Any]


# --- training and exporting ------------------------------------------------------------------


def trained(folder: Path, model: Path, **changes: Any) -> Run:
    """A run in this process; its learning rate makes its weights differ clearly from the base's."""
    method = changes.get("training_method", "sft")
    rows = chat_rows(8) if method == "sft" else preference_rows(8)
    values = {
        **{"model": str(model), "batch_size": 4, "n_epochs": 6, "learning_rate": 2e-2},
        "training_file": str(write_rows(folder / f"{method}.jsonl", rows)),
        **({} if changes.get("lora") is False else {"lora_r": 4}),
    }
    if "from_checkpoint" in changes:
        del values["lora_r"]
    spec = resolve(started(JobSpec(**{**values, **changes})).spec).spec
    options = LocalOptions(device="cpu", dtype="float32").model_dump()
    run = Run.create(Job(spec=spec, provider="local", options=options), folder / "runs")
    handle = run.begin()
    try:
        assert carry_out(run) == 0, run.state
    finally:
        os.close(handle)
    return run


def exported(run: Run, kind: str, dtype: str, step: int | None = None) -> Made:
    """An export in this process, not proved yet."""
    asked = asked_for(run, kind, dtype, step)
    folder = asked.target
    folder.mkdir(parents=True)
    reference = folder.with_suffix(".safetensors")
    *_, last = written(writing_request(asked, folder, reference))
    return Made(asked, folder, reference, last["made"])


def proved(exports: list[tuple[Made, Path]]) -> list[Proof]:
    """The proofs of some exports as they are in these folders now, all in one fresh process."""
    asked = [proving_request(m.asked, folder, m.reference, m.figures) for m, folder in exports]
    request = {"exports": asked, "device": "cpu"}
    found = Errand().run("ftlab.infer.prove", request, lambda *why: str(why), **OFFLINE)
    return [
        proof_of(made.asked, folder, made.figures, figures)
        for (made, folder), figures in zip(exports, found, strict=True)
    ]


# --- faults ----------------------------------------------------------------------------------


class Fault(NamedTuple):
    """Something that goes wrong with an export, and for which it is planted."""

    kind: str
    name: str
    plant: Callable[[Path, Made], None]
    way: str = "LoRA"
    form: str = "merged"


@contextlib.contextmanager
def weights_of(folder: Path) -> Iterator[Tensors]:
    """The tensors of an export, written again afterwards."""
    (file,) = folder.glob("*model.safetensors")
    tensors = load_file(file)
    yield tensors
    save_file({n: t.contiguous() for n, t in tensors.items()}, file, {"format": "pt"})


@contextlib.contextmanager
def config_of(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    config = json.loads((folder / name).read_text())
    yield config
    (folder / name).write_text(json.dumps(config))


def matrix(tensors: Tensors, place: int) -> str:
    """The name of one matrix of a layer, the last ones by a negative place."""
    names = sorted(n for n, t in tensors.items() if t.ndim == 2 and any(c.isdigit() for c in n))
    return names[place]


def off_by(place: int, how: str) -> Callable[[Path, Made], None]:
    def plant(folder: Path, _: Made) -> None:
        with weights_of(folder) as tensors:
            value = tensors[name := matrix(tensors, place)]
            exact, torch_seed = value.float(), torch.Generator().manual_seed(place)
            noise = torch.randn(exact.shape, generator=torch_seed)
            wrong = exact + 1e-2 if how == "sum" else exact + 1e-2 * noise
            tensors[name] = wrong.to(value.dtype)

    return plant


def other_alpha(factor: float) -> Callable[[Path, Made], None]:
    def plant(folder: Path, made: Made) -> None:
        if made.asked.kind == "adapter":
            with config_of(folder, "adapter_config.json") as config:
                config["lora_alpha"] *= factor
            return
        merge_anew(folder, made, alpha=factor)

    return plant


def without_rslora(folder: Path, _: Made) -> None:
    with config_of(folder, "adapter_config.json") as config:
        config["use_rslora"] = False


def other_base(folder: Path, made: Made) -> None:
    """Another commit of the base: one matrix of it was trained on."""
    base = folder.with_name(f"{folder.name}-base")
    shutil.copytree(made.asked.base, base)
    with weights_of(base) as tensors:
        name = matrix(tensors, 0)
        tensors[name] = tensors[name] * 1.05
    if made.asked.kind == "adapter":
        with config_of(folder, "adapter_config.json") as config:
            config["base_model_name_or_path"] = str(base)
    else:
        merge_anew(folder, made, base=base)


def merge_anew(
    folder: Path, made: Made, base: Path | None = None, alpha: float = 1.0, skip: str = ""
) -> None:
    """Merged by peft itself, wrongly."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = folder.with_name(f"{folder.name}-adapter")
    shutil.copytree(made.asked.tuned, adapter)
    with config_of(adapter, "adapter_config.json") as config:
        config["lora_alpha"] *= alpha
    with weights_of(adapter) as tensors:
        for name in [n for n in tensors if skip and skip in n and "lora_B" in n]:
            tensors[name] = torch.zeros_like(tensors[name])
    model = AutoModelForCausalLM.from_pretrained(base or made.asked.base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.to(torch.bfloat16 if made.asked.dtype == "bf16" else torch.float32)
    merged.save_pretrained(folder)


def skipped(layer: str) -> Callable[[Path, Made], None]:
    def plant(folder: Path, made: Made) -> None:
        if made.asked.kind != "adapter":
            merge_anew(folder, made, skip=layer)
            return
        with weights_of(folder) as tensors:
            for name in [n for n in tensors if layer in n]:
                del tensors[name]

    return plant


def untied(how: str) -> Callable[[Path, Made], None]:
    def plant(folder: Path, made: Made) -> None:
        with config_of(folder, "config.json") as config:
            config["tie_word_embeddings"] = False
        with weights_of(folder) as tensors:
            (name,) = (n for n in tensors if "embed_tokens" in n or n.endswith("wte.weight"))
            before = load_file(made.asked.base / "model.safetensors")
            first = tensors[name]
            own = next(t for n, t in before.items() if n.split(".")[-2] == name.split(".")[-2])
            heads = {
                "as before": own.to(first.dtype),
                "rounded": (first.float() * 64).round().div(64).to(first.dtype),
                "off": (first.float() + 1e-2).to(first.dtype),
            }
            tensors.pop("lm_head.weight", None)
            if how in heads:
                tensors["lm_head.weight"] = heads[how]

    return plant


FAULTS = (
    Fault("matrix off by 1e-2", "first, constant", off_by(0, "sum")),
    Fault("matrix off by 1e-2", "last, constant", off_by(-1, "sum")),
    Fault("matrix off by 1e-2", "first, noise", off_by(0, "noise"), way="DoRA"),
    Fault("matrix off by 1e-2", "third, noise", off_by(2, "noise"), way="full"),
    Fault("wrong alpha", "twice", other_alpha(2.0)),
    Fault("wrong alpha", "twice, adapter", other_alpha(2.0), form="adapter"),
    Fault("wrong alpha", "5 % more, adapter", other_alpha(1.05), form="adapter"),
    Fault("wrong alpha", "as plain LoRA", without_rslora, way="rsLoRA", form="adapter"),
    Fault("wrong base", "merged", other_base),
    Fault("wrong base", "adapter", other_base, form="adapter"),
    Fault("wrong base", "adapter, DoRA", other_base, way="DoRA", form="adapter"),
    Fault("wrong base", "adapter, DPO", other_base, way="DPO after SFT", form="adapter"),
    Fault("embeddings untied", "no head", untied("none")),
    Fault("embeddings untied", "head as before", untied("as before"), way="full"),
    Fault("embeddings untied", "head rounded", untied("rounded")),
    Fault("embeddings untied", "head off", untied("off"), way="DPO after SFT"),
    Fault("layer skipped", "first", skipped(".0.")),
    Fault("layer skipped", "second, DoRA", skipped(".1."), way="DPO after SFT"),
    Fault("layer skipped", "first, adapter", skipped(".0."), form="adapter"),
    Fault("layer skipped", "second, adapter", skipped(".1."), way="rsLoRA", form="adapter"),
)


def planted(fault: Fault, made: Made, number: int) -> Path:
    """A copy of an export with the fault in it."""
    folder = made.folder.with_name(f"fault-{number}-{made.asked.dtype}")
    shutil.copytree(made.folder, folder)
    fault.plant(folder, made)
    return folder
