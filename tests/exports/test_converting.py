"""The program that writes GGUF files: where it is looked for, and what is said where it fails."""

from __future__ import annotations

import pytest

from ftlab.errors import RunError
from ftlab.exports.converting import SCRIPT, convert, converter

WRITES = """
import sys
from pathlib import Path
assert sys.argv[4:] == ["--outtype", "bf16"], sys.argv
Path(sys.argv[3]).write_text(Path(sys.argv[1]).name)
"""


def script(folder, text):
    folder.mkdir()
    (folder / SCRIPT).write_text(text)
    return folder / SCRIPT


@pytest.mark.parametrize("variable", ["FTLAB_GGUF_CONVERTER", "LLAMA_CPP"])
def test_it_is_where_a_variable_says(tmp_path, monkeypatch, variable):
    file = script(tmp_path / "llama.cpp", "")
    monkeypatch.setenv(variable, str(file.parent))
    assert converter() == file
    assert converter(file) == file


def test_it_is_told_the_model_the_file_and_the_format(tmp_path):
    made = tmp_path / "made.gguf"
    convert(script(tmp_path / "llama.cpp", WRITES), tmp_path / "merged", made, "bf16")
    assert made.read_text() == "merged"


@pytest.mark.parametrize("text", ["raise SystemExit('Model Foo is not supported')", "pass"])
def test_what_it_said_when_it_made_nothing_is_told(tmp_path, text):
    said = "Model Foo is not supported" if "Foo" in text else "none"
    with pytest.raises(RunError, match=f"Its last words: {said}"):
        convert(script(tmp_path / "x", text), tmp_path, tmp_path / "made.gguf", "fp16")
