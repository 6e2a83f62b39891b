"""The button that compares the service's tokens with those of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftlab.data.tokens import load_tokenizer
from ftlab.html import escaped
from ftlab.providers.together.preview import SAME
from ftlab.ui.form import JobPanel
from tests.providers.hosted import MODEL, hosted, spec
from tests.providers.test_together_preview import previewed
from tests.small import save_tokenizer
from tests.ui.test_form_boxes import until
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def service(monkeypatch, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path / "model", "chatml"))
    found = "ftlab.providers.together.preview.find_tokenizer"
    monkeypatch.setattr(found, lambda _: (tokenizer, []))
    with hosted(monkeypatch) as service:
        job = spec(tmp_path)
        service.artefacts.previewed = previewed(Path(job["training_file"]), tokenizer)
        yield service


@pytest.fixture
def box(state, service, tmp_path):
    panel = JobPanel(state)
    state.update(spec(tmp_path))
    scan(state)
    until(lambda: not panel.template.compare.disabled)
    return panel.template


def compared(box):
    box.compare.click()
    until(lambda: not box.task.is_busy)
    return box.task.said.value


def test_what_is_the_same_is_said(box, service):
    assert compared(box) == escaped(SAME)
    assert service.bodies == []


def test_the_first_token_that_is_another_is_named(box, service, state):
    service.artefacts.previewed[1]["input_ids"][6] = 0
    assert "train.jsonl line 2, token 7: Together has" in compared(box)
    state.update({"n_epochs": 2})
    assert "token 7" in box.task.said.value
    state.update({"train_on_inputs": True})
    assert box.task.said.value == ""  # it was about other rows


def test_it_is_offered_with_a_key_and_a_model_of_the_service(box, state, monkeypatch):
    assert box.layout.display is None
    state.update({"model": "demo"})
    assert box.layout.display == "none"
    state.update({"model": MODEL})
    assert box.layout.display is None
    monkeypatch.delenv("TOGETHER_API_KEY")
    state.look_again()
    assert box.layout.display == "none"
