"""GGUF files by the real converter, of small models with GPT-2's tokenizer: each proved by
transformers, and by llama.cpp where llama-cpp-python is installed; and what is refused.

    LLAMA_CPP=FOLDER python -m tests.benchmarks.gguf [FOLDER]

takes a checkout of llama.cpp, whose folder models has the tokenizer, and the extra gguf. The
checkout is also in the source distribution of llama-cpp-python, as vendor/llama.cpp.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import ftlab
from ftlab.errors import RunError
from ftlab.exports import export
from tests.exports.making import trained
from tests.small import ARCHITECTURES, TEMPLATES

DEMO = Path(ftlab.__file__).parent / "demo" / "model"
FAR = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALED = {"rope_theta": 1e4, **FAR, "original_max_position_embeddings": 64}
CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("llama", {}, "fp32"),
    ("llama", {}, "bf16"),
    ("llama", {"rope_parameters": SCALED}, "fp32"),
    ("qwen3", {}, "fp16"),
    ("gpt2", {}, "fp32"),
    ("phi3", {}, "fp32"),
    ("gemma3_text", {}, "fp32"),
    ("qwen3_moe", {}, "bf16"),
)


def save_tokenizer(folder: Path) -> int:
    """GPT-2's, which the converter knows; the number of its tokens."""
    from transformers import AutoTokenizer

    models = Path(os.environ["LLAMA_CPP"]) / "models"
    tokenizer = AutoTokenizer.from_pretrained(models, gguf_file="ggml-vocab-gpt-2.gguf")
    tokenizer.save_pretrained(folder)
    shutil.copy(TEMPLATES / "generation_tags.jinja", folder / "chat_template.jinja")
    return len(tokenizer)


def save_base(folder: Path, family: str, more: dict[str, Any]) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    n = save_tokenizer(folder)
    ids = {"bos_token_id": n - 1, "eos_token_id": n - 1, "pad_token_id": n - 1}
    shape = {**ARCHITECTURES[family], "vocab_size": n, **ids, **more}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape))
    model.save_pretrained(folder)
    return folder


def line(folder: Path, model: Path, dtype: str) -> str:
    run = trained(folder, model, n_epochs=3)
    began = time.monotonic()
    try:
        proof = export(run, kind="gguf", dtype=dtype).proof
    except RunError as exc:
        return f"{time.monotonic() - began:4.0f} s  {exc}"
    by_llama = f"; llama.cpp: {proof.llama_agreed}, {proof.llama_difference or 0:.1e} off"
    return f"{time.monotonic() - began:4.0f} s  {proof.headline}{by_llama if proof.llama else ''}"


def main() -> int:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        (root / "demo").mkdir(parents=True)
        print("demo", line(root / "demo", DEMO, "auto"), flush=True)
        for i, (family, more, dtype) in enumerate(CASES):
            model = save_base(root / f"{i}" / "base", family, more)
            said = line(root / f"{i}", model, dtype)
            print(family, " ".join(more), dtype, said, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
