"""The line above the tabs, part by part."""

from __future__ import annotations

from ftlab.ui.head import Head
from tests.ui.test_state import scan


def shown(head):
    return {p: b.description for p, b in head.buttons.items() if b.layout.display != "none"}


def test_an_empty_workbench_says_that_there_is_no_data(state):
    assert shown(Head(state)) == {"data": "ftlab · no data yet"}


def test_the_data_and_the_job_are_said_in_their_places(state, files):
    head = Head(state)
    state.update({**files, "n_epochs": 2, "lora_r": 4, "learning_rate": 3e-4})
    scan(state)
    said = shown(head)
    assert said["data"].startswith("t.jsonl · 40 rows · ")
    assert said["job"] == "model · LoRA r4 · lr 3e-4 · 2 epochs"
    assert "steps" in said["cost"]
    assert "run" not in said


def test_a_click_leads_to_the_place_of_what_is_wrong(state, files):
    head = Head(state)
    state.update({**files, "lora_r": 0})
    assert shown(head)["error"] == "▲ 1 error"
    assert "ft-error" in head.buttons["error"]._dom_classes
    head.buttons["error"].click()
    assert state.tab == "job"
    head.buttons["data"].click()
    assert state.tab == "data"
    state.update({"lora_r": 4})
    assert "error" not in shown(head)


def test_what_is_wrong_with_the_rows_alone_leads_to_the_data(state, bad):
    head = Head(state)
    assert shown(head)["error"].startswith("▲ ")
    state.tab = "run"
    head.buttons["error"].click()
    assert state.tab == "data"
