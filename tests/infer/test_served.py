"""A run served on the loopback, asked by the clients that people have."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ftlab.cli import main
from ftlab.cli.asking import _client, _printer
from ftlab.cli.printing import visible
from ftlab.connections import has_left
from ftlab.errors import RunError
from ftlab.infer.server import _Handler as Handler
from ftlab.run import Run
from tests.exchange.oracles import SDK, ask
from tests.infer.worlds import answering, finished_run, slowly, until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]
QUESTION = [{"role": "user", "content": "Where is order 7? 🙂"}]
LONG = {"model": "base", "prompt": "Hello", "max_tokens": 480}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def process(run):
    with answering(run) as server:
        yield server


@pytest.fixture
def served(run, process):
    with run.serve() as found:
        yield found


def post(served, path="/chat/completions", token=None, headers=(), **asked):
    authorization = {"Authorization": f"Bearer {served.token if token is None else token}"}
    url = f"{served.base_url}{path}"
    return httpx.post(url, json=asked, headers={**authorization, **dict(headers)}, timeout=60)


def address(served):
    return "127.0.0.1", int(served.base_url.rpartition(":")[2].partition("/")[0])


def test_openais_own_client_gets_whole_and_streamed_answers(run, served):
    from openai import APIStatusError, AuthenticationError, OpenAI

    with OpenAI(base_url=served.base_url, api_key=served.token, max_retries=0) as client:
        assert [one.id for one in client.models.list()] == ["base", run.id, f"{run.id}:2"]
        texts = {}
        for name in served.models:
            asked = {"model": name, "messages": QUESTION, "max_tokens": 20}
            whole = client.chat.completions.create(**asked)
            assert whole.model == name
            texts[name] = whole.choices[0].message.content
            chunks = list(client.chat.completions.create(**asked, stream=True))
            pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
            assert "".join(pieces) == texts[name]
            assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
            plain = client.completions.create(model=name, prompt="Where", max_tokens=5)
            assert plain.usage.completion_tokens <= 5
        assert len(set(texts.values())) == 3
        assert texts[run.id] == run.ask(QUESTION, max_tokens=20).tuned
        with pytest.raises(APIStatusError, match="There is no model 'gpt-5'"):
            client.chat.completions.create(model="gpt-5", messages=QUESTION)
        with pytest.raises(APIStatusError, match="top_p is 9; it takes"):
            client.chat.completions.create(model="base", messages=QUESTION, top_p=9)
    with (
        OpenAI(base_url=served.base_url, api_key="another", max_retries=0) as client,
        pytest.raises(AuthenticationError),
    ):
        client.models.list()


TOGETHER = """
import json, sys
from together import Together
asked = json.load(sys.stdin)
client = Together(api_key=asked["token"], base_url=asked["base_url"], max_retries=0)
said = {"model": asked["model"], "messages": asked["messages"], "max_tokens": 12}
whole = client.chat.completions.create(**said).choices[0].message.content
chunks = client.chat.completions.create(**said, stream=True)
print()
print(json.dumps([whole, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)]))
"""


def test_the_services_own_client_gets_the_same(run, served):
    base_url = served.base_url.removesuffix("/v1")  # it adds that itself
    place = {"token": served.token, "base_url": base_url}
    found = ask(SDK, TOGETHER, {**place, "model": run.id, "messages": QUESTION})
    assert found == [run.ask(QUESTION, max_tokens=12).tuned] * 2


def test_only_who_knows_the_token_and_comes_by_this_machine_is_answered(served, capfd):
    asked = {"model": "base", "messages": QUESTION, "max_tokens": 1}
    assert post(served, **asked).status_code == 200
    for token in ("x", served.token + "x", served.token[:-1], served.token.upper()):
        reply = post(served, token=token, **asked)
        assert reply.status_code == 401
        assert served.token not in reply.text
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert post(served, headers={"Host": host}, **asked).status_code == 403
    reply = httpx.options(served.base_url + "/chat/completions", headers={"Origin": "http://x"})
    assert reply.status_code == 501
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert served.token not in capfd.readouterr().err


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": []}', b'{"model": "../x"}'])
def test_what_is_no_request_is_refused(served, body):
    headers = {"Authorization": f"Bearer {served.token}"}
    reply = httpx.post(f"{served.base_url}/chat/completions", content=body, headers=headers)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model": "base", "messages": [], "temperature": NaN}', "There are no messages"),
        (b'{"model": "base", "prompt": "x", "temperature": NaN}', "temperature is nan; it takes"),
        (b'{"model": "base", "prompt": "\\ud83d"}', "half of a surrogate pair"),
        (b'{"model": "base", "prompt": ""}', "The prompt is empty"),
    ],
)
def test_what_no_json_can_pass_on_is_said(served, body, said):
    path = "completions" if b"prompt" in body else "chat/completions"
    headers = {"Authorization": f"Bearer {served.token}"}
    reply = httpx.post(f"{served.base_url}/{path}", content=body, headers=headers)
    assert reply.status_code == 400
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "x", str(2**24 + 1)])
def test_a_length_that_is_none_or_too_large_is_refused_unread(served, length):
    with socket.create_connection(address(served), timeout=10) as connection:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(1000)


def test_the_end_of_serving_ends_what_is_being_answered(run, process):
    served = run.serve()
    with slowly(process.answerer):
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(post, served, "/completions", **LONG)
            until(lambda: len(process.turns))
            served.stop()
            assert asked.result(10).status_code == 503
        until(lambda: not len(process.turns), 10)


def test_a_process_that_dies_is_no_fault_of_who_asks(run, served, monkeypatch):
    """Clients ask again by themselves where the status says so."""
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.connection.close())
    reply = post(served, model="base", messages=QUESTION)
    assert reply.status_code == 503
    assert "started anew" in reply.json()["error"]["message"]


def test_a_run_that_was_deleted_meanwhile_is_said(run, process, tmp_path):
    copy = Run(shutil.copytree(run.path, tmp_path / run.id))
    with copy.serve() as served:
        shutil.rmtree(copy.path)
        reply = post(served, model=run.id, messages=QUESTION)
        assert reply.status_code == 400
        assert "not there any more" in reply.json()["error"]["message"]
        with pytest.raises(RunError, match="not there any more"):
            copy.ask("Hello")


def test_a_client_is_seen_however_many_files_are_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with contextlib.ExitStack() as opened:
        for _ in range(1100):
            opened.enter_context(open(os.devnull))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert ours.fileno() > 1024
            assert not has_left(ours)
            theirs.send(b"x")
            assert not has_left(ours)
            ours.recv(1)
            theirs.close()
            assert has_left(ours)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_folders_can_not_be_asked_for(run, served):
    for name in (str(run.adapter), str(run.path), "base ", run.id.upper()):
        assert post(served, model=name, messages=QUESTION).status_code == 404


def test_the_token_is_shown_to_nobody_who_does_not_ask_for_it(run, served):
    page = served._repr_html_()
    assert served.base_url in page
    assert run.id in page
    for text in (page, repr(served), repr(vars(served)), served.snippet()):
        assert served.token not in text


def test_the_code_of_a_client_runs_as_it_is_printed(run, served, monkeypatch, capsys):
    code = _client(served)
    assert served.token not in code
    monkeypatch.setattr("getpass.getpass", lambda _: served.token)
    exec(code, made := {})
    made["client"].close()
    assert capsys.readouterr().out == f"{run.ask('Hello').tuned}\n"


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_ends_the_answer(served, process, streams):
    """Which would take half a minute."""
    url = f"{served.base_url}/completions"
    with httpx.Client(headers={"Authorization": f"Bearer {served.token}"}) as client:
        request = client.build_request("POST", url, json={**LONG, "stream": streams})
        body = b"".join(request.stream)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with slowly(process.answerer):
        with socket.create_connection(address(served)) as connection:
            connection.sendall(f"POST /v1/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
            until(lambda: len(process.turns))
        until(lambda: not len(process.turns), 10)


def test_a_port_that_is_taken_is_said(run, served):
    port = address(served)[1]
    with pytest.raises(RunError, match=f"Port {port} can't be listened on"):
        run.serve(port)


def test_nobody_listens_after_the_end(run, process):
    served = run.serve()
    served.stop()
    with pytest.raises(httpx.ConnectError):
        post(served, model="base", messages=QUESTION)


def test_a_run_without_result_is_not_served(tmp_path, run):
    from ftlab.job import Job
    from ftlab.run import Run

    empty = Run.create(Job(spec=run.job.spec, provider="local"), tmp_path)
    with pytest.raises(RunError, match="has kept nothing yet"):
        empty.serve()


def test_a_terminal_shows_both_answers_as_they_come_and_says_which_is_empty(run, process, capsys):
    expected = run.ask("Hello", max_tokens=4)
    assert main(["ask", str(run.path), "Hello", "--max-tokens", "4"]) == 0
    shown = "\t".join(map(visible, expected.base.split("\t")))
    assert capsys.readouterr().out.startswith(f"base:\n{shown}\n\ntuned:\n")
    assert main(["ask", str(run.path), "Hello", "--step", "7"]) == 1
    told = capsys.readouterr()
    assert "no checkpoint of step 7" in told.err
    assert told.out == ""  # the base is not asked for nothing
    heard = _printer()
    for side, piece in (("base", ""), ("tuned", "a\tb"), ("tuned", "\x1b")):
        heard(side, piece)
    assert capsys.readouterr().out == "base:\n(nothing)\n\ntuned:\na\tb\\u001b"
