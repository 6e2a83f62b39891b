"""The program that writes GGUF files: where it is looked for, and what is said where it fails."""

from __future__ import annotations

import pytest

from ftlab.errands import Errand
from ftlab.errors import MissingExtra, RunError
from ftlab.exports import converting
from ftlab.exports.converting import SCRIPT, asking_request, converter, converting_request
from ftlab.exports.making import CONVERSION

WRITES = """
import sys
from pathlib import Path
import beside
Path(sys.argv[3]).write_text(" ".join([Path(sys.argv[1]).name, *sys.argv[4:]]))
"""
NO_TOKENIZER = "raise NotImplementedError('BPE pre-tokenizer was not recognized - update it()')"
NO_MODEL = "import sys, logging; logging.error('Model Foo is not supported'); sys.exit(1)"
FAILURES = {
    NO_TOKENIZER: "does not know the tokenizer of this model; .*export this one merged",
    NO_MODEL: r"can't convert this model \(.*Model Foo is not supported\); .*newest version",
    "raise SystemExit('no')": r"can't convert this model \(no\)",
    "import nothing_like_it": r"\(ModuleNotFoundError: No module named 'nothing_like_it'\)",
    "pass": r"\(it said nothing\)",
}


def script(folder, text):
    folder.mkdir()
    (folder / "beside.py").touch()
    (folder / SCRIPT).write_text(text)
    return folder / SCRIPT


def converted(request):
    return Errand().run(CONVERSION, request, lambda *why: str(why))


@pytest.mark.parametrize("variable", ["FTLAB_GGUF_CONVERTER", "LLAMA_CPP"])
def test_it_is_where_a_variable_says(tmp_path, monkeypatch, variable):
    file = script(tmp_path / "llama.cpp", "")
    monkeypatch.setattr(converting, "PACKAGES", ("json",))
    monkeypatch.setenv(variable, str(file.parent))
    assert converter() == file
    assert converter(file) == file


def test_what_it_imports_is_asked_for_before(tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "PACKAGES", ("json", "nothing_like_it"))
    with pytest.raises(MissingExtra, match=r'pip install "ftlab\[gguf\]"'):
        converter(script(tmp_path / "llama.cpp", ""))


def test_it_is_told_the_model_the_file_and_the_format(tmp_path):
    made, file = tmp_path / "made.gguf", script(tmp_path / "llama.cpp", WRITES)
    converted(converting_request(file, tmp_path / "merged", made, "bf16", "X tuned"))
    assert made.read_text() == "merged --outtype bf16 --model-name X tuned"
    converted(asking_request(file, tmp_path / "base", made))
    assert made.read_text() == "base --vocab-only"


@pytest.mark.parametrize("text", FAILURES)
def test_what_it_said_when_it_made_nothing_is_told(tmp_path, text):
    with pytest.raises(RunError, match=FAILURES[text]):
        converted(asking_request(script(tmp_path / "x", text), tmp_path, tmp_path / "made.gguf"))
