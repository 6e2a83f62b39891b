"""What the tests of the interface share."""

from __future__ import annotations

import pytest

from ftlab.ui.state import State
from tests.small import chat_rows, save_model, write_rows


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "runs")


@pytest.fixture
def files(tmp_path):
    model = save_model(tmp_path / "model")
    train = write_rows(tmp_path / "t.jsonl", chat_rows(40))
    return {"model": str(model), "training_file": str(train)}
