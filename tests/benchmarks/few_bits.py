"""QLoRA against peft and transformers alone, on a CPU: the loss of each step, the merged weights,
and whether the merged model is proved.

    python -m tests.benchmarks.few_bits [FOLDER]

takes the package bitsandbytes, which has kernels for CPUs too. People are refused these: on CPUs
with AVX512-BF16 a layer that was asked something outside of training loses its gradients from then
on, and layers whose width is no multiple of 64 fail. Here those kernels are off.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import ftlab
from ftlab.course import rate_at
from ftlab.data.chat import IGNORED
from ftlab.data.tokens import load_tokenizer
from ftlab.exports import asked
from ftlab.job import Job, LocalOptions
from ftlab.rules import resolve
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.train import quantised
from ftlab.train.__main__ import carry_out
from ftlab.train.reading import all_steps, read_examples
from tests.exports.making import exported, proved
from tests.small import ARCHITECTURES, chat_rows, save_architecture, write_rows

WIDE: dict[str, dict[str, Any]] = {
    "qwen3": {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16},
    "gpt2": {"n_embd": 64},
}
DEMO = Path(ftlab.__file__).parent / "demo" / "model"
N_STEPS = 8


def as_if_it_were_a_gpu() -> None:
    """Let a CPU read few bits, in this process."""
    modules: Any = importlib.import_module("bitsandbytes.nn.modules")
    modules.has_avx512bf16 = lambda: False
    quantised.bitsandbytes = lambda field, value, device: importlib.import_module("bitsandbytes")
    asked.bits_on_of = lambda run, form: "" if form == "adapter" else "cpu"
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


# --- ours ------------------------------------------------------------------------------------


def spec_of(folder: Path, model: Path, bits: str) -> JobSpec:
    rows = write_rows(folder / "rows.jsonl", chat_rows(16))
    values = {"model": str(model), "training_file": str(rows), "quantization": bits}
    return resolve(
        {**values, "batch_size": 4, "n_epochs": 2, "learning_rate": 5e-3, "lora_r": 4}
    ).spec


def trained(folder: Path, spec: JobSpec, dtype: str) -> Run:
    options = LocalOptions(device="cpu", dtype=dtype).model_dump()
    run = Run.create(Job(spec=spec, provider="local", options=options), folder / "runs")
    handle = run.begin()
    try:
        assert carry_out(run) == 0, run.state
    finally:
        os.close(handle)
    return run


# --- peft and transformers -------------------------------------------------------------------


def their_model(spec: JobSpec, dtype: torch.dtype) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    bits = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype, **four)
        if spec.quantization == "nf4"
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    loader: Any = AutoModelForCausalLM
    model = loader.from_pretrained(
        spec.model, dtype=dtype, quantization_config=bits, device_map={"": "cpu"}
    )
    torch.manual_seed(spec.random_seed or 0)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.lora_r or 0,
        lora_alpha=spec.lora_alpha or 0,
        target_modules="all-linear",
    )
    return get_peft_model(model, config)


def their_losses(spec: JobSpec, model: Any) -> list[float]:
    tokenizer = load_tokenizer(Path(str(spec.model)))
    examples, _ = read_examples(spec, tokenizer, datetime.now())
    own = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(own, weight_decay=spec.weight_decay)
    model.train()
    return [
        _their_step(spec, model, own, adam, batch, rate_at(spec, step, N_STEPS))
        for step, batch in enumerate(all_steps(spec, examples, N_STEPS))
    ]


def _their_step(
    spec: JobSpec, model: Any, own: list[Any], adam: Any, batch: Any, rate: float
) -> float:
    longest = max(len(row.ids) for row in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for i, row in enumerate(batch):
        n = len(row.ids)
        ids[i, :n], labels[i, :n], mask[i, :n] = torch.tensor(row.ids), torch.tensor(row.labels), 1
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(own, spec.max_grad_norm)
    for group in adam.param_groups:
        group["lr"] = rate
    adam.step()
    adam.zero_grad()
    return loss.item()


def weights_by_hand(run: Run, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """What the bits of each layer stand for, and what the adapter adds."""
    from peft.utils.integrations import dequantize_module_weight

    model = their_model(run.job.spec, dtype)
    saved = load_file(run.adapter / "adapter_model.safetensors")
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            base = dequantize_module_weight(layer.base_layer).float()
            down, up = (saved[f"{name}.lora_{which}.weight"] for which in "AB")
            weight = base + layer.scaling["default"] * up.float() @ down.float()
            yield name.removeprefix("base_model.model."), weight.detach()


# --- both ------------------------------------------------------------------------------------


def line(folder: Path, name: str, bits: str, dtype: str) -> tuple[str, bool]:
    model = DEMO if name == "demo" else save_architecture(folder / "base", name)
    spec, kind = spec_of(folder, model, bits), getattr(torch, dtype)
    run = trained(folder, spec, dtype)
    ours = list(run.history.series["train_loss"].values())
    theirs = their_losses(spec, their_model(spec, kind))
    of_losses = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    made = exported(run, "merged", "fp32")
    merged = load_file(made.folder / "model.safetensors")
    of_weights = 0.0
    for layer, weight in weights_by_hand(run, kind):
        own = merged[f"{layer}.weight"]
        own = own.T if name == "gpt2" else own
        of_weights = max(of_weights, (own - weight).abs().max().item())
    (proof,) = proved([(made, made.folder)])
    learned = ours[-1] < ours[0]
    figures = f"{of_losses:>10.1e}{of_weights:>10.1e}{proof.saved_bound or 0:>10.1e}"
    text = f"{name:<8}{bits:<6}{dtype:<10}{len(ours):>3}{figures}  {proof.headline}"
    return text, bool(proof.passed and learned and of_weights < 1e-5)


def main() -> int:
    warnings.simplefilter("ignore")
    as_if_it_were_a_gpu()
    ARCHITECTURES.update({name: {**ARCHITECTURES[name], **wide} for name, wide in WIDE.items()})
    right = True
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        print("model   bits  computed steps  losses   weights   allowed  proof")
        for name in ("demo", *WIDE):
            for bits in ("nf4", "int8"):
                for dtype in ("float32", "bfloat16"):
                    folder = root / f"{name}-{bits}-{dtype}"
                    folder.mkdir(parents=True)
                    text, is_right = line(folder, name, bits, dtype)
                    right &= is_right
                    print(text + ("" if is_right else "  WRONG"), flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
