"""The notebooks are the documentation: they run from the first cell to the last, and are clean."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_without_torch_in_the_kernel(path, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(path, 4)
    short = "from ftlab import demo\ndemo.JOB['n_epochs'] = 1"
    book.cells.insert(0, nbformat.v4.new_code_cell(short))
    last = "import sys\nprint(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    book.cells.append(nbformat.v4.new_code_cell(last))
    client = NotebookClient(
        book,
        timeout=180,
        resources={"metadata": {"path": str(tmp_path)}},
        store_widget_state=False,
    )
    client.execute()
    assert book.cells[-1].outputs[0].text == "[]\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_has_no_outputs_and_no_widget_state(path):
    book = json.loads(path.read_text())
    assert "widgets" not in book["metadata"]
    for cell in book["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
