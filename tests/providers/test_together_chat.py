"""Answers of a tuned model at the service, and the endpoints that it may need."""

from __future__ import annotations

import json
import threading
from threading import Event

import pytest

import ftlab
from ftlab.answers.process import Stop, Stopped
from ftlab.answers.sides import Side, say, sides_of
from ftlab.errors import FtlabError, ServiceError
from ftlab.job import Job
from ftlab.providers.together import chat as chatting
from ftlab.providers.together.account import secret
from ftlab.providers.together.chat import chat
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.serving import Hardware, endpoint_commands, hardware
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.state import State
from ftlab.ui.try_panel import TryPanel
from tests.fakes.together import BUSY, DROP, HANG, Fault, Service
from tests.fakes.together_artefacts import add_job_as
from tests.infer.worlds import until

CHAT = "/chat/completions"
STREAM = (("Content-Type", "text/event-stream"),)


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="k") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        yield service


def asked(service, prompt="Hello?", **options):
    more = {name: options.pop(name) for name in ("stop",) if name in options}
    with Client(secret("k"), service.address, **more) as client:
        return chat(client, "me/mine", prompt, **options)


def stream(*lines):
    return Fault(status=200, body="\n".join(lines).encode(), headers=STREAM)


def piece(text):
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=False)}"


def test_an_answer_comes_in_pieces(service):
    service.artefacts.pieces = ["Ja", ", ", "smør\n", "brød"]
    told = []
    assert asked(service, told=told.append, max_tokens=9, seed=3) == "Ja, smør\nbrød"
    assert told == service.artefacts.pieces
    (request,) = service.requests
    assert json.loads(request.body) == {
        "model": "me/mine",
        "messages": [{"role": "user", "content": "Hello?"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "seed": 3,
        "stream": True,
    }


def test_messages_go_as_they_are(service):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    asked(service, messages)
    assert json.loads(service.requests[0].body)["messages"] == messages


def test_a_service_that_does_not_stream_is_understood(service):
    body = json.dumps({"choices": [{"message": {"content": "all at once"}}]}).encode()
    service.misbehave("POST", CHAT, Fault(status=200, body=body))
    assert asked(service) == "all at once"


def test_what_is_odd_in_a_stream_is_left(service):
    odd = ("", ": ping", "event: x", "data: {not json", "data: [1]", 'data: {"choices": []}')
    empty = ('data: {"choices": [{"delta": {"content": null}}]}', 'data: {"choices": [7]}')
    lines = (*odd, piece("a"), *empty, piece("b"), "data: [DONE]", piece("late"))
    service.misbehave("POST", CHAT, stream(*lines, ""))
    assert asked(service) == "ab"


@pytest.mark.parametrize("fault", [BUSY, DROP, Fault(status=500)])
def test_an_answer_is_asked_for_once(service, fault):
    service.misbehave("POST", CHAT, fault)
    with pytest.raises(ServiceError):
        asked(service)
    assert len(service.requests) == 1


def test_after_a_429_it_is_asked_again(service):
    service.misbehave("POST", CHAT, Fault(status=429))
    assert asked(service) == "Hello there"


def test_an_answer_that_breaks_off_is_told_with_what_it_costs(service):
    service.artefacts.broken_stream = True
    with pytest.raises(ServiceError, match="broke off after 11 characters") as caught:
        asked(service)
    assert "may have been billed" in str(caught.value)


def test_an_error_in_the_stream_is_told(service):
    error = 'data: {"error": {"message": "the model fell over, Bearer tgp_v1_canary"}}'
    service.misbehave("POST", CHAT, stream(piece("a"), error, ""))
    with pytest.raises(ServiceError, match="the model fell over") as caught:
        asked(service)
    assert "canary" not in str(caught.value)


def test_no_more_of_an_answer_is_read_than_is_of_use(service, monkeypatch):
    monkeypatch.setattr(chatting, "LONGEST", 10_000)
    service.misbehave("POST", CHAT, stream(piece("x" * 10**6), "data: [DONE]", ""))
    with pytest.raises(ServiceError, match="broke off"):
        asked(service)


def test_a_model_that_is_not_served_leads_to_an_endpoint(service):
    service.artefacts.serverless = False
    with pytest.raises(ServiceError, match="model_not_available") as caught:
        asked(service)
    assert "account().endpoint(job)" in str(caught.value)
    assert caught.value.status == 400


def test_an_answer_can_be_cancelled(service):
    stop = Event()
    service.misbehave("POST", CHAT, HANG)
    stop.set()
    with pytest.raises(Cancelled):
        asked(service, stop=stop)


# --- of a job --------------------------------------------------------------------------------


def test_the_model_of_a_job_answers_by_its_name(service):
    job = add_job_as(service, "completed")
    assert ftlab.account().chat(job, "Hello?", max_tokens=5) == "Hello there"
    asked = json.loads(service.asked("POST", CHAT)[0].body)
    assert asked["model"] == service.jobs[job]["model_output_name"]
    with pytest.raises(FtlabError, match="The account has no"):
        ftlab.account().chat("ft-9", "Hello?")


@pytest.mark.parametrize(
    ("job", "is_adapter", "command"),
    [
        (
            {"adapter_object_id": "ml_1", "model_object_id": "ml_2"},
            True,
            "--model ml_1 --endpoint ",
        ),
        ({"adapter_object_id": "ml_1", "model_object_id": "ml_2"}, False, "--model ml_2 "),
        ({"model_output_name": "me/mine"}, True, "ftlab-ft-1 --merge --traffic-weight 1"),
        ({"model_output_name": "me/mine"}, False, "ftlab-ft-1 --traffic-weight 1"),
        ({"model_output_name": "x; rm -rf ~"}, False, "--model 'x; rm -rf ~' "),
    ],
)
def test_the_commands_for_an_endpoint_name_what_was_tuned(job, is_adapter, command):
    text = endpoint_commands({"id": "ft-1", **job}, is_adapter=is_adapter)
    assert command in text
    assert "endpoints rm" in text


def test_the_endpoint_of_a_job_is_described_and_not_started(service):
    job = add_job_as(service, "completed", training_type={"type": "Lora"})
    assert "--merge" in ftlab.account().endpoint(job)
    assert service.asked("POST") == []


def test_hardware_is_listed_by_its_price(service):
    service.artefacts.hardware = [
        {
            "id": "it_2",
            "name": "2x H100",
            "gpuType": "H100",
            "gpuCount": 2,
            "gpuMemoryGib": 80,
            "priceCentsPerHour": 798,
            "regions": [{"name": "us"}, {"name": "eu", "new": 1}, 7],
        },
        {"id": "it_9", "priceCentsPerHour": None, "regions": 5},
        {
            "id": "it_1",
            "name": "1x H100",
            "gpuType": "H100",
            "gpuCount": 1,
            "gpuMemoryGib": 80,
            "priceCentsPerHour": 399,
            "regions": [],
        },
        {"name": "no id"},
        "nothing",
    ]
    with Client(secret("k"), service.address) as client:
        one, two, odd = hardware(client)
    assert two == Hardware("it_2", "2x H100", "H100", 2, 80, 7.98, ("us", "eu"))
    assert one.cells() == ("1x H100", "1 × H100", "80 GiB each", "$3.99")
    assert odd.cells() == ("it_9", "0 × ", "0 GiB each", "unknown")
    assert ftlab.account().hardware() == [one, two, odd]


# --- beside another ----------------------------------------------------------------------------


def hosted_run(service, folder, job_id):
    """A run whose job has ended there, and of which nothing is here."""
    job = Job(spec=JobSpec(model="Qwen/Qwen3-8B"), provider="together")
    run = Run.create(job, folder / "runs")
    run.note_hosted(address=service.address, job_id=job_id)
    run.say("completed")
    return run


def test_both_sides_of_a_hosted_run_are_asked_there(service, tmp_path, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY")
    job_id = add_job_as(service, "completed")
    run, told, heard = hosted_run(service, tmp_path, job_id), [], []
    tools = [{"type": "function", "function": {"name": "find"}}]
    found = run.ask("Hello?", system="Be short.", tools=tools, top_p=0.5, told=told.append,
                    heard=lambda side, piece: heard.append((side, piece)), key="k")  # fmt: skip
    assert found == ("Hello?", "Hello there", "Hello there")
    assert {side for side, _ in heard} == {"base", "tuned"}
    assert any("billed by the tokens" in text for text in told)
    bodies = [json.loads(request.body) for request in service.asked("POST", CHAT)]
    names = [body["model"] for body in bodies]
    assert names == ["Qwen/Qwen3-8B", service.jobs[job_id]["model_output_name"]]
    assert all(body["messages"][0]["content"] == "Be short." for body in bodies)
    assert all((body["top_p"], body["tools"]) == (0.5, tools) for body in bodies)
    assert [side.title for side in sides_of(run)] == [
        "base (at Together, billed)",
        "tuned (at Together, billed)",
    ]


def test_the_panel_asks_a_hosted_run_there_once_there_is_a_key(service, tmp_path, monkeypatch):
    run = hosted_run(service, tmp_path, add_job_as(service, "completed"))
    monkeypatch.delenv("TOGETHER_API_KEY")
    state = State(run.path.parent)
    state.find_run()
    panel = TryPanel(state)
    panel.prompt.value = "Hello?"
    assert "Type it above" in panel.reason.value
    assert panel.key.layout.display is None
    state.key.take(secret("k"))
    panel.ask.click()
    until(lambda: not panel.is_busy)
    assert [column.turns[-1]["content"] for column in panel.columns] == ["Hello there"] * 2
    assert "billed" in panel.columns[0].head.value


def test_calls_of_tools_are_shown_as_text(service):
    call = {"index": 0, "function": {"name": "find", "arguments": '{"city": '}}
    more = {"index": 0, "function": {"arguments": '"Oslo"}'}}
    lines = [
        f"data: {json.dumps({'choices': [{'delta': {'tool_calls': [one]}}]})}"
        for one in (call, more)
    ]
    service.misbehave("POST", CHAT, stream(*lines, "data: [DONE]"))
    assert asked(service) == 'find{"city": "Oslo"}'


def test_a_stop_ends_what_is_asked_there(service, tmp_path):
    run = hosted_run(service, tmp_path, add_job_as(service, "completed"))
    stop = Stop()
    service.misbehave("POST", CHAT, HANG)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        say(Side.tuned_of(run), [{"role": "user", "content": "Hello?"}], stop=stop)
