"""What the tests of the interface share."""

from __future__ import annotations

import pytest

from ftlab.ui.data_panel import DataPanel
from ftlab.ui.state import State
from tests.small import chat_rows, save_model, write_rows
from tests.ui.test_state import scan


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "runs")


@pytest.fixture
def files(tmp_path):
    model = save_model(tmp_path / "model")
    train = write_rows(tmp_path / "t.jsonl", chat_rows(40))
    return {"model": str(model), "training_file": str(train)}


def question(text):
    return {"role": "user", "content": text}


def bad_rows():
    """Two rows that can be mended, one that can't, and eight good ones."""
    rows = chat_rows(8)
    misspelt = {
        "messages": [{**m, "role": m["role"].upper()} for m in chat_rows(1, 50)[0]["messages"]]
    }
    unanswered = {"messages": [*chat_rows(1, 60)[0]["messages"], question("And now?")]}
    return [*rows[:2], misspelt, unanswered, {"messages": []}, *rows[2:]]


@pytest.fixture
def panel(state):
    return DataPanel(state)


@pytest.fixture
def bad(state, panel, files, tmp_path):
    """The panel after the scan of a bad file."""
    state.update({**files, "training_file": str(write_rows(tmp_path / "bad.jsonl", bad_rows()))})
    scan(state)
    return panel
