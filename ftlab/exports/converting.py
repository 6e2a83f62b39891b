"""A merged model as one GGUF file, by llama.cpp's own converter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ftlab.errors import RunError
from ftlab.exports.proof import Dtype
from ftlab.files import existing
from ftlab.processes import environment

SCRIPT = "convert_hf_to_gguf.py"
VARIABLE, HOME = "FTLAB_GGUF_CONVERTER", "LLAMA_CPP"
OUT: dict[Dtype, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
LAST_WORDS = 400  # characters of what the converter said


def converter(named: str | Path | None = None) -> Path:
    """Where the converter is: as named, by FTLAB_GGUF_CONVERTER, in the folder LLAMA_CPP, or on
    the PATH. Raises RunError, which says what to install."""
    home = os.environ.get(HOME)
    places = [named, os.environ.get(VARIABLE), home and Path(home) / SCRIPT, shutil.which(SCRIPT)]
    for place in filter(None, places):
        if (found := existing(place)) is not None:
            file = found / SCRIPT if found.is_dir() else found
            if file.is_file():
                return file.absolute()
    raise RunError(
        f"llama.cpp's {SCRIPT} was not found; GGUF files are written by it. Get it (git clone "
        "https://github.com/ggml-org/llama.cpp, and pip install gguf), and name it in "
        f"{VARIABLE}, or its folder in {HOME}."
    )


def convert(script: Path, merged: Path, file: Path, dtype: Dtype) -> None:
    """Write a merged model as a GGUF file. Raises RunError with what the converter said."""
    command = [sys.executable, str(script), str(merged), "--outfile", str(file)]
    done = subprocess.run(
        [*command, "--outtype", OUT[dtype]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**environment(("HF_TOKEN",)), "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode or not file.is_file():
        words = (done.stderr or done.stdout).strip()[-LAST_WORDS:]
        raise RunError(
            f"llama.cpp's converter ended with status {done.returncode}; it must know the model's "
            f"architecture, and takes the package gguf. Its last words: {words or 'none'}"
        )


def read_back(file: Path) -> int:
    """Tensors that the gguf package finds in a file. Raises RunError where it is not whole; 0 where
    the package is not installed."""
    try:
        from gguf import GGUFReader  # pyright: ignore[reportMissingImports]
    except ImportError:
        return 0
    try:
        n = len(GGUFReader(file).tensors)
    except Exception as exc:  # whatever the reader makes of half a file
        raise RunError(
            f"{file.name} can't be read back ({exc}); the converter's file must be whole. Export "
            "again."
        ) from exc
    if not n:
        raise RunError(f"{file.name} holds no tensors; a model has some. Export again.")
    return n
