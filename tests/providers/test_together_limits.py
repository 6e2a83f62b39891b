"""What the service takes by its own word comes before what a catalogue says of it: wider and
narrower, in code, in a terminal and in the form."""

from __future__ import annotations

import json

import pytest

import ftlab
from ftlab.cli import main
from ftlab.errors import InvalidSpec, ServiceError
from ftlab.providers import prepare
from ftlab.providers.together.account import secret
from ftlab.runs import Run, Runs
from ftlab.ui.state import State
from tests.fakes.together import DROP, REPLY, Fault
from tests.providers.hosted import MODEL, hosted, spec
from tests.ui.test_form_boxes import until

WIDER = {"batch_size": 16}  # the catalogue has at most 8, the service 32
NARROWER = {"lora_r": 16}  # the catalogue has at most 64
LIMITS = "/models/limits"


@pytest.fixture
def service(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "start", lambda *_: None)
    with hosted(monkeypatch) as service:
        service.models = {MODEL: {**REPLY, "lora_training": {**REPLY["lora_training"], **RANKS}}}
        yield service


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "runs")


RANKS = {"default_rank": 4, "max_rank": 8}


def test_a_job_within_the_services_limits_starts(service, tmp_path):
    run = ftlab.submit(spec(tmp_path, **WIDER), "together", pay_up_to=1.0)
    assert run.job.spec.batch_size == 16
    assert run.job.spec.lora_r <= 8
    assert len(service.asked("GET", LIMITS)) == 1


def test_a_job_outside_of_them_leaves_no_run(service, tmp_path):
    with pytest.raises(InvalidSpec, match=r"lora_r is 16.*own limits"):
        ftlab.submit(spec(tmp_path, **NARROWER), "together", pay_up_to=1.0)
    assert list(Runs()) == []


@pytest.mark.parametrize("fault", [DROP, Fault(status=500), Fault(status=200, body=b"<html>")])
def test_where_the_service_does_not_say_it_is_the_catalogue(service, tmp_path, fault):
    service.misbehave("GET", LIMITS, fault)
    prepare(spec(tmp_path, **NARROWER), "together")
    assert len(service.requests) == 1  # it is not repeated: somebody waits for a form


def test_without_a_key_it_is_the_catalogue(service, tmp_path, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    prepare(spec(tmp_path, **NARROWER), "together")
    assert service.requests == []


@pytest.mark.parametrize("model", ["demo", "."])
def test_a_model_of_this_machine_is_not_asked_about(service, tmp_path, model):
    with pytest.raises(InvalidSpec):
        prepare(spec(tmp_path, model=model), "together")
    assert service.requests == []


def test_a_model_that_it_has_not_is_told_before_there_is_a_run(service, tmp_path):
    service.models = {"another/model": REPLY}
    with pytest.raises(ServiceError, match=f"knows no model or job '{MODEL}'"):
        ftlab.submit(spec(tmp_path), "together", pay_up_to=1.0)
    assert list(Runs()) == []


@pytest.mark.parametrize(("values", "status"), [(WIDER, 0), (NARROWER, 1)])
def test_in_a_terminal(service, tmp_path, capsys, values, status):
    (tmp_path / "spec.json").write_text(json.dumps(spec(tmp_path, **values)))
    assert main(["check", "spec.json", "--for", "together"]) == status
    assert ("lora_r is 16" in capsys.readouterr().out) == bool(status)


def named(state):
    return {issue.where for issue in state.issues}


def test_in_the_form(service, state, tmp_path):
    state.update(spec(tmp_path, **WIDER))
    state.choose("together")
    assert "batch_size" in named(state)  # a warning: what was written down may be old
    until(lambda: not state.tick() and "batch_size" not in named(state))
    state.update(NARROWER)
    assert [issue.where for issue in state.issues if issue.blocks] == ["lora_r"]
    for _ in range(3):
        state.tick()
    assert len(service.asked("GET", LIMITS)) == 1


def test_in_the_form_a_key_that_comes_later_asks_too(service, state, tmp_path, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    state.update(spec(tmp_path, **WIDER))
    state.choose("together")
    state.tick()
    assert service.requests == []
    state.key.take(secret("the-key"))
    until(lambda: not state.tick() and "batch_size" not in named(state))
