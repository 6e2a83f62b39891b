"""A merged model as one GGUF file, by llama.cpp's own converter: where it is, what it takes."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

from ftlab.errors import MissingExtra, RunError
from ftlab.exports.proof import Dtype
from ftlab.files import existing

SCRIPT = "convert_hf_to_gguf.py"
VARIABLE, HOME = "FTLAB_GGUF_CONVERTER", "LLAMA_CPP"
OUT: dict[Dtype, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
PACKAGES = ("gguf", "sentencepiece")
"""What the converter imports, besides what trains; with the first, its file is read back."""


def converter(named: str | Path | None = None) -> Path:
    """Where the converter is: as named, by FTLAB_GGUF_CONVERTER, in the folder LLAMA_CPP, or on
    the PATH. Raises RunError, which says what to get, and MissingExtra."""
    home = os.environ.get(HOME)
    places = [named, os.environ.get(VARIABLE), home and Path(home) / SCRIPT, shutil.which(SCRIPT)]
    for place in filter(None, places):
        if (found := existing(place)) is not None:
            file = found / SCRIPT if found.is_dir() else found
            if file.is_file():
                _check_packages()
                return file.absolute()
    raise RunError(
        f"llama.cpp's {SCRIPT} was not found; GGUF files are written by it. Get it (git clone "
        "https://github.com/ggml-org/llama.cpp), and name it in "
        f"{VARIABLE}, or its folder in {HOME}."
    )


def _check_packages() -> None:
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "gguf")


def asking_request(script: Path, folder: Path, file: Path) -> dict[str, Any]:
    """To write the vocabulary of a model alone, which shows in seconds whether the converter knows
    the model."""
    what = "asking llama.cpp's converter whether it knows the model"
    return _request(script, folder, file, what, "--vocab-only")


def converting_request(
    script: Path, folder: Path, file: Path, dtype: Dtype, name: str
) -> dict[str, Any]:
    """To write a merged model, which calls itself so."""
    more = ("--outtype", OUT[dtype], "--model-name", name)
    return _request(script, folder, file, "converting to GGUF", *more)


def _request(script: Path, folder: Path, file: Path, what: str, *more: str) -> dict[str, Any]:
    arguments = [str(folder), "--outfile", str(file), *more]
    return {"script": str(script), "arguments": arguments, "file": str(file), "what": what}
