"""The switch that keeps a trainer ready, against the state of the form."""

from __future__ import annotations

import pytest

from ftlab import demo
from ftlab.ui import spare_box
from ftlab.ui.spare_box import SpareBox
from ftlab.ui.state import State


class Waiting:
    """A trainer that waits, or does not."""

    def __init__(self):
        self.is_here, self.models = False, []

    @property
    def memory_bytes(self):
        return 412_000_000 if self.is_here else None

    def warm(self, model):
        self.is_here = True
        self.models.append(model)

    def end(self):
        self.is_here = False


@pytest.fixture
def spare(monkeypatch):
    monkeypatch.delenv("FTLAB_SPARE", raising=False)
    waiting = Waiting()
    monkeypatch.setattr(spare_box, "SPARE", waiting)
    return waiting


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(State, "why_not_train", property(lambda self: self.reason))
    state = State(tmp_path)
    state.reason = "The data is not scanned yet."
    state.update({"model": "demo"})
    return state


def test_one_waits_as_soon_as_a_job_could_start(state, spare):
    box = SpareBox(state)
    assert not spare.is_here
    assert box.layout.display == "none"
    state.reason = ""
    box.refresh()
    assert spare.models == [demo.MODEL]
    assert "412 MB" in box.said.value
    assert box.layout.display != "none"


def test_who_turns_it_off_has_its_memory_back(state, spare):
    state.reason = ""
    box = SpareBox(state)
    box.switch.value = False
    assert not spare.is_here
    assert box.layout.display != "none"  # so that it can be turned on again
    box.switch.value = True
    assert spare.is_here


def test_where_memory_is_scarce_none_waits(state, spare, monkeypatch):
    monkeypatch.setattr(spare_box, "LEAST_FREE", 2**60)
    state.reason = ""
    SpareBox(state)
    assert not spare.is_here


def test_a_model_that_is_not_here_needs_none(state, spare):
    state.reason = ""
    state.update({"model": "nobody/nothing-at-all"})
    SpareBox(state)
    assert not spare.is_here


def test_the_switch_of_the_environment_is_its_first_state(state, spare, monkeypatch):
    monkeypatch.setenv("FTLAB_SPARE", "0")
    state.reason = ""
    box = SpareBox(state)
    assert not box.switch.value
    assert not spare.is_here
