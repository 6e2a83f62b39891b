"""A whole run with keys set leaves none of them anywhere: not on disk, in logs, or elsewhere."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
from contextlib import redirect_stderr, redirect_stdout
from urllib.parse import quote

import pytest
from IPython.core.interactiveshell import InteractiveShell

import ftlab
from ftlab.errors import FtlabError
from ftlab.providers.together.__main__ import carry_out
from ftlab.providers.together.account import secret
from ftlab.providers.together.piped import Secrets, piped, received
from tests.fakes.together import Fault, Service
from tests.providers import hosted as module
from tests.providers.hosted import carried_out, hosted, new_run, spec

KEY, WANDB, HUB = 'canary"key/+', "canary-wandb+/", "canary-hub=&"
CANARIES = (KEY, WANDB, HUB)


def forms(text):
    """A secret as it may be written somewhere."""
    plain = text.encode()
    packed = [base64.b64encode(b"x" * n + plain + b"xxx")[4:-8] for n in range(3)]
    return {plain, quote(text, safe="").encode(), json.dumps(text)[1:-1].encode(), *packed}


def leaks(data):
    return [one for canary in CANARIES for one in forms(canary) if one in data]


def files(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(module, "KEY", KEY)
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    monkeypatch.setenv("HF_TOKEN", HUB)
    with hosted(monkeypatch) as service:
        yield service


def test_a_whole_run_leaves_no_secret(service, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    fields = {"wandb_key": WANDB, "hf_api_token": HUB}
    said = f"your key is {KEY}, beside {WANDB} and {HUB}"
    echoed = {**fields, "message": said, "integrations": [{"wandb": {"wandb_api_key": WANDB}}]}
    service.twist = lambda _, reply: {**reply, **echoed, "url": "https://x/y?signature=canary"}
    options = {"wandb_project_name": "mine", "hf_output_repo_name": "me/mine"}
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        run = new_run(tmp_path, options)
        assert _with_secrets(run) == 0
    assert run.status == "completed"
    assert (service.bodies[0]["wandb_key"], service.bodies[0]["hf_api_token"]) == (WANDB, HUB)
    assert len(files(run.path.parent)) >= 6  # the ledger and its log among them
    for file in files(tmp_path):
        assert leaks(file.read_bytes()) == [], file
    shown = (repr(run), str(run.job), run._repr_html_(), printed.getvalue(), caplog.text)
    assert leaks("\n".join(shown).encode()) == []
    assert "signature" not in run.said_file.read_text()


def _with_secrets(run):
    """The run's process here, given what came through its pipe."""
    given = received(piped(run, secret(KEY)).get_secret_value(), run)
    handle = run.begin()
    try:
        return carry_out(run, given)
    finally:
        os.close(handle)


def test_refusals_that_repeat_a_key_do_not_show_it(service, tmp_path):
    body = json.dumps({"error": {"message": f"no such key: {KEY}"}}).encode()
    service.misbehave("POST", "/fine-tunes", Fault(status=401, body=body))
    run = new_run(tmp_path)
    carried_out(run, key=KEY)
    assert run.status == "failed"
    assert "no such key: [key]" in run.state.detail
    for file in files(run.path.parent):
        assert leaks(file.read_bytes()) == [], file


@pytest.mark.parametrize("status", [400, 500])
def test_refusals_that_repeat_what_was_sent_do_not_show_it(service, tmp_path, status):
    said = f"wandb refused {WANDB}; the hub refused {HUB}"
    body = json.dumps({"error": {"message": said}}).encode()
    service.misbehave("POST", "/fine-tunes", Fault(status=status, body=body))
    run = new_run(tmp_path, {"wandb_project_name": "mine", "hf_output_repo_name": "me/mine"})
    _with_secrets(run)
    for file in files(run.path.parent):
        assert leaks(file.read_bytes()) == [], file


def test_without_a_pipe_what_the_options_ask_for_is_found_all_the_same(service, tmp_path):
    run = new_run(tmp_path, {"wandb_project_name": "mine", "hf_output_repo_name": "me/mine"})
    given = received(b"", run)
    assert [value.get_secret_value() for value in given if value] == list(CANARIES)


def test_without_a_pipe_the_key_goes_to_no_other_place_than_it_is_for(service, tmp_path):
    run = new_run(tmp_path)
    run.note_hosted(address="https://elsewhere.example", tag="ftl-0123456789", job_id="ft-1")
    with pytest.raises(FtlabError, match="is at https://elsewhere"):
        received(b"", run)


def test_an_account_whose_key_is_refused_shows_it_in_no_traceback(service):
    service.key = "another"
    shell = InteractiveShell()
    shell.run_line_magic("xmode", "Verbose")
    shell.user_ns.update(ftlab=ftlab, given=lambda: KEY)
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        shell.run_cell("ftlab.account(key=given())")
    assert "401" in printed.getvalue()
    assert leaks(printed.getvalue().encode()) == []


def test_secrets_are_in_no_repr(service, tmp_path):
    run = new_run(tmp_path, {"wandb_project_name": "mine"})
    given = piped(run, secret(KEY))
    holders = (given, received(given.get_secret_value(), run), Secrets(secret(KEY), secret(WANDB)))
    assert leaks(repr(holders).encode()) == []
    assert received(given.get_secret_value(), run).wandb_key.get_secret_value() == WANDB


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
def test_no_traceback_shows_a_key(service, tmp_path, monkeypatch, mode):
    """`%xmode Verbose` prints the locals of every frame; those of ours hold no bare key."""

    def fail(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr("ftlab.processes.subprocess.Popen", fail)
    shell = InteractiveShell()
    shell.run_line_magic("xmode", mode)
    values = spec(tmp_path)
    shell.user_ns.update(ftlab=ftlab, given=lambda: KEY, values=values, folder=tmp_path / "runs")
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        for option in ("pay_up_to=1.0", "pay_up_to=1.0, wandb_project_name='x'", "nonsense=1"):
            shell.run_cell(
                f"ftlab.submit(values, 'together', folder=folder, key=given(), {option})"
            )
        shell.run_cell("ftlab.Runs(folder).latest().resume(key=given())")
    assert "no more processes" in printed.getvalue()
    assert leaks(printed.getvalue().encode()) == []


def test_a_redirect_gets_no_key(service, tmp_path):
    with Service() as other:
        away = Fault(status=307, headers=(("Location", f"{other.address}/v1/fine-tunes"),))
        service.misbehave("POST", "/fine-tunes", away)
        run = new_run(tmp_path)
        carried_out(run, key=KEY)
        assert run.status == "paused"  # whether it was started is not known
        assert other.requests == []
